"""What every deny-list promises, tested once over all of them: in memory, on fakeredis, and on two real servers."""

import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from revocation import (
    Claims,
    ConflictError,
    Denylist,
    DenylistEmptyError,
    Handle,
    Lifetimes,
    MemoryDenylist,
    RedisDenylist,
    connect,
)
from revocation.denylist import HOUR_MS, MAX_NOTE_LENGTH, Note, is_revoked
from revocation.handles import KINDS, Kind
from revocation.testing import Clock
from tests.support.denylists import Store, all_pages, opened
from tests.support.servers import plain
from tests.support.tokens import ISSUER, claims_of

CUTOFF_KINDS: tuple[Kind, ...] = ("subject", "client", "issuer")
UNCONDITIONAL_KINDS: tuple[Kind, ...] = ("token", "session", "key")


@pytest.fixture(params=["memory", "fakeredis", "valkey", "redis"])
def store(request: pytest.FixtureRequest, namespace: str) -> Store:
    if request.param == "memory":
        return Store(MemoryDenylist())
    if request.param == "fakeredis":
        client = plain(connect("memory"))
    else:
        client = request.getfixturevalue({"valkey": "valkey", "redis": "debian_redis"}[request.param]).client()
    return Store(opened(client, namespace), client)


@pytest.fixture
def denylist(store: Store) -> Denylist:
    return store.denylist


@pytest.fixture
def claims(denylist: Denylist) -> Claims:
    """A token issued a minute ago."""
    return claims_of(issued_at_ms=denylist.now_ms() - 60_000)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def handle(kind: Kind, value: str = "x", **options: object) -> Handle:
    return Handle(kind, "" if kind == "issuer" else value, issuer=ISSUER, **options)  # type: ignore[arg-type]  # expires_at


def handle_of(claims: Claims, kind: Kind) -> Handle:
    return next(one for one in claims.handles if one.kind == kind)


def revoked(denylist: Denylist, claims: Claims) -> bool:
    return is_revoked(claims, denylist.latest_cutoff(claims.handles))


# The one rule


def test_what_nobody_revoked_is_in_force(denylist: Denylist, claims: Claims) -> None:
    assert not revoked(denylist, claims)


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_is_revoked_by_any_of_its_handles(denylist: Denylist, claims: Claims, kind: Kind) -> None:
    receipt = denylist.revoke(handle_of(claims, kind))

    assert revoked(denylist, claims)
    assert receipt.revocation is not None
    assert receipt.revocation.handle == handle_of(claims, kind)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "issuer"])
def test_revoking_a_handle_leaves_other_tokens_alone(denylist: Denylist, claims: Claims, kind: Kind) -> None:
    other = claims_of(
        issued_at_ms=denylist.now_ms() - 60_000, sub="bob", sid="session-2", client_id="other", key_id="key-2"
    )

    denylist.revoke(handle_of(claims, kind))

    assert not revoked(denylist, other)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_value_of_another_issuer_is_left_alone(denylist: Denylist, claims: Claims, kind: Kind) -> None:
    elsewhere = claims_of(issued_at_ms=denylist.now_ms() - 60_000, iss="https://other.example", jti=claims.token_id)

    denylist.revoke(handle_of(claims, kind))

    assert not revoked(denylist, elsewhere)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_value_under_another_kind_is_left_alone(denylist: Denylist, kind: Kind) -> None:
    same = claims_of(
        issued_at_ms=denylist.now_ms() - 60_000, jti="x", sub="x", sid="x", client_id="x", key_id="x", iss=ISSUER
    )

    denylist.revoke(handle(kind, "x"))

    assert [denylist.latest_cutoff([one]) > 0 for one in same.handles] == [one.kind == kind for one in same.handles]


@pytest.mark.parametrize("kind", UNCONDITIONAL_KINDS)
def test_some_kinds_are_revoked_whatever_the_time_of_issue(denylist: Denylist, kind: Kind) -> None:
    ahead = claims_of(issued_at_ms=denylist.now_ms() + 20_000)

    receipt = denylist.revoke(handle_of(ahead, kind))

    assert denylist.latest_cutoff(ahead.handles) == math.inf
    assert revoked(denylist, ahead)
    assert receipt.revocation is not None
    assert receipt.revocation.issued_before_ms is None


@pytest.mark.parametrize("kind", CUTOFF_KINDS)
def test_other_kinds_have_a_cutoff_one_millisecond_after_the_revocation(denylist: Denylist, kind: Kind) -> None:
    before = denylist.now_ms()
    revocation = denylist.revoke(handle(kind)).revocation
    after = denylist.now_ms()

    assert revocation is not None
    assert revocation.issued_before_ms == revocation.created_at_ms + 1
    assert before <= revocation.created_at_ms <= after
    assert denylist.latest_cutoff([handle(kind)]) == revocation.issued_before_ms


@pytest.mark.parametrize("kind", CUTOFF_KINDS)
def test_what_was_issued_in_the_millisecond_of_the_revocation_is_revoked(denylist: Denylist, kind: Kind) -> None:
    revocation = denylist.revoke(handle_of(claims_of(issued_at_ms=denylist.now_ms()), kind)).revocation

    assert revocation is not None
    assert revoked(denylist, claims_of(issued_at_ms=revocation.created_at_ms))


@pytest.mark.parametrize("kind", CUTOFF_KINDS)
def test_what_is_issued_a_millisecond_later_is_in_force(denylist: Denylist, kind: Kind) -> None:
    revocation = denylist.revoke(handle_of(claims_of(issued_at_ms=denylist.now_ms()), kind)).revocation

    assert revocation is not None
    assert not revoked(denylist, claims_of(issued_at_ms=revocation.created_at_ms + 1))


def test_tokens_of_a_foreign_clock_are_judged_one_tolerance_earlier(denylist: Denylist) -> None:
    revocation = denylist.revoke(handle("subject", "ada")).revocation
    assert revocation is not None
    now = revocation.created_at_ms

    assert revoked(denylist, claims_of(issued_at_ms=now + 30_000, tolerance_seconds=30))
    assert not revoked(denylist, claims_of(issued_at_ms=now + 30_001, tolerance_seconds=30))


@pytest.mark.parametrize("kind", CUTOFF_KINDS)
def test_a_cutoff_can_be_given(denylist: Denylist, kind: Kind) -> None:
    now = denylist.now_ms()
    old, young = claims_of(issued_at_ms=now - 40_000), claims_of(issued_at_ms=now - 20_000)

    denylist.revoke(handle_of(old, kind), issued_before_ms=now - 30_000)

    assert revoked(denylist, old)
    assert not revoked(denylist, young)


def test_the_latest_cutoff_of_several_handles_counts(denylist: Denylist) -> None:
    now = denylist.now_ms()
    handles = [handle("subject"), handle("client"), handle("issuer")]
    for one, age in zip(handles, (3000, 1000, 2000), strict=True):
        denylist.revoke(one, issued_before_ms=now - age)

    assert denylist.latest_cutoff(handles) == now - 1000
    assert denylist.latest_cutoff(handles[::2]) == now - 2000
    assert denylist.latest_cutoff([]) <= 0


@pytest.mark.parametrize("kind", UNCONDITIONAL_KINDS)
def test_a_cutoff_on_a_kind_that_has_none_is_a_mistake(denylist: Denylist, kind: Kind) -> None:
    with pytest.raises(ValueError, match="unconditional"):
        denylist.revoke(handle(kind), issued_before_ms=denylist.now_ms())

    assert denylist.page().revocations == ()


@pytest.mark.parametrize("cutoff", [-1, -(10**15), 10**13, 10**30])
def test_an_impossible_cutoff_is_a_mistake(denylist: Denylist, cutoff: int) -> None:
    with pytest.raises(ValueError, match="issued_before"):
        denylist.revoke(handle("subject"), issued_before_ms=cutoff)

    assert denylist.page().revocations == ()


# Never weakened


@pytest.mark.parametrize("ages", [(1000, 9000), (9000, 1000)])
def test_of_two_cutoffs_the_later_is_in_force_in_either_order(denylist: Denylist, ages: tuple[int, int]) -> None:
    now = denylist.now_ms()
    for age in ages:
        denylist.revoke(handle("subject"), issued_before_ms=now - age)

    assert denylist.latest_cutoff([handle("subject")]) == now - 1000


@pytest.mark.parametrize("lifetimes", [(600, 3600), (3600, 600)])
def test_of_two_expiries_the_later_is_in_force_in_either_order(store: Store, lifetimes: tuple[int, int]) -> None:
    now = store.denylist.now_ms()
    for lifetime in lifetimes:
        store.denylist.revoke(handle("token", expires_at=now / 1000 + lifetime))

    remaining = store.remaining_ms(handle("token"))
    assert remaining is not None
    assert 3600_000 + 90_000 - 10_000 < remaining <= 3600_000 + 91_000


def test_a_weaker_revocation_changes_nothing_but_can_be_told_apart(denylist: Denylist) -> None:
    now = denylist.now_ms()
    strong = denylist.revoke(handle("subject"), issued_before_ms=now - 1000).revocation
    weak = denylist.revoke(handle("subject"), issued_before_ms=now - 9000).revocation
    assert strong is not None
    assert weak is not None

    assert denylist.latest_cutoff([handle("subject")]) == now - 1000
    assert denylist.undo(strong.id)
    assert denylist.latest_cutoff([handle("subject")]) == now - 9000
    assert denylist.undo(weak.id)
    assert denylist.latest_cutoff([handle("subject")]) <= 0


# Undo


@pytest.mark.parametrize("kind", KINDS)
def test_undo_brings_the_token_back(denylist: Denylist, claims: Claims, kind: Kind) -> None:
    revocation = denylist.revoke(handle_of(claims, kind)).revocation
    assert revocation is not None

    assert denylist.undo(revocation.id, reason="mistake", actor="root")
    assert not revoked(denylist, claims)


@pytest.mark.parametrize("kind", KINDS)
def test_undo_never_lifts_what_somebody_else_revoked(denylist: Denylist, claims: Claims, kind: Kind) -> None:
    mine = denylist.revoke(handle_of(claims, kind), actor="me").revocation
    theirs = denylist.revoke(handle_of(claims, kind), actor="them").revocation
    assert mine is not None
    assert theirs is not None

    assert denylist.undo(mine.id)
    assert revoked(denylist, claims)
    assert denylist.undo(theirs.id)
    assert not revoked(denylist, claims)


def test_a_second_undo_does_nothing(denylist: Denylist) -> None:
    first = denylist.revoke(handle("session")).revocation
    assert first is not None
    assert denylist.undo(first.id)
    second = denylist.revoke(handle("session")).revocation
    assert second is not None

    assert denylist.undo(first.id) is False
    assert denylist.latest_cutoff([handle("session")]) == math.inf


def test_two_revocations_never_have_the_same_id(denylist: Denylist) -> None:
    receipt = denylist.revoke_many([handle("token", str(number)) for number in range(20)] * 2)

    assert len({one.id for one in receipt.revocations}) == 40


@pytest.mark.parametrize(
    "unknown",
    ["", "x", "1-0-00000000", "0-0-zzzzzzzz", "9" * 30, "*", "1-1-0000000\n", "1-0-00000000 *", "-", "--", "é"],
)
def test_an_unknown_id_is_not_undone_and_not_found(denylist: Denylist, unknown: str) -> None:
    denylist.revoke(handle("session"))

    assert denylist.undo(unknown) is False
    assert denylist.find(unknown) is None


def test_the_expiry_stands_after_an_undo(store: Store) -> None:
    now = store.denylist.now_ms()
    long = store.denylist.revoke(handle("token", expires_at=now / 1000 + 3600)).revocation
    store.denylist.revoke(handle("token", expires_at=now / 1000 + 600))
    assert long is not None

    assert store.denylist.undo(long.id)

    remaining = store.remaining_ms(handle("token"))
    assert remaining is not None
    assert remaining > 600_000 + 80_000


def test_eight_revocations_of_one_handle_can_each_be_undone(denylist: Denylist) -> None:
    receipts = [denylist.revoke(handle("subject")) for _ in range(8)]

    assert [denylist.undo(one.id) for receipt in receipts for one in receipt.revocations] == [True] * 8
    assert denylist.latest_cutoff([handle("subject")]) <= 0


@pytest.mark.parametrize("kind", ["session", "subject", "key"])
def test_what_was_undone_before_the_others_were_merged_stays_undone(denylist: Denylist, kind: Kind) -> None:
    alone = denylist.revoke(handle(kind)).revocations[0].id
    assert denylist.undo(alone)
    gone, *others = [denylist.revoke(handle(kind)).revocations[0].id for _ in range(4)]
    assert denylist.undo(gone)
    others += [denylist.revoke(handle(kind)).revocations[0].id for _ in range(8)]

    for undone in (alone, gone):
        assert denylist.find(undone) is None
        assert denylist.undo(undone) is False
    assert {one.id for one in all_pages(denylist)} == set(others)
    with pytest.raises(ConflictError):
        denylist.undo(others[0])


def test_above_eight_the_oldest_are_merged_and_cannot_be_undone(denylist: Denylist) -> None:
    now = denylist.now_ms()
    ids = []
    for number in range(10):
        revocation = denylist.revoke(handle("subject"), issued_before_ms=now - 1000 * number).revocation
        assert revocation is not None
        ids.append(revocation.id)

    for merged in ids[:3]:
        with pytest.raises(ConflictError):
            denylist.undo(merged)
        assert denylist.find(merged) is not None
    assert [denylist.undo(own) for own in ids[3:]] == [True] * 7
    # What was merged is in force, at its strongest.
    assert denylist.latest_cutoff([handle("subject")]) == now


def test_merging_forgets_no_unconditional_revocation(denylist: Denylist) -> None:
    for _ in range(30):
        denylist.revoke(handle("session"))
    live = all_pages(denylist)

    for one in live:
        try:
            denylist.undo(one.id)
        except ConflictError:
            continue

    assert denylist.latest_cutoff([handle("session")]) == math.inf


@dataclass
class Model:
    """The rules again, in the fewest words: what was revoked, and the strongest of it."""

    standing: dict[str, list[tuple[str, float]]] = field(default_factory=dict)

    def cutoff(self, handles: Sequence[Handle]) -> float:
        return max((cutoff for one in handles for _, cutoff in self.standing.get(one.name, [])), default=0)


HISTORY_HANDLES = [Handle(kind, "" if kind == "issuer" else "h", issuer=ISSUER) for kind in KINDS]


@given(st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_history_of_revoking_and_undoing_gives_what_the_rules_say(
    request: pytest.FixtureRequest, data: st.DataObject
) -> None:
    client = request.getfixturevalue("valkey").client()
    stores: list[Denylist] = [MemoryDenylist(), opened(client, f"t{secrets.token_hex(8)}")]
    models, ids = [Model(), Model()], [list[str](), list[str]()]
    now = stores[1].now_ms()
    for _ in range(data.draw(st.integers(0, 12))):
        one = data.draw(st.sampled_from(HISTORY_HANDLES))
        undoing = data.draw(st.booleans()) and bool(ids[0])
        undone = data.draw(st.integers(0, 12)) if undoing else None
        cutoff = None if one.kind in UNCONDITIONAL_KINDS else now + data.draw(st.integers(-10, 0))
        for place, store in enumerate(stores):
            model, known = models[place], ids[place]
            if undone is not None:
                id_ = known[undone % len(known)]
                there = [name for name, list_ in model.standing.items() if id_ in dict(list_)]
                assert store.undo(id_) == bool(there)
                for name in there:
                    model.standing[name] = [pair for pair in model.standing[name] if pair[0] != id_]
            elif len(model.standing.get(one.name, [])) < 8:
                id_ = store.revoke(one, issued_before_ms=cutoff).revocations[0].id
                known.append(id_)
                model.standing.setdefault(one.name, []).append((id_, math.inf if cutoff is None else cutoff))
    for store, model, known in zip(stores, models, ids, strict=True):
        for one in HISTORY_HANDLES:
            assert max(0, store.latest_cutoff([one])) == model.cutoff([one])
        assert max(0, store.latest_cutoff(HISTORY_HANDLES)) == model.cutoff(HISTORY_HANDLES)
        alive = {id_ for list_ in model.standing.values() for id_, _ in list_}
        assert [one.id for one in all_pages(store)] == [id_ for id_ in known[::-1] if id_ in alive]
    assert models[0].cutoff(HISTORY_HANDLES) == models[1].cutoff(HISTORY_HANDLES)


# Keys


def test_a_key_stands_until_it_is_undone(store: Store) -> None:
    revocation = store.denylist.revoke(handle("key")).revocation

    assert revocation is not None
    assert revocation.expires_at_ms is None
    assert store.remaining_ms(handle("key")) is None


def test_ten_thousand_keys_can_be_revoked_and_no_more(denylist: Denylist) -> None:
    keys = [handle("key", f"key-{number}") for number in range(10_000)]
    receipt = denylist.revoke_many(keys, actor="root")

    with pytest.raises(ConflictError):
        denylist.revoke(handle("key", "one-more"))
    assert denylist.latest_cutoff([handle("key", "one-more")]) <= 0
    with pytest.raises(ConflictError):
        denylist.revoke_many([keys[0], handle("key", "one-more")], actor="root")
    # Again: it stands already.
    again = denylist.revoke_many([keys[0], keys[9999]], actor="root").revocations
    assert [one.id for one in again] == [receipt.revocations[0].id, receipt.revocations[9999].id]
    assert denylist.revoke(handle("token")).revocation is not None

    assert denylist.undo(receipt.revocations[1].id)
    assert denylist.revoke(handle("key", "one-more")).revocation is not None


# Expiry


@pytest.mark.parametrize("kind", KINDS)
def test_an_entry_lives_until_the_last_token_it_concerns_is_dead(store: Store, kind: Kind) -> None:
    revocation = store.denylist.revoke(handle(kind)).revocation
    remaining = store.remaining_ms(handle(kind))
    assert revocation is not None

    if kind == "key":
        assert remaining is None
        assert revocation.expires_at_ms is None
    else:
        ends = (revocation.issued_before_ms or revocation.created_at_ms) + store.denylist.lifetimes.entry_ms(kind)
        # Rounded up to the full hour after the next, so that a repeat within the hour adds nothing.
        rounded = (ends // HOUR_MS + 2) * HOUR_MS
        assert ends + HOUR_MS < rounded <= ends + 2 * HOUR_MS
        assert abs((revocation.expires_at_ms or 0) - rounded) <= 1000
        assert remaining is not None
        expected = rounded - revocation.created_at_ms
        assert expected - 10_000 < remaining <= expected + 1000


def test_an_entry_of_a_token_lives_until_the_token_is_dead(store: Store) -> None:
    expires_at = store.denylist.now_ms() // 1000 + 500.25  # rounded up

    revocation = store.denylist.revoke(handle("token", expires_at=expires_at)).revocation

    assert revocation is not None
    assert revocation.expires_at_ms == 1000 * (math.ceil(expires_at) + 30 + 60)
    remaining = store.remaining_ms(handle("token"))
    assert remaining is not None
    assert 580_000 < remaining <= 592_000


@pytest.mark.parametrize("ago", [91, 3600, 10**8, 2 * 10**9, 10**12])
def test_a_token_that_is_dead_everywhere_needs_no_entry(denylist: Denylist, ago: int) -> None:
    receipt = denylist.revoke(handle("token", expires_at=denylist.now_ms() / 1000 - ago))

    assert receipt.revocations == ()
    assert receipt.revocation is None
    assert receipt.enforced
    assert denylist.page().revocations == ()


def test_a_token_within_leeway_and_margin_of_its_end_still_gets_an_entry(store: Store) -> None:
    receipt = store.denylist.revoke(handle("token", expires_at=store.denylist.now_ms() / 1000 - 80))

    assert receipt.revocation is not None
    remaining = store.remaining_ms(handle("token"))
    assert remaining is not None
    assert 0 < remaining <= 11_000


def test_a_cutoff_ahead_of_the_clock_is_refused_because_its_entry_would_outlive_the_log(store: Store) -> None:
    with pytest.raises(ValueError, match="later than now"):
        store.denylist.revoke(handle("subject"), issued_before_ms=store.denylist.now_ms() + 60_000)
    assert store.remaining_ms(handle("subject")) == 0


def test_only_what_can_concern_a_session_lives_as_long_as_one() -> None:
    lifetimes = Lifetimes(max_token_seconds=900, leeway_seconds=30, margin_seconds=60, session_seconds=10**6)

    assert {kind: lifetimes.entry_ms(kind) for kind in KINDS if kind != "key"} == {
        "token": 1_020_000,
        "session": 1_000_120_000,
        "subject": 1_000_120_000,
        "client": 1_000_120_000,
        "issuer": 1_000_120_000,
    }
    assert replace(lifetimes, session_seconds=60).entry_ms("session") == 1_020_000


# Many at once


def test_many_handles_are_revoked_together(denylist: Denylist, claims: Claims) -> None:
    receipt = denylist.revoke_many(claims.handles, reason="compromised")

    assert [one.handle for one in receipt.revocations] == list(claims.handles)
    assert all(denylist.latest_cutoff([one]) > 0 for one in claims.handles)


def test_revoking_nothing_is_acknowledged(denylist: Denylist) -> None:
    receipt = denylist.revoke_many([])

    assert receipt.revocations == ()
    assert receipt.enforced


def test_the_same_handle_twice_in_one_call_is_revoked_twice(denylist: Denylist) -> None:
    first, second = denylist.revoke_many([handle("session"), handle("session")]).revocations

    assert denylist.undo(first.id)
    assert denylist.latest_cutoff([handle("session")]) == math.inf
    assert denylist.undo(second.id)
    assert denylist.latest_cutoff([handle("session")]) <= 0


def test_a_receipt_knows_of_no_followers_yet_once_leases_from_before_have_run_out(store: Store, namespace: str) -> None:
    denylist = store.denylist
    if store.client is not None:
        denylist = RedisDenylist(store.client, namespace=namespace + "-short")
        denylist.open(accept_existing=True, longest_bound_seconds=0.2)
        early = denylist.revoke(handle("token"))
        assert (early.enforced, early.followers_confirmed, early.followers_total) == (False, 0, 0)
        assert "leases from before" in early.obstacle

    receipt = denylist.revoke(handle("token"), wait_seconds=20)

    assert (receipt.enforced, receipt.followers_confirmed, receipt.followers_total) == (True, 0, 0)
    assert receipt.obstacle == ""
    assert 0 <= receipt.elapsed_seconds < 10


# Who, why, and the live list


@pytest.mark.parametrize("kind", KINDS)
def test_who_why_and_when_travel_with_the_revocation(denylist: Denylist, kind: Kind) -> None:
    written = denylist.revoke(handle(kind, "Käse 🧀/:~x"), reason='"laptop" stolen \\ ünïcode', actor="root@host")

    found = denylist.find(written.revocations[0].id)

    assert found == written.revocation
    assert found is not None
    assert (found.reason, found.actor) == ('"laptop" stolen \\ ünïcode', "root@host")
    assert found.handle == handle(kind, "Käse 🧀/:~x")
    assert denylist.page().revocations == (found,)


@pytest.mark.parametrize(
    "note",
    ["a\nb", "\x00", "a\rb", "\x1b[31m", "\x7f", "\x85", "\u2028", "\u2029", "\ud800", "x" * (MAX_NOTE_LENGTH + 1)],
)
@pytest.mark.parametrize("place", ["reason", "actor"])
def test_an_unfit_note_is_a_mistake(denylist: Denylist, note: str, place: str) -> None:
    calls: list[Callable[..., object]] = [lambda **notes: denylist.revoke(handle("token"), **notes)]
    calls.append(lambda **notes: denylist.undo("1-1-00000000", **notes))
    for call in calls:
        with pytest.raises(ValueError, match="a reason or actor"):
            call(**{place: note})

    assert denylist.page().revocations == ()


def test_the_longest_note_is_kept(denylist: Denylist) -> None:
    note = "€" * MAX_NOTE_LENGTH

    revocation = denylist.revoke(handle("token"), reason=note, actor=note).revocation

    assert revocation is not None
    found = denylist.find(revocation.id)
    assert found is not None
    assert (found.reason, found.actor) == (note, note)


def test_the_list_shows_every_kind_newest_first(denylist: Denylist) -> None:
    written = [denylist.revoke(handle(kind)).revocation for kind in KINDS]

    assert all_pages(denylist) == written[::-1]


@pytest.mark.parametrize("kind", KINDS)
def test_the_list_can_be_of_one_kind(denylist: Denylist, kind: Kind) -> None:
    for each in KINDS:
        for value in ("one", "two"):
            denylist.revoke(handle(each, value))

    found = all_pages(denylist, kind=kind, limit=1)

    assert [one.handle.kind for one in found] == [kind, kind]


@pytest.mark.parametrize("limit", [1, 3, 7, 21, 50])
def test_pages_together_are_the_whole_list(denylist: Denylist, limit: int) -> None:
    written = denylist.revoke_many([handle("token", str(number)) for number in range(21)]).revocations

    assert all_pages(denylist, limit=limit) == list(written[::-1])


def test_what_was_undone_leaves_the_list(denylist: Denylist) -> None:
    receipts = [denylist.revoke(handle(kind)) for kind in KINDS]
    kept = receipts.pop().revocation
    for receipt in receipts:
        for one in receipt.revocations:
            assert denylist.undo(one.id)
            assert denylist.find(one.id) is None

    assert all_pages(denylist) == [kept]


@pytest.mark.parametrize("cursor", ["x", "-1", "log:", "log:x", "lasting:-1", "log:1-1-1", "10 ", "\x00", "²"])
def test_a_made_up_cursor_is_a_mistake(denylist: Denylist, cursor: str) -> None:
    with pytest.raises(ValueError, match="cursor"):
        denylist.page(cursor=cursor)


# What was lost


def test_a_deny_list_that_forgot_gives_no_answer_until_it_is_opened(clock: Clock) -> None:
    denylist = MemoryDenylist(clock=clock)
    denylist.revoke(handle("session"))
    denylist.flush()

    questions: list[Callable[[], object]] = [
        lambda: denylist.latest_cutoff([]),
        lambda: denylist.revoke(handle("token")),
        lambda: denylist.undo("1-1-00000000"),
        lambda: denylist.find("1-1-00000000"),
        denylist.page,
        denylist.now_ms,
    ]
    for ask in questions:
        with pytest.raises(DenylistEmptyError):
            ask()


def test_after_a_loss_nothing_from_before_is_accepted_whatever_is_revoked_then(clock: Clock) -> None:
    denylist = MemoryDenylist(clock=clock)
    before = claims_of(issued_at_ms=denylist.now_ms())
    denylist.flush()
    denylist.open()

    assert revoked(denylist, before)
    denylist.revoke(handle("subject", "ada"), issued_before_ms=1)
    assert revoked(denylist, before)
    clock.advance(1)
    after = claims_of(issued_at_ms=denylist.now_ms())
    assert not revoked(denylist, after)


def test_after_a_loss_what_is_out_there_can_be_accepted(clock: Clock) -> None:
    denylist = MemoryDenylist(clock=clock)
    before = claims_of(issued_at_ms=denylist.now_ms())
    denylist.flush()
    denylist.open(accept_existing=True)

    assert not revoked(denylist, before)


def test_a_merged_revocation_that_has_expired_is_simply_gone(clock: Clock) -> None:
    denylist = MemoryDenylist(clock=clock)
    first, *_ = denylist.revoke_many([handle("session")] * 10).revocations
    assert denylist.find(first.id) == first
    clock.advance(((first.expires_at_ms or 0) - denylist.now_ms()) / 1000)

    assert denylist.find(first.id) is None
    assert denylist.undo(first.id) is False


def test_several_questions_are_answered_in_their_order(denylist: Denylist) -> None:
    denylist.revoke(handle("session"))

    assert denylist.latest_cutoffs([[handle("session")], [handle("subject")], []]) == [
        math.inf,
        denylist.latest_cutoff([handle("subject")]),
        denylist.latest_cutoff([]),
    ]


def test_the_revocations_of_one_handle_are_listed_without_those_of_others(denylist: Denylist) -> None:
    first = denylist.revoke(handle("subject"), reason="first").revocation
    denylist.revoke(handle("client"))
    second = denylist.revoke(handle("subject"), reason="second").revocation
    assert first is not None
    assert second is not None

    assert [revocation.id for revocation in denylist.of_handle(handle("subject"))] == [first.id, second.id]
    denylist.undo(first.id)
    assert [revocation.id for revocation in denylist.of_handle(handle("subject"))] == [second.id]
    assert denylist.of_handle(handle("token")) == ()


def test_changes_are_told_once_and_in_their_order(denylist: Denylist) -> None:
    denylist.revoke(handle("client"))
    none, cursor = denylist.changes()
    revocation = denylist.revoke(
        handle("subject"), reason="stolen", actor="ada", address="192.0.2.7", action="laptop.lost"
    ).revocation
    assert revocation is not None
    denylist.undo(revocation.id, reason="found again", actor="bob")

    assert none == ()
    (first,), cursor = denylist.changes(after=cursor, limit=1)
    (second,), cursor = denylist.changes(after=cursor)
    assert denylist.changes(after=cursor)[0] == ()
    assert [first.undone, second.undone] == [False, True]
    assert first.revocation_id == second.revocation_id == revocation.id
    assert first.note == Note("ada", "stolen", "192.0.2.7", "laptop.lost")
    assert second.note == Note("bob", "found again")
    assert first.id != second.id
    with pytest.raises(ValueError, match="cursor"):
        denylist.changes(after="from elsewhere")


def test_a_revocation_may_say_how_long_it_waits_everywhere(denylist: Denylist) -> None:
    receipt = denylist.revoke(handle("session"), wait_seconds=1)
    assert receipt.followers_total == 0
    assert denylist.revoke_many([handle("client")], wait_seconds=0).revocation is not None


def test_a_change_names_what_was_taken_back_together(denylist: Denylist) -> None:
    _, cursor = denylist.changes()
    made = denylist.revoke_many([handle("subject"), handle("client")], actor="ada").revocations

    changes, _ = denylist.changes(after=cursor)

    assert made[0].batch
    assert [change.note for change in changes] == [Note("ada", batch=made[0].batch)] * 2
