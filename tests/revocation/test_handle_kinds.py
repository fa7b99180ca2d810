"""Any claim is a handle: what names one, who declares its kind, and what a process answers that was not told of it."""

import math
import secrets
from collections.abc import Mapping
from typing import Any

import pytest
import redis

from revocation import (
    ClaimHandle,
    ConfigurationError,
    Denylist,
    DenylistUnavailableError,
    Guard,
    Handle,
    HandleKinds,
    InvalidTokenError,
    MemoryDenylist,
    RedisDenylist,
    RevokedTokenError,
)
from revocation.handles import KINDS as BUILT_IN
from revocation.redis.follower import Follower
from revocation.settings import RevocationSettings
from revocation.testing import Clock, Sandbox
from tests.support.denylists import all_pages
from tests.support.servers import Server
from tests.support.tokens import ISSUER, claims_of

Kinds = Mapping[str, str | tuple[str, ...] | ClaimHandle]
KINDS: Kinds = {"org": "org_id", "agent": "act.sub", "device": ClaimHandle("cnf.jkt", unconditional=True)}
ACME = Handle("org", "acme", issuer=ISSUER)
PHONE = Handle("device", "phone", issuer=ISSUER)


def own_handles(kinds: Kinds, **claims: Any) -> list[tuple[str, str]]:
    """Kind and value of what the claims offer besides the built-in kinds."""
    told = HandleKinds(kinds)
    made = claims_of(issued_at_ms=1_800_000_000_000, **claims).handles_by(told)
    return [(handle.kind, handle.value) for handle in made if handle.kind in told.own]


# What names a handle


def test_a_claim_a_member_of_one_and_a_name_with_dots_name_handles() -> None:
    named = own_handles(KINDS, org_id="acme", act={"sub": "bot-1"}, cnf={"jkt": "phone"})
    assert named == [("org", "acme"), ("agent", "bot-1"), ("device", "phone")]
    assert own_handles({"org": "https://acme.example/org"}, **{"https://acme.example/org": "acme"}) == [("org", "acme")]
    assert own_handles({"agent": "act.sub"}, **{"act.sub": "whole", "act": {"sub": "member"}}) == [("agent", "whole")]


def test_the_first_claim_that_a_token_has_counts() -> None:
    assert own_handles({"org": ("org_id", "tid")}, tid="t-1") == [("org", "t-1")]
    assert own_handles({"org": ("org_id", "tid")}, tid="t-1", org_id="acme") == [("org", "acme")]


def test_numbers_and_lists_name_handles_each_once() -> None:
    assert own_handles({"org": "org_id"}, org_id=42) == [("org", "42")]
    assert own_handles({"org": "orgs"}, orgs=["a", "b", "a", 7]) == [("org", "a"), ("org", "b"), ("org", "7")]
    assert own_handles({"org": "orgs"}, orgs=[]) == []
    assert own_handles({"agent": "act.sub"}, act={}) == own_handles({"agent": "act.sub"}, act=None) == []


@pytest.mark.parametrize(
    "value", ["", " \n", "a\x00", "x" * 257, True, 1.5, {"id": "acme"}, ["a", None], [["a"]], ["x"] * 65, 10**300]
)
def test_a_claim_that_cannot_name_a_handle_refuses_its_token(value: Any) -> None:
    denylist = MemoryDenylist(handles={"org": "org_id"})
    guard = Guard(None, denylist, max_staleness=0.0)
    with pytest.raises(InvalidTokenError, match="org_id"):
        guard.check(claims_of(issued_at_ms=denylist.now_ms(), org_id=value))


@pytest.mark.parametrize("act", ["bot", 1, False, [{"sub": "a"}, "bot"], [{"sub": "a"}] * 65, {"sub": ["a"] * 65}])
def test_a_member_that_cannot_name_a_handle_refuses_its_token(act: Any) -> None:
    denylist = MemoryDenylist(handles={"agent": "act.sub"})
    guard = Guard(None, denylist, max_staleness=0.0)
    with pytest.raises(InvalidTokenError, match=r"act\.sub"):
        guard.check(claims_of(issued_at_ms=denylist.now_ms(), act=act))


def test_lists_of_objects_multiply_to_no_more_handles_than_a_list_may_name() -> None:
    eight = [{"b": [{"c": "x"}] * 8}] * 8
    assert own_handles({"org": "a.b.c"}, a=eight) == [("org", "x")]
    with pytest.raises(InvalidTokenError, match="more than 64"):
        own_handles({"org": "a.b.c"}, a=[*eight, {"b": {"c": "y"}}])


def test_a_token_without_the_claim_is_as_good_as_before() -> None:
    denylist = MemoryDenylist(handles=KINDS)
    denylist.revoke(ACME)
    Guard(None, denylist, max_staleness=0.0).check(claims_of(issued_at_ms=denylist.now_ms() + 1, org_id=None))


def test_handles_of_one_kind_at_two_issuers_are_two() -> None:
    assert Handle("org", "acme", issuer="https://other.example").name != ACME.name


# The names of kinds


@pytest.mark.parametrize(
    "name", ["", "Org", "9", "a b", "org*", "x" * 33, "subject", "head", "log", "followers", "app"]
)
def test_a_name_that_is_taken_or_cannot_be_one_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be a kind of handle"):
        HandleKinds({name: "claim"})


@pytest.mark.parametrize("claim", ["", "a..b", ".a", (), ("a", "")])
def test_a_claim_without_a_name_is_refused(claim: Any) -> None:
    with pytest.raises(ConfigurationError, match="named by a claim"):
        HandleKinds({"org": claim})


def test_more_kinds_than_anybody_needs_are_refused() -> None:
    assert len(HandleKinds({f"k{n}": "c" for n in range(16)}).own) == 16
    with pytest.raises(ConfigurationError, match="at most 16"):
        HandleKinds({f"k{n}": "c" for n in range(17)})


def test_a_process_is_told_by_its_environment() -> None:
    text = "org=org_id,tid  agent=act.sub device*=cnf.jkt"
    told = RevocationSettings.from_mapping({"REVOCATION_HANDLES": text}).handles
    assert told == HandleKinds({**KINDS, "org": ("org_id", "tid")})
    assert told.words == ("agent", "device*", "org")
    for wrong in ("org", "org=", "=x", "Org=x", "org=a org=b", "subject=sub", "org =x"):
        with pytest.raises(ConfigurationError, match="REVOCATION_HANDLES"):
            RevocationSettings.from_mapping({"REVOCATION_HANDLES": wrong})


# Revoking by them, in memory and on real servers


@pytest.fixture(params=["memory", "valkey", "debian_redis"])
def denylist(request: pytest.FixtureRequest, namespace: str) -> Denylist:
    if request.param == "memory":
        return MemoryDenylist(handles=KINDS)
    return told(request.getfixturevalue(request.param).client(), namespace)


def told(client: "redis.Redis", namespace: str, kinds: Kinds | None = None, **more: Any) -> RedisDenylist:
    """A process that was told of these kinds; where nobody has, it opens the deny-list."""
    made = RedisDenylist(client, namespace=namespace, handles=KINDS if kinds is None else kinds, **more)
    made.open(accept_existing=True, longest_bound_seconds=60.0)
    return made


def test_everybody_of_an_organisation_is_revoked_with_one_entry_and_let_in_again(denylist: Denylist) -> None:
    guard = Guard(None, denylist, max_staleness=0.0)
    people = [claims_of(issued_at_ms=denylist.now_ms(), sub=f"u{n}", sid=f"s{n}", org_id="acme") for n in range(1000)]
    other = claims_of(issued_at_ms=denylist.now_ms(), sub="ada", org_id="other")

    receipt = denylist.revoke(ACME, reason="contract ended", actor="root")

    assert receipt.revocation is not None
    assert receipt.revocation.issued_before_ms is not None
    for claims in people:
        with pytest.raises(RevokedTokenError):
            guard.check(claims)
    guard.check(other)
    guard.check(claims_of(issued_at_ms=denylist.now_ms(), sub="u1", org_id="acme"))
    assert [each.handle for each in all_pages(denylist, kind="org")] == [ACME]
    assert denylist.undo(receipt.revocation.id)
    for claims in people[:3]:
        guard.check(claims)


def test_a_kind_that_is_unconditional_takes_everything_back_and_no_cutoff(denylist: Denylist) -> None:
    guard = Guard(None, denylist, max_staleness=0.0)
    with pytest.raises(ValueError, match="unconditional"):
        denylist.revoke(PHONE, issued_before_ms=denylist.now_ms())

    receipt = denylist.revoke(PHONE)

    assert receipt.revocation is not None
    assert receipt.revocation.issued_before_ms is None
    with pytest.raises(RevokedTokenError):
        guard.check(claims_of(issued_at_ms=denylist.now_ms() + 1000, cnf={"jkt": "phone"}))
    assert [denylist.is_unconditional(kind) for kind in ("device", "org", "token", "subject")] == [True, False] * 2


def test_a_kind_that_nobody_declared_is_refused_and_nothing_is_written(denylist: Denylist) -> None:
    people = [Handle("subject", f"u{n}", issuer=ISSUER) for n in range(300)]
    for first in ([], people):
        with pytest.raises(ValueError, match=r"declares no kind 'team'; it knows .*agent, device, org"):
            denylist.revoke_many([*first, Handle("team", "red", issuer=ISSUER)])
    assert all_pages(denylist) == []
    assert set(denylist.kinds()) == {*BUILT_IN, "agent", "device", "org"}
    with pytest.raises(ValueError, match="declares no kind"):
        denylist.is_unconditional("team")


def test_a_repeat_of_one_actor_adds_nothing(denylist: Denylist) -> None:
    first = denylist.revoke(PHONE, actor="root", reason="lost")
    again = denylist.revoke(PHONE, actor="root", reason="lost")
    assert (again.written, [each.id for each in again.revocations]) == (False, [each.id for each in first.revocations])


def test_an_application_tries_its_kinds_in_a_sandbox() -> None:
    sandbox = Sandbox(handles={"org": "org_id"})
    token = sandbox.mint("ada", claims={"org_id": "acme"})
    assert sandbox.guard.authenticate(token).subject == "ada"
    sandbox.revoke(Handle("org", "acme", issuer="https://auth.example"))
    with pytest.raises(RevokedTokenError):
        sandbox.guard.authenticate(token)
    sandbox.clock.advance(1)
    with sandbox.redis_down(), pytest.raises(RevokedTokenError):
        sandbox.guard.authenticate(token)


# Who was told, and who was not


class Beaten(Follower):
    """Beats when the test says so."""

    def _ensure_running(self) -> None:
        self._id = self._id or secrets.token_hex(4)


class Process:
    """A process that follows, and decides strictly and with a bound of 60 s."""

    def __init__(self, denylist: RedisDenylist) -> None:
        self.denylist, self.clock = denylist, Clock(1000.0)
        self.follower = Beaten(denylist, shortest_seconds=0.004, longest_seconds=60.0, clock=self.clock)
        self.follower.start()
        self.guard = Guard(None, denylist, max_staleness=60.0, follower=self.follower)

    def beat(self) -> None:
        """As the thread does it: what fails is noted."""
        for _ in range(4):
            self.follower._live_on(self.follower._generation)

    def says(self, claims: Any, bound: float = 60.0) -> str:
        try:
            self.guard.check(claims, max_staleness=bound)
        except RevokedTokenError:
            return "revoked"
        except DenylistUnavailableError:
            return "no answer"
        return "accepted"


def test_a_new_version_is_rolled_out_and_back_and_what_is_revoked_is_never_accepted(
    client: "redis.Redis", namespace: str
) -> None:
    old = Process(told(client, namespace, {}))
    new = Process(told(client, namespace))
    claims = claims_of(issued_at_ms=old.denylist.now_ms(), org_id="acme")
    both = (old, new)

    def beat() -> None:
        for process in both:
            process.beat()

    # Some processes know of the kind, others do not: nothing is revoked by it, and all of them answer.
    beat()
    assert [process.says(claims, bound) for process in both for bound in (0.0, 60.0)] == ["accepted"] * 4
    with pytest.raises(ValueError, match="declares no kind 'org'"):
        new.denylist.revoke(ACME)

    # It is declared: who was not told asks Redis no longer in vain, and its memory grows old.
    new.denylist.open(declare=["org"])
    assert old.says(claims, 0.0) == "no answer"
    beat()
    assert not old.follower.state.is_connected
    revoked = new.denylist.revoke(ACME).revocation
    assert revoked is not None
    assert new.says(claims, 0.0) == new.says(claims) == "revoked"
    old.clock.advance(60.1)
    beat()
    assert [old.says(claims, bound) for bound in (0.0, 60.0)] == ["no answer"] * 2
    with pytest.raises(DenylistUnavailableError, match="was not told"):
        old.denylist.now_ms()
    with pytest.raises(DenylistUnavailableError, match="was not told"):
        old.denylist.revoke(Handle("subject", "ada", issuer=ISSUER))

    # It is not rolled back while anything is revoked by it, and then the old version answers again.
    with pytest.raises(ConfigurationError, match=r"1 handles of the kind org are revoked .*revocation list --kind org"):
        new.denylist.open(withdraw=["org"])
    assert new.denylist.undo(revoked.id)
    new.denylist.open(withdraw=["org"])
    beat()
    assert [process.says(claims, bound) for process in both for bound in (0.0, 60.0)] == ["accepted"] * 4
    with pytest.raises(ValueError, match="declares no kind 'org'"):
        new.denylist.revoke(ACME)


def test_a_receipt_does_not_wait_for_a_process_that_may_not_take_part(client: "redis.Redis", namespace: str) -> None:
    new = Process(told(client, namespace, {"org": "org_id"}))
    old = Process(RedisDenylist(client, namespace=namespace))

    new.beat()
    old.beat()

    assert list(new.denylist.leases.living()) == [new.follower._id]
    assert new.denylist.revoke(ACME, wait_seconds=0.0).followers_total == 1


def test_one_that_takes_it_for_conditional_is_not_told(client: "redis.Redis", namespace: str) -> None:
    told(client, namespace, {"device": ClaimHandle("cnf.jkt", unconditional=True)})
    other = RedisDenylist(client, namespace=namespace, handles={"device": "cnf.jkt"})
    with pytest.raises(DenylistUnavailableError, match="told that revoking one is not unconditional"):
        other.latest_cutoff([PHONE])
    with pytest.raises(ConfigurationError, match="another meaning"):
        other.open(declare=["device"])


def test_a_process_that_only_administers_need_not_be_told_and_no_guard_takes_it(
    client: "redis.Redis", namespace: str
) -> None:
    told(client, namespace)
    clerk = RedisDenylist(client, namespace=namespace, decides=False)

    receipt = clerk.revoke(ACME)

    assert receipt.revocation is not None
    assert clerk.find(receipt.revocation.id) is not None
    assert clerk.undo(receipt.revocation.id)
    with pytest.raises(ConfigurationError, match="decides=False"):
        Guard(None, clerk)


def test_kinds_outlive_a_flush_that_a_follower_notices(client: "redis.Redis", namespace: str) -> None:
    process = Process(told(client, namespace))
    process.beat()
    keys: Any = client.keys(f"{{{namespace}}}:*")
    client.delete(*keys)

    process.beat()

    assert process.denylist.epochs.head().kinds == ("agent", "device*", "org")


def test_no_kind_is_withdrawn_while_lines_of_the_log_are_missing(client: "redis.Redis", namespace: str) -> None:
    denylist = told(client, namespace)
    guard = Guard(None, denylist, max_staleness=0.0)
    claims = claims_of(issued_at_ms=denylist.now_ms(), org_id="acme")
    denylist.revoke(ACME)
    denylist.revoke(Handle("subject", "eve", issuer=ISSUER))

    for left in (1, 0):
        client.xtrim(denylist.key("log"), maxlen=left, approximate=False)
        with pytest.raises((DenylistUnavailableError, ConfigurationError)):
            denylist.open(withdraw=["org"])
        with pytest.raises(RevokedTokenError):
            guard.check(claims)
    client.delete(denylist.key("lasting"), denylist.key("lasting:expiry"))
    with pytest.raises(DenylistUnavailableError, match="misses lines"):
        denylist.open(withdraw=["org"])


def test_what_is_revoked_while_a_kind_is_withdrawn_keeps_the_kind(
    client: "redis.Redis", namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    denylist, another = told(client, namespace), told(client, namespace)
    opened = denylist.epochs.open

    def after_a_revocation(**asked: Any) -> Any:
        another.revoke(ACME)
        return opened(**asked)

    monkeypatch.setattr(denylist.epochs, "open", after_a_revocation)
    with pytest.raises(ConfigurationError, match="again"):
        denylist.open(withdraw=["org"])
    assert "org" in denylist.kinds()


def test_a_kind_that_expired_is_withdrawn(client: "redis.Redis", namespace: str) -> None:
    denylist = told(client, namespace)
    denylist.revoke(ACME)
    client.delete(denylist.key(ACME.name))  # as its end would

    head, opened = denylist.open(withdraw=["org"])

    assert (head.kinds, opened) == (("agent", "device*"), False)


def test_whoever_withdraws_a_kind_that_is_not_declared_hears_of_it(valkey: Server, namespace: str) -> None:
    denylist = told(valkey.client(), namespace)
    for wrong in ("team", "org*", "dev"):
        with pytest.raises(
            ConfigurationError, match=r"no kind '.*' to withdraw: the deny-list declares agent, device\*"
        ):
            denylist.open(withdraw=["org", wrong])
    assert denylist.head().kinds == ("agent", "device*", "org")
    assert denylist.open(withdraw=["device*"])[0].kinds == ("agent", "org")


def test_two_who_declare_two_meanings_at_one_moment_do_not_both_succeed(client: "redis.Redis", namespace: str) -> None:
    first, second = (RedisDenylist(client, namespace=namespace, decides=False) for _ in range(2))
    first.open(accept_existing=True)
    init, raced = first.epochs._init, []

    def after_another(**asked: Any) -> Any:
        raced.append(second.open(declare=["device*"]))
        return init(**asked)

    first.epochs._init = after_another  # type: ignore[assignment]  # what stands between looking and writing
    with pytest.raises(ConfigurationError, match=r"declares 'device\*' already"):
        first.open(declare=["device"])
    assert len(raced) == 1
    assert first.head().kinds == ("device*",)


def test_more_kinds_than_a_process_can_be_told_of_are_not_declared(valkey: Server, namespace: str) -> None:
    clerk = RedisDenylist(valkey.client(), namespace=namespace, decides=False)
    clerk.open(accept_existing=True)
    clerk.open(declare=[f"k{number}" for number in range(16)])
    with pytest.raises(ConfigurationError, match="at most 16 kinds"):
        clerk.open(declare=["one-more"])
    assert len(clerk.open(declare=["k3"], withdraw=["k0"])[0].kinds) == 15


def test_a_kind_that_is_withdrawn_while_the_deny_list_is_closed_does_not_come_back(
    client: "redis.Redis", namespace: str
) -> None:
    """The follower that opens it read the head last when the kind was declared."""
    denylist, another = told(client, namespace), told(client, namespace)
    epoch = denylist.head().epoch
    another.open(withdraw=["org"])
    words = another.head().text.split(" ")
    client.set(denylist.key("head"), " ".join([words[0], "closed", epoch, *words[3:]]))

    head, _ = denylist.epochs.open_after_loss(seen="closed", own=(epoch,), clock="", new_log=False, keys={})

    assert head.kinds == ("agent", "device*")


def test_a_process_does_not_declare_what_it_was_not_told_of(valkey: Server, namespace: str) -> None:
    denylist = told(valkey.client(), namespace, {"org": "org_id"})
    with pytest.raises(ConfigurationError, match="not told of handles of the kind 'team'"):
        denylist.open(declare=["team"])
    assert denylist.head().kinds == ("org",)


@pytest.mark.parametrize("words", [["Org"], ["head"], ["org", "a b"], ["device**"]])
def test_what_can_be_no_kind_is_not_declared(valkey: Server, namespace: str, words: list[str]) -> None:
    denylist = told(valkey.client(), namespace, {})
    with pytest.raises(ConfigurationError, match="cannot be a kind"):
        denylist.open(declare=words)
    assert denylist.head().kinds == ()


def test_a_head_without_kinds_is_as_older_versions_wrote_it(valkey: Server, namespace: str) -> None:
    plain, with_kinds = told(valkey.client(), namespace, {}), told(valkey.client(), f"{namespace}-2")
    assert len(plain.head().text.split(" ")) == 18
    assert with_kinds.head().text.split(" ")[18:] == ["agent,device*,org"]


def test_more_handles_are_still_one_mget(valkey: Server, namespace: str) -> None:
    denylist = told(valkey.client(), namespace)
    claims = claims_of(issued_at_ms=denylist.now_ms(), org_id=["a", "b"], act={"sub": "c"}, cnf={"jkt": "d"})
    asked: list[Any] = []
    read = denylist._read
    denylist._read = lambda keys, *, with_time: asked.append(keys) or read(keys, with_time=with_time)  # type: ignore[method-assign,func-returns-value]

    Guard(None, denylist, max_staleness=0.0).check(claims)

    assert len(asked[0]) == 1 + len(claims.handles) + 4
    assert len(asked) <= 2  # a young epoch asks for the time as well
    assert math.isfinite(claims.judged_at_ms)
