"""TokenIssuer: what it mints is an RFC 9068 token that TokenVerifier accepts."""

import json
import re

import pytest

from revocation import ConfigurationError, InvalidTokenError, Key, KeySet, TokenIssuer
from revocation.keys import AlgorithmName
from revocation.testing import Clock
from tests.support.tokens import AUDIENCE, ISSUER, Forge, decoded, key, pem, private_key, public_pem


def issuer_of(keys: KeySet, clock: Clock) -> TokenIssuer:
    return TokenIssuer(keys, issuer=ISSUER, audience=AUDIENCE, clock=clock)


def parts(token: str) -> tuple[dict[str, object], dict[str, object]]:
    head, body, _ = token.split(".")
    return json.loads(decoded(head)), json.loads(decoded(body))


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA", "HS256"])
def test_what_is_issued_verifies(algorithm: AlgorithmName) -> None:
    forge = Forge(key(algorithm))

    token = issuer_of(KeySet([forge.key]), forge.clock).issue("ada", scope="me reports:read", session="s-1")

    claims = forge.verifier().verify(token)
    assert (claims.subject, claims.scope, claims.session_id) == ("ada", frozenset({"me", "reports:read"}), "s-1")
    assert (claims.client_id, claims.key_id) == ("first-party", forge.key.id)


def test_a_token_has_every_claim_that_the_profile_requires() -> None:
    forge = Forge()

    header, claims = parts(issuer_of(KeySet([forge.key]), forge.clock).issue("ada"))

    assert header == {"typ": "at+jwt", "alg": "ES256", "kid": forge.key.id}
    assert set(claims) == {"iss", "exp", "aud", "sub", "client_id", "iat", "iat_ms", "jti"}
    assert claims["exp"] == int(forge.clock()) + 900


def test_every_token_has_an_id_of_128_random_bits() -> None:
    forge = Forge(key("HS256"))
    issuer = issuer_of(KeySet([forge.key]), forge.clock)

    ids = {str(parts(issuer.issue("ada"))[1]["jti"]) for _ in range(500)}

    assert len(ids) == 500
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", one) for one in ids)


@pytest.mark.parametrize("instant", [1_800_000_000.0, 1_800_000_000.0004, 1_800_000_000.123456, 1_800_000_000.9999])
def test_iat_is_whole_seconds_beside_its_milliseconds_and_exp_is_never_later_than_the_lifetime(instant: float) -> None:
    clock = Clock(instant + 5)
    forge = Forge(key("HS256"), clock=clock)
    issuer = issuer_of(KeySet([forge.key]), clock)

    token = issuer.issue("ada", issued_at=instant, lifetime_seconds=60)

    _, claims = parts(token)
    assert type(claims["iat"]) is int
    assert claims["iat"] == round(instant, 3) // 1
    assert claims["iat_ms"] == round(instant * 1000)
    assert claims["exp"] == int(instant) + 60
    verified = forge.verifier(max_lifetime_seconds=60, iat_tolerance_seconds=0).verify(token)
    assert verified.judged_at_ms == round(instant * 1000)


def test_the_clock_of_the_host_is_used_where_no_instant_is_given() -> None:
    clock = Clock(1_800_000_123.25)
    _, claims = parts(issuer_of(KeySet([key("HS256")]), clock).issue("ada"))

    assert (claims["iat"], claims["iat_ms"]) == (1_800_000_123, 1_800_000_123_250)


def test_scope_is_text_or_words() -> None:
    issuer = issuer_of(KeySet([key("HS256")]), Clock())

    assert parts(issuer.issue("ada", scope={"b", "a"}))[1]["scope"] == "a b"
    assert parts(issuer.issue("ada", scope="b a"))[1]["scope"] == "b a"
    for nothing in ("", (), set[str]()):
        assert "scope" not in parts(issuer.issue("ada", scope=nothing))[1]


def test_client_and_audiences_can_be_given() -> None:
    issuer = TokenIssuer(KeySet([key("HS256")]), issuer=ISSUER, audience=("a", "b"), client_id="web", clock=Clock())

    assert parts(issuer.issue("ada"))[1]["client_id"] == "web"
    _, claims = parts(issuer.issue("ada", client_id="mobile"))
    assert (claims["client_id"], claims["aud"]) == ("mobile", ["a", "b"])


def test_the_newest_key_that_signs_already_is_used() -> None:
    clock = Clock(1_800_000_000)
    old, new = (
        Key.from_pem(pem(private_key("ES256", name)), signs_from=start)
        for name, start in (("a", 0.0), ("b", 1_800_000_010))
    )
    issuer = issuer_of(KeySet([old, new]), clock)

    assert parts(issuer.issue("ada"))[0]["kid"] == old.id
    # By its own clock, whatever the token says.
    assert parts(issuer.issue("ada", issued_at=1_800_000_020))[0]["kid"] == old.id
    clock.advance(10)
    assert parts(issuer.issue("ada"))[0]["kid"] == new.id


def test_without_a_key_that_signs_nothing_is_issued() -> None:
    public = KeySet([Key.from_pem(public_pem(key("ES256").verifying))])

    with pytest.raises(ConfigurationError, match="no key signs"):
        issuer_of(public, Clock()).issue("ada")


def test_a_life_longer_than_verifiers_allow_is_theirs_to_refuse() -> None:
    forge = Forge(key("HS256"))
    token = issuer_of(KeySet([forge.key]), forge.clock).issue("ada", lifetime_seconds=86_401)

    with pytest.raises(InvalidTokenError, match="longer than 86400"):
        forge.verifier().verify(token)


def test_claims_of_ones_own_are_in_the_token_and_never_those_by_which_it_is_judged() -> None:
    forge = Forge()
    issuer = issuer_of(KeySet([forge.key]), forge.clock)
    own = {"roles": ["admin"], "act": {"sub": "agent"}, "https://app.example/tier": 3}

    assert forge.verifier().verify(issuer.issue("ada", claims=own)).raw.items() >= own.items()
    judged = set(parts(issuer.issue("ada", scope="me", session="s-1"))[1]) | {"nbf", "azp", "scp"}
    for name in judged:
        with pytest.raises(ValueError, match=f"cannot be {name}:"):
            issuer.issue("ada", claims={**own, name: "x"})
