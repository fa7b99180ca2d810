"""Guard: the whole decision, and that nothing but a clear answer lets a token in."""

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from revocation import (
    Claims,
    ConfigurationError,
    Decision,
    DenylistEmptyError,
    DenylistUnavailableError,
    ExpiredTokenError,
    Guard,
    Handle,
    InvalidTokenError,
    KeySet,
    Lifetimes,
    MemoryDenylist,
    RedisDenylist,
    Refused,
    RevokedTokenError,
    connect,
)
from revocation.remote_keys import PAUSE_SECONDS, RemoteKeys
from revocation.testing import Clock, Sandbox
from tests.support.denylists import opened
from tests.support.provider import providing
from tests.support.servers import Server
from tests.support.tokens import ISSUER, Forge, claims_of, key


class NeverAsked(MemoryDenylist):
    """A deny-list that must not be asked."""

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        raise AssertionError("asked")


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


BOUNDS = [0, 0.5, 1, 60.0, 86_400]


@pytest.mark.parametrize("bound", BOUNDS)
def test_a_good_token_is_let_in_and_a_revoked_one_is_not(sandbox: Sandbox, bound: float) -> None:
    token = sandbox.mint("ada", scope="me")

    assert sandbox.guard.authenticate(token, max_staleness=bound).subject == "ada"
    sandbox.revoke(token)
    with pytest.raises(RevokedTokenError) as caught:
        sandbox.guard.authenticate(token, max_staleness=bound)
    assert caught.value.reason == "revoked"


@pytest.mark.parametrize("bound", BOUNDS)
def test_where_the_deny_list_cannot_be_asked_nobody_is_let_in(sandbox: Sandbox, bound: float) -> None:
    token = sandbox.mint()

    with sandbox.redis_down():
        # What is known when it goes down serves for the length of the bound, and at most the follower's longest.
        sandbox.clock.advance(min(bound, 60))
        with pytest.raises(DenylistUnavailableError):
            sandbox.guard.authenticate(token, max_staleness=bound)
        with pytest.raises(DenylistUnavailableError):
            sandbox.guard.check(sandbox.claims(token), max_staleness=bound)
        decision = sandbox.guard.decide(token, max_staleness=bound)
        assert isinstance(decision, Refused)
        assert isinstance(decision.error, DenylistUnavailableError)
        assert not isinstance(decision.error, InvalidTokenError)
    sandbox.guard.authenticate(token, max_staleness=bound)


def test_where_the_deny_list_lost_its_data_nobody_is_let_in(sandbox: Sandbox) -> None:
    token = sandbox.mint()
    sandbox.flush()

    with pytest.raises(DenylistEmptyError):
        sandbox.guard.authenticate(token)


def test_an_infinite_bound_never_asks() -> None:
    forge = Forge()
    guard = Guard(forge.verifier(), NeverAsked(clock=forge.clock), clock=forge.clock)
    token = forge.token()

    assert guard.authenticate(token, max_staleness=math.inf).subject == "ada"
    guard.check(forge.claims(), max_staleness=math.inf)
    assert guard.decide(token, max_staleness=math.inf).source == "none"
    with pytest.raises(AssertionError, match="asked"):
        guard.authenticate(token)


def test_what_is_no_good_anyway_asks_nobody() -> None:
    forge = Forge()
    guard = Guard(forge.verifier(), NeverAsked(), max_staleness=0)

    for token in ("", "x", forge.token(forge.claims(aud="other")), forge.token(forge.claims(iat=1, exp=2))):
        decision = guard.decide(token)
        assert isinstance(decision, Refused)
        assert isinstance(decision.error, InvalidTokenError)
        assert decision.source == "none"
        assert decision.claims is None


def test_the_bound_of_the_guard_holds_where_none_is_given(sandbox: Sandbox) -> None:
    token = sandbox.mint()
    stateless = Guard(sandbox.verifier, sandbox.denylist, max_staleness=math.inf, clock=sandbox.clock)
    sandbox.revoke(token)

    assert stateless.authenticate(token).subject == "ada"
    with pytest.raises(RevokedTokenError):
        stateless.authenticate(token, max_staleness=0)
    assert sandbox.guard.max_staleness == 1.0


@pytest.mark.parametrize("bound", [-1, -0.001, -math.inf, math.nan, True, False, "1", None])
def test_a_bound_that_is_no_number_of_seconds_is_a_mistake(sandbox: Sandbox, bound: Any) -> None:
    with pytest.raises(ConfigurationError, match="max_staleness"):
        Guard(sandbox.verifier, sandbox.denylist, max_staleness=bound)
    if bound is not None:
        for ask in (sandbox.guard.authenticate, sandbox.guard.decide):
            with pytest.raises(ConfigurationError, match="max_staleness"):
                ask(sandbox.mint(), max_staleness=bound)
        with pytest.raises(ConfigurationError, match="max_staleness"):
            sandbox.guard.check({}, max_staleness=bound)


# Decisions


def test_a_decision_says_who_was_asked_and_what_it_cost(sandbox: Sandbox) -> None:
    told: list[Decision] = []
    guard = Guard(sandbox.verifier, sandbox.denylist, on_decision=told.append, clock=sandbox.clock)
    good, revoked = sandbox.mint(), sandbox.mint()
    sandbox.revoke(revoked)

    guard.authenticate(good)
    guard.authenticate(good, max_staleness=math.inf)
    guard.decide(revoked)
    guard.decide("nonsense")
    with sandbox.redis_down():
        guard.decide(good)
    guard.check(sandbox.claims(good))
    sandbox.clock.advance(10_000)
    guard.decide(good)

    assert [(type(getattr(one, "error", None)), one.source) for one in told] == [
        (type(None), "redis"),
        (type(None), "none"),
        (RevokedTokenError, "redis"),
        (InvalidTokenError, "none"),
        (DenylistUnavailableError, "redis"),
        (type(None), "redis"),
        (ExpiredTokenError, "none"),
    ]
    assert all(one.verify_seconds >= 0 and one.revocation_seconds >= 0 for one in told)
    assert told[0].verify_seconds > 0
    assert told[3].revocation_seconds == 0
    assert told[5].verify_seconds == 0


# Claims that somebody else verified


def decoded_claims(clock: Clock, **changes: Any) -> dict[str, Any]:
    return Forge(clock=clock).claims(**changes)


def test_decoded_claims_of_somebody_else_can_be_checked(sandbox: Sandbox) -> None:
    guard = Guard(None, sandbox.denylist, clock=sandbox.clock)
    claims = decoded_claims(sandbox.clock)

    guard.check(claims)
    sandbox.denylist.revoke(Handle("token", claims["jti"], issuer=ISSUER))
    with pytest.raises(RevokedTokenError):
        guard.check(claims)
    with pytest.raises(ConfigurationError, match="no verifier"):
        guard.authenticate("x")


def test_decoded_claims_are_judged_with_the_leeway_of_the_deny_list(sandbox: Sandbox) -> None:
    guard = Guard(None, sandbox.denylist, clock=sandbox.clock)
    sandbox.denylist.revoke(Handle("subject", "ada", issuer=ISSUER))
    now = int(sandbox.clock())

    with pytest.raises(RevokedTokenError):
        guard.check(decoded_claims(sandbox.clock, iat=now + 30))
    sandbox.clock.advance(1)
    guard.check(decoded_claims(sandbox.clock, iat=now + 31))


def test_the_issuer_of_the_verifier_stands_in_for_a_missing_one(sandbox: Sandbox) -> None:
    claims = decoded_claims(sandbox.clock, iss=None)
    sandbox.denylist.revoke(Handle("subject", "ada", issuer=ISSUER))

    with pytest.raises(RevokedTokenError):
        sandbox.guard.check(claims)
    with pytest.raises(InvalidTokenError, match="'iss' is missing"):
        Guard(None, sandbox.denylist).check(claims)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"jti": ""}, "claim_jti"),
        ({"jti": 7}, "claim_jti"),
        ({"exp": "x"}, "claim_exp"),
        ({"iat": -1}, "claim_iat"),
        ({"sub": ""}, "claim_sub"),
        ({"iat": 1_800_000_031}, "issued_in_future"),
        ({"exp": 1_800_086_401}, "lifetime"),
    ],
)
def test_claims_that_could_not_be_revoked_are_refused(sandbox: Sandbox, changes: dict[str, Any], reason: str) -> None:
    guard = Guard(None, sandbox.denylist, clock=sandbox.clock)

    with pytest.raises(InvalidTokenError) as caught:
        guard.check({**decoded_claims(sandbox.clock), **changes})
    assert caught.value.reason == reason


@pytest.mark.parametrize("claim", ["jti", "iat", "exp", "sub"])
def test_claims_without_what_revocation_needs_are_refused(sandbox: Sandbox, claim: str) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        sandbox.guard.check(decoded_claims(sandbox.clock, **{claim: None}))
    assert caught.value.reason == f"missing_{claim}"


def test_a_token_that_would_outlive_its_entry_is_refused_though_somebody_verified_it(sandbox: Sandbox) -> None:
    now_ms = int(sandbox.clock() * 1000)

    with pytest.raises(InvalidTokenError, match="longer than"):
        sandbox.guard.check(claims_of(issued_at_ms=now_ms, lifetime_seconds=86_401))
    with pytest.raises(InvalidTokenError, match="future"):
        sandbox.guard.check(claims_of(issued_at_ms=now_ms + 30_001))


@pytest.mark.parametrize("bound", [*BOUNDS, math.inf])
def test_claims_that_somebody_else_verified_are_refused_once_expired(sandbox: Sandbox, bound: float) -> None:
    told: list[Decision] = []
    guard = Guard(None, sandbox.denylist, on_decision=told.append, clock=sandbox.clock)
    claims = decoded_claims(sandbox.clock)

    # The last instant of the leeway, and the first instant after it.
    sandbox.clock.advance(900 + 29.999)
    guard.check(claims, max_staleness=bound)
    guard.check(Claims.from_mapping(claims), max_staleness=bound)
    sandbox.clock.advance(0.001)
    for expired in (claims, Claims.from_mapping(claims)):
        with pytest.raises(ExpiredTokenError):
            guard.check(expired, max_staleness=bound)

    refused = told[-1]
    assert isinstance(refused, Refused)
    assert isinstance(refused.error, ExpiredTokenError)
    assert refused.source == "none"


def test_revoked_claims_are_refused_also_after_the_deny_list_has_forgotten_them(sandbox: Sandbox) -> None:
    guard = Guard(None, sandbox.denylist, clock=sandbox.clock)
    mapping = decoded_claims(sandbox.clock)
    claims = Claims.from_mapping(mapping)
    sandbox.denylist.revoke(Handle.token(claims))

    sandbox.clock.advance(900 + 30 + 60 + 1)

    assert sandbox.denylist.of_handle(Handle.token(claims)) == ()
    for revoked in (mapping, claims):
        with pytest.raises(InvalidTokenError):
            guard.check(revoked)


@pytest.mark.parametrize("bound", BOUNDS)
def test_who_names_the_key_that_verified_sees_that_it_is_revoked(sandbox: Sandbox, bound: float) -> None:
    mapping = decoded_claims(sandbox.clock)
    claims = Claims.from_mapping(mapping)
    revoked = sandbox.denylist.revoke(Handle("key", "key-1", issuer=ISSUER))

    for checked in (mapping, claims):
        with pytest.raises(RevokedTokenError):
            sandbox.guard.check(checked, key_id="key-1", max_staleness=bound)
        sandbox.guard.check(checked, key_id="key-2", max_staleness=bound)
        sandbox.guard.check(checked, max_staleness=bound)
    assert sandbox.denylist.undo(revoked.revocations[0].id)
    sandbox.guard.check(mapping, key_id="key-1", max_staleness=bound)


def test_a_key_named_beside_claims_that_know_theirs_is_judged_as_well(sandbox: Sandbox) -> None:
    claims = claims_of(issued_at_ms=int(sandbox.clock() * 1000), key_id="key-1")

    for revoked in ("key-1", "key-2"):
        receipt = sandbox.denylist.revoke(Handle("key", revoked, issuer=ISSUER))
        with pytest.raises(RevokedTokenError):
            sandbox.guard.check(claims, key_id="key-2")
        sandbox.denylist.undo(receipt.revocations[0].id)
    sandbox.guard.check(claims, key_id="key-2")


@pytest.mark.parametrize("key_id", ["", "k" * 257, "two\nlines", 7])
def test_a_key_that_no_revocation_can_name_is_refused(sandbox: Sandbox, key_id: Any) -> None:
    with pytest.raises(InvalidTokenError) as caught:
        sandbox.guard.check(decoded_claims(sandbox.clock), key_id=key_id)
    assert caught.value.reason == "key_id"


def test_the_other_ids_of_the_key_that_verified_are_taken_from_the_verifier_of_that_issuer() -> None:
    forge = Forge()
    keys = KeySet([replace(forge.key, id="first"), replace(forge.key, id="second")])
    denylist = MemoryDenylist(clock=forge.clock)
    guard = Guard(forge.verifier(keys), denylist, clock=forge.clock)
    claims, foreign = forge.claims(), forge.claims(iss="https://other.example")
    for issuer in (ISSUER, "https://other.example"):
        denylist.revoke(Handle("key", "second", issuer=issuer))

    with pytest.raises(RevokedTokenError):
        guard.check(claims, key_id="first")
    guard.check(foreign, key_id="first")
    guard.check(claims, key_id="third")


def test_a_key_is_not_accepted_by_one_id_while_nobody_can_read_the_others() -> None:
    forge = Forge(key("ES256", "first"))
    denylist = MemoryDenylist(clock=forge.clock)
    denylist.revoke(Handle("key", "second", issuer=ISSUER))
    with providing() as provider:
        same = {**forge.key.public_jwk(), "kid": "first"}, {**forge.key.public_jwk(), "kid": "second"}
        provider.overrides["/jwks"] = (500, {}, b"")
        keys = RemoteKeys(provider.jwks_url, http_on_loopback=True, clock=forge.clock)
        guard = Guard(forge.verifier(keys), denylist, clock=forge.clock)
        with pytest.raises(InvalidTokenError, match="cannot be read"):
            guard.check(forge.claims(), key_id="first")

        provider.overrides["/jwks"] = (200, {}, json.dumps({"keys": same}).encode())
        forge.clock.advance(PAUSE_SECONDS)
        with pytest.raises(RevokedTokenError):
            guard.check(forge.claims(), key_id="first")


def test_a_key_that_the_issuer_has_by_now_is_looked_for_once_more() -> None:
    forge = Forge()
    old, new = (KeySet([replace(forge.key, id=id_) for id_ in ids]) for ids in (["second"], ["first", "second"]))
    source: Any = SimpleNamespace(key_set=lambda: old, refreshed=lambda: new)
    denylist = MemoryDenylist(clock=forge.clock)
    denylist.revoke(Handle("key", "second", issuer=ISSUER))
    guard = Guard(forge.verifier(source), denylist, clock=forge.clock)
    with pytest.raises(RevokedTokenError):
        guard.check(forge.claims(), key_id="first")


# Agreement


def test_a_verifier_that_forgives_longer_than_entries_live_is_a_mistake() -> None:
    forge = Forge()
    denylist = MemoryDenylist(lifetimes=Lifetimes(max_token_seconds=600, leeway_seconds=10))

    with pytest.raises(ConfigurationError, match="leeway"):
        Guard(forge.verifier(leeway_seconds=11), denylist)
    Guard(forge.verifier(leeway_seconds=10), denylist)
    Guard(forge.verifier(leeway_seconds=0), denylist)


@pytest.mark.parametrize("bound", [0, 1.0])
def test_a_token_that_lives_longer_than_entries_is_refused_whatever_the_verifier_takes(bound: float) -> None:
    forge = Forge()
    denylist = MemoryDenylist(lifetimes=Lifetimes(max_token_seconds=600, leeway_seconds=10), clock=forge.clock)
    guard = Guard(forge.verifier(leeway_seconds=10), denylist, max_staleness=bound, clock=forge.clock)
    now = int(forge.clock())

    assert guard.authenticate(forge.token(forge.claims(iat=now, exp=now + 600)))
    with pytest.raises(InvalidTokenError) as caught:
        guard.authenticate(forge.token(forge.claims(iat=now, exp=now + 601)))
    assert caught.value.reason == "lifetime"


# On a real server


def test_every_handle_of_a_token_revokes_it_on_a_real_server(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    forge = Forge(clock=Clock(denylist.now_ms() / 1000))
    guard = Guard(forge.verifier(iat_tolerance_seconds=0), denylist, max_staleness=0, clock=forge.clock)
    token = forge.token()
    claims: Claims = guard.authenticate(token)

    for handle in claims.handles:
        receipt = denylist.revoke(handle)
        with pytest.raises(RevokedTokenError):
            guard.authenticate(token)
        assert denylist.undo(receipt.revocations[0].id)
        assert guard.authenticate(token) == claims


def test_what_another_process_revoked_is_refused_by_the_next_request(any_server: Server, namespace: str) -> None:
    ours = opened(connect(any_server.url, timeout_seconds=5), namespace)
    theirs = RedisDenylist(connect(any_server.url, timeout_seconds=5), namespace=namespace)
    forge = Forge(clock=Clock(ours.now_ms() / 1000))
    guard = Guard(forge.verifier(), ours, max_staleness=0, clock=forge.clock)
    token = forge.token()
    claims = guard.authenticate(token)

    theirs.revoke(Handle.session(claims))

    with pytest.raises(RevokedTokenError):
        guard.authenticate(token)
    assert guard.authenticate(forge.token(forge.claims(sid="session-2"))) is not None
    assert replace(claims, session_id=None).handles != claims.handles
