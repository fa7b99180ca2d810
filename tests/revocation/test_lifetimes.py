"""The invariant of expiry: no instant at which a revoked token is accepted because its entry is gone."""

import math
from fractions import Fraction

from hypothesis import assume, given
from hypothesis import strategies as st

from revocation import Guard, Handle, InvalidTokenError, Lifetimes, MemoryDenylist
from revocation.denylist import is_revoked
from revocation.handles import KINDS, Kind
from revocation.testing import Clock
from tests.support.tokens import Forge, key

NOW = 1_800_000_000

#: Any instant is as good as another, but boundaries are where mistakes live: just before, on and just after.
AROUND_MS = (-1000, -2, -1, 0, 1, 2, 1000)

LIFETIMES = st.builds(
    Lifetimes,
    max_token_seconds=st.integers(1, 100_000),
    leeway_seconds=st.integers(0, 300),
    margin_seconds=st.integers(1, 600),
    session_seconds=st.sampled_from([0, 0, 1000, 10**7]),
)


def milliseconds(low: int, high: int) -> st.SearchStrategy[float]:
    return st.integers(low * 1000, high * 1000).map(lambda ms: ms / 1000)


@st.composite
def histories(draw: st.DrawFn) -> tuple[Lifetimes, Kind, int, int, float, float, float]:
    """Lifetimes, what is revoked, the verifier's leeway, the token's life, how far its `iat` and the verifier's clock
    are from Redis' clock at the revocation, and whether the tolerance for `iat` is used."""
    lifetimes = draw(LIFETIMES)
    leeway = draw(st.integers(0, lifetimes.leeway_seconds))
    life = draw(st.integers(1, lifetimes.max_token_seconds))
    # What is promised: the clocks of a verifier and of Redis differ by less than the margin.
    lag = draw(milliseconds(-lifetimes.margin_seconds, lifetimes.margin_seconds)) * 0.999
    issued = draw(milliseconds(-life - 2 * leeway, 2 * lifetimes.leeway_seconds + 2))
    tolerance = draw(st.sampled_from([0.0, float(lifetimes.leeway_seconds)]))
    return lifetimes, draw(st.sampled_from(KINDS)), leeway, life, issued, lag, tolerance


@given(histories(), st.lists(milliseconds(0, 120_000), max_size=5))
def test_no_revoked_token_is_accepted_because_its_entry_is_gone(
    history: tuple[Lifetimes, Kind, int, int, float, float, float], moments: list[float]
) -> None:
    lifetimes, kind, leeway, life, issued, lag, tolerance = history
    redis, verifying = Clock(NOW), Clock(NOW - lag)
    forge = Forge(key("HS256"), clock=verifying)
    denylist = MemoryDenylist(lifetimes=lifetimes, clock=redis)
    verifier = forge.verifier(
        leeway_seconds=leeway,
        max_lifetime_seconds=lifetimes.max_token_seconds,
        iat_tolerance_seconds=tolerance,
    )
    guard = Guard(verifier, denylist, max_staleness=0, clock=verifying)
    iat = round(NOW + issued, 3)
    expires_at = math.floor(iat) + life
    assume(expires_at > iat)
    token = forge.token({**forge.claims(), "iat": iat, "exp": expires_at})
    verifying.now = iat + 0.0005  # a moment at which anybody can read it
    claims = verifier.verify_ignoring_expiry(token)
    handle = Handle.token(claims) if kind == "token" else next(one for one in claims.handles if one.kind == kind)

    receipt = denylist.revoke(handle)
    assume(is_revoked(claims, denylist.latest_cutoff(claims.handles)) or receipt.revocation is None)

    ends = [(expires_at + leeway + lag) * 1000]
    if receipt.revocation is not None and receipt.revocation.expires_at_ms is not None:
        ends.append(receipt.revocation.expires_at_ms)
    boundaries = [(end + around) / 1000 for end in ends for around in AROUND_MS]
    for moment in sorted([NOW, *boundaries, *(NOW + one for one in moments)]):
        if moment < NOW:
            continue
        redis.now, verifying.now = moment, moment - lag
        try:
            guard.authenticate(token)
        except InvalidTokenError:
            continue
        raise AssertionError(f"accepted {moment - NOW:.3f} s after it was revoked")


@given(LIFETIMES, st.fractions(1, 10**9), st.fractions(0, 1))
def test_the_entry_of_a_token_ends_a_whole_margin_after_the_token_everywhere(
    lifetimes: Lifetimes, expires_at: Fraction, part_of_leeway: Fraction
) -> None:
    accepted_until = expires_at + part_of_leeway * lifetimes.leeway_seconds

    remaining = Fraction(lifetimes.dead_at_ms(float(expires_at)), 1000) - accepted_until

    assert remaining >= lifetimes.margin_seconds - Fraction(1, 10**6)
    assert remaining <= lifetimes.margin_seconds + lifetimes.leeway_seconds + 1


@given(LIFETIMES, st.fractions(0, 10**6), st.fractions(0, 1), st.sampled_from(KINDS))
def test_the_entry_of_a_cutoff_ends_a_whole_margin_after_the_last_token_it_covers(
    lifetimes: Lifetimes, life: Fraction, ahead: Fraction, kind: Kind
) -> None:
    revoked_at = Fraction(NOW)
    last_issued_at = revoked_at + ahead * lifetimes.leeway_seconds
    dead_at = last_issued_at + min(life, Fraction(lifetimes.max_token_seconds)) + lifetimes.leeway_seconds

    entry_until = revoked_at + Fraction(lifetimes.entry_ms(kind), 1000)

    assert entry_until >= dead_at + lifetimes.margin_seconds
    assert kind == "token" or entry_until >= revoked_at + lifetimes.session_seconds + lifetimes.margin_seconds


@given(LIFETIMES)
def test_the_log_outlives_every_entry_of_a_token(lifetimes: Lifetimes) -> None:
    newest_dead = 1000 * (lifetimes.max_token_seconds + lifetimes.leeway_seconds + lifetimes.margin_seconds)

    assert lifetimes.horizon_ms >= newest_dead
    assert lifetimes.horizon_ms >= lifetimes.entry_ms("token")
