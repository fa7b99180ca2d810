"""Other tokens of the same issuer, signed with the same key, are no access tokens; nor are tokens for others."""

import json
from typing import Any

import pytest

from revocation import InvalidTokenError, RevokedTokenError, TokenIssuer
from revocation.testing import Sandbox
from tests.support.tokens import Forge, decoded, encoded, key

NOW = 1_800_000_000


def kinds(forge: Forge) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Header and claims of each kind of token that an issuer may sign."""
    event = "http://schemas.openid.net/event/backchannel-logout"
    session_revoked = "https://schemas.openid.net/secevent/caep/event-type/session-revoked"
    access = forge.claims()
    return {
        "ID token": (forge.header(typ="JWT"), {**access, "aud": "client-1", "nonce": "n"}),
        "ID token for the same audience": (forge.header(typ="JWT"), {**access, "nonce": "n"}),
        "ID token without a type": (forge.header(typ=None), {**access, "nonce": "n"}),
        "refresh token": (forge.header(typ="rt+jwt"), access),
        "security event": (forge.header(typ="secevent+jwt"), {**access, "events": {session_revoked: {}}}),
        "security event, as it should be": (
            forge.header(typ="secevent+jwt"),
            forge.claims(sub=None, exp=None, events={session_revoked: {}}),
        ),
        "logout token": (forge.header(typ="logout+jwt"), {**access, "events": {event: {}}}),
        "proof of possession": (
            forge.header(typ="dpop+jwt", jwk={"kty": "EC"}),
            {**access, "htm": "GET", "htu": "https://x"},
        ),
        "status list": (forge.header(typ="statuslist+jwt"), {**access, "status_list": {"bits": 1, "lst": "x"}}),
        "introspection response": (
            forge.header(typ="token-introspection+jwt"),
            {**access, "token_introspection": access},
        ),
        "client assertion": (
            forge.header(typ="client-authentication+jwt"),
            {**access, "sub": "client-1", "iss": "client-1"},
        ),
        "request object": (forge.header(typ="oauth-authz-req+jwt"), access),
        "authorization response": (forge.header(typ="oauth-authz-resp+jwt"), access),
        "entity statement": (forge.header(typ="entity-statement+jwt"), access),
        "verifiable credential": (forge.header(typ="vc+sd-jwt"), access),
        "key binding": (forge.header(typ="kb+jwt"), access),
    }


@pytest.mark.parametrize("kind", kinds(Forge()))
def test_another_kind_of_token_is_no_access_token(kind: str) -> None:
    forge = Forge()
    header, claims = kinds(forge)[kind]

    with pytest.raises(InvalidTokenError) as caught:
        forge.verifier().verify(forge.token(claims, header))
    assert caught.value.reason == "type"


@pytest.mark.parametrize("kind", ["refresh token", "logout token", "proof of possession", "security event"])
def test_even_where_untyped_tokens_are_accepted_the_typed_ones_are_not(kind: str) -> None:
    forge = Forge()
    header, claims = kinds(forge)[kind]

    with pytest.raises(InvalidTokenError):
        forge.verifier(token_types=("JWT", "at+jwt")).verify(forge.token(claims, header))


def test_a_security_event_without_its_type_lacks_what_an_access_token_needs() -> None:
    forge = Forge()
    _, claims = kinds(forge)["security event, as it should be"]

    with pytest.raises(InvalidTokenError) as caught:
        forge.verifier().verify(forge.token(claims))
    assert caught.value.reason in ("missing_sub", "missing_exp")


def test_opaque_tokens_are_no_access_tokens() -> None:
    for opaque in ("rt.s-1.7.c2lnbmF0dXJl", "s-1.7.AAAA", "0" * 64, "ghp_" + "a" * 36, "v1.local.xxx", "a:b"):
        with pytest.raises(InvalidTokenError):
            Forge().verifier().verify(opaque)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "iat", "exp", "jti"])
def test_no_required_claim_can_be_left_out_though_the_signature_is_good(claim: str) -> None:
    forge = Forge()

    with pytest.raises(InvalidTokenError) as caught:
        forge.verifier().verify(forge.token(forge.claims(**{claim: None})))
    assert caught.value.reason == ("audience" if claim == "aud" else f"missing_{claim}")


@pytest.mark.parametrize(
    "changes",
    [
        *(
            {"sub": "root"},
            {"scope": "admin"},
            {"exp": NOW + 80_000},
            {"iat": NOW + 10},
            {"jti": "another"},
            {"aud": "x"},
        ),
        *(
            {"iss": "https://evil.example"},
            {"client_id": "other"},
            {"sid": "s-2"},
            {"x": 1},
            {"sub": None},
            {"jti": None},
        ),
    ],
)
def test_claims_cannot_be_changed_under_a_signature(changes: dict[str, Any]) -> None:
    for algorithm in ("ES256", "RS256", "EdDSA", "HS256"):
        forge = Forge(key(algorithm))
        head, body, signature = forge.token().split(".")
        changed = {**json.loads(decoded(body)), **changes}

        for claims in (changed, {name: value for name, value in changed.items() if value is not None}):
            with pytest.raises(InvalidTokenError) as caught:
                forge.verifier().verify(f"{head}.{encoded(claims)}.{signature}")
            assert caught.value.reason == "signature"


def test_parts_of_two_good_tokens_make_no_third() -> None:
    forge = Forge()
    one, other = forge.token().split("."), forge.token(forge.claims(sub="bob"), forge.header(typ="AT+JWT")).split(".")
    for mix in range(1, 7):
        parts = [(one, other)[mix >> place & 1][place] for place in range(3)]
        with pytest.raises(InvalidTokenError) as caught:
            forge.verifier().verify(".".join(parts))
        assert caught.value.reason == "signature"


def test_the_same_claims_written_in_another_way_need_a_signature_of_their_own() -> None:
    forge = Forge()
    claims = forge.claims()
    head, _, signature = forge.token(claims).split(".")
    for written in (json.dumps(claims, indent=1), json.dumps(claims, sort_keys=True), json.dumps(claims) + " "):
        with pytest.raises(InvalidTokenError):
            forge.verifier().verify(f"{head}.{encoded(written)}.{signature}")


@pytest.mark.parametrize(
    "audience", ["https://other.example", ["https://other.example"], "https://api.example.evil.example"]
)
def test_a_token_for_another_service_is_not_replayed_here(audience: Any) -> None:
    forge = Forge()
    elsewhere = TokenIssuer(
        forge.verifier()._keys.key_set(), issuer="https://auth.example", audience=audience, clock=forge.clock
    )

    with pytest.raises(InvalidTokenError) as caught:
        forge.verifier().verify(elsewhere.issue("ada"))
    assert caught.value.reason == "audience"


BAD_IDS: list[Any] = [
    *(
        "",
        None,
        0,
        1,
        1.5,
        True,
        [],
        ["a"],
        {},
        {"a": 1},
        "\0",
        "a\0",
        "\n",
        "a\r\nb",
        "\x1b",
        "\x7f",
        "\x80",
        "é",
        "\u200b",
    ),
    *("\ud800", "x" * 257, "x" * 8000),
]


@pytest.mark.parametrize("jti", BAD_IDS, ids=repr)
@pytest.mark.parametrize("max_staleness", [0, 1.0, float("inf")])
def test_a_token_that_could_not_be_revoked_is_refused_even_where_nobody_asks(jti: Any, max_staleness: float) -> None:
    sandbox = Sandbox()
    forge = Forge(next(iter(sandbox.verifier._keys.key_set())), clock=sandbox.clock)

    with pytest.raises(InvalidTokenError) as caught:
        sandbox.guard.authenticate(forge.token({**forge.claims(), "jti": jti}), max_staleness=max_staleness)
    assert not isinstance(caught.value, RevokedTokenError)
    with pytest.raises(InvalidTokenError):
        sandbox.guard.authenticate(forge.token(forge.claims(jti=None)), max_staleness=max_staleness)
