"""TokenCache: bounded, of one key set, and no way round what is checked every time."""

import pytest

from revocation import Claims, ExpiredTokenError, InvalidTokenError, KeySet
from revocation.testing import Clock
from revocation.token_cache import TokenCache
from tests.support.tokens import Forge, claims_of, key


def test_it_is_bounded_and_keeps_what_is_used() -> None:
    cache: TokenCache[Claims] = TokenCache(size=1000)
    claims, used = claims_of(issued_at_ms=1_800_000_000_000), b"used"
    cache.put(used, claims)
    for number in range(100_000):
        cache.put(number.to_bytes(4, "big"), claims)
        assert cache.get(used) is claims
        assert len(cache) <= 1000


def test_new_keys_mean_an_empty_cache() -> None:
    forge, other = Forge(), key(name="second")
    keys = KeySet([forge.key])

    class Source:
        def key_set(self) -> KeySet:
            return keys

        def refreshed(self) -> KeySet:
            return keys

    verifier, token = forge.verifier(Source()), forge.token()
    verifier.verify(token)
    verifier.verify(token)
    assert (verifier.cache_hits, verifier.cache_misses) == (1, 1)
    keys = KeySet([other])
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)


def test_expiry_and_not_before_are_checked_every_time() -> None:
    clock = Clock()
    forge = Forge(clock=clock)
    verifier = forge.verifier(leeway_seconds=0)
    token = forge.token(forge.claims(nbf=int(clock())))
    verifier.verify(token)
    clock.advance(-10)
    with pytest.raises(InvalidTokenError):
        verifier.verify(token)
    clock.advance(10_000)
    with pytest.raises(ExpiredTokenError):
        verifier.verify(token)


def test_two_verifiers_share_nothing_and_a_swapped_body_is_another_token() -> None:
    forge = Forge()
    ours, theirs, token = forge.verifier(), forge.verifier(audience="https://other.example"), forge.token()
    ours.verify(token)
    with pytest.raises(InvalidTokenError, match="audience"):
        theirs.verify(token)
    parts, other = token.split("."), forge.token(forge.claims(sub="eve")).split(".")
    with pytest.raises(InvalidTokenError):
        ours.verify(".".join([parts[0], other[1], parts[2]]))


def test_size_0_is_off() -> None:
    forge = Forge()
    verifier, token = forge.verifier(cache_size=0), forge.token()
    verifier.verify(token)
    verifier.verify(token)
    assert (verifier.cache_hits, verifier._cache) == (0, None)
