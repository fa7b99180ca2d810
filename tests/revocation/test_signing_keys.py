"""A key that signs is not revoked by mistake: its issuer announces it in the deny-list."""

import pytest

from revocation import Handle, RedisDenylist, SigningKeyError
from revocation.redis.connect import connect
from tests.support.servers import Server

ISSUER, OTHER = "https://auth.example", "https://other.example"
NOW = 1_800_000_000.0


@pytest.fixture
def denylist(valkey: Server, namespace: str) -> RedisDenylist:
    denylist = RedisDenylist(connect(valkey.url), namespace=namespace)
    denylist.open(accept_existing=True)
    denylist.signing_keys._clock = lambda: NOW
    denylist.signing_keys.announce(ISSUER, {"old": NOW - 200, "now": NOW - 100, "next": NOW + 100})
    return denylist


@pytest.mark.parametrize("value", ["now", "next"])
def test_a_key_that_signs_now_or_will_is_refused_with_the_way_to_do_it(denylist: RedisDenylist, value: str) -> None:
    handle = Handle("key", value, issuer=ISSUER)
    before = denylist.head()

    with pytest.raises(SigningKeyError, match=f"python -m app keys revoke {value}"):
        denylist.revoke(handle)
    with pytest.raises(SigningKeyError):
        denylist.revoke_many([Handle("subject", "ada", issuer=ISSUER), handle])

    assert denylist.head() == before


@pytest.mark.parametrize(("value", "issuer"), [("old", ISSUER), ("unknown", ISSUER), ("now", OTHER)])
def test_any_other_key_is_revoked(denylist: RedisDenylist, value: str, issuer: str) -> None:
    assert denylist.revoke(Handle("key", value, issuer=issuer)).written


def test_a_key_whose_time_is_over_is_revoked(denylist: RedisDenylist) -> None:
    denylist.signing_keys._clock = lambda: NOW + 100

    assert denylist.revoke(Handle("key", "now", issuer=ISSUER)).written
    with pytest.raises(SigningKeyError):
        denylist.revoke(Handle("key", "next", issuer=ISSUER))


def test_of_two_keys_of_one_second_the_one_that_a_key_set_chooses_signs(denylist: RedisDenylist) -> None:
    denylist.signing_keys.announce(ISSUER, {"a": NOW, "b": NOW})

    assert denylist.revoke(Handle("key", "a", issuer=ISSUER)).written
    with pytest.raises(SigningKeyError):
        denylist.revoke(Handle("key", "b", issuer=ISSUER))


def test_what_is_announced_replaces_what_was_and_ends_by_itself(denylist: RedisDenylist, valkey: Server) -> None:
    denylist.signing_keys.announce(ISSUER, {"another": NOW})

    assert denylist.revoke(Handle("key", "now", issuer=ISSUER)).written
    client = denylist.link.client
    assert 0 < client.ttl(denylist.namespace.signing(ISSUER)) <= 31 * 86_400
