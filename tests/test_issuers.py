"""docs/issuers.md: each of its verifiers takes the tokens of its issuer, whole, and they can be revoked."""

import json
import math
import os
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

import revocation.remote_keys
from revocation import (
    Claims,
    Guard,
    Handle,
    InvalidTokenError,
    Key,
    KeySet,
    MemoryDenylist,
    RemoteKeys,
    RevocationSettings,
    RevokedTokenError,
    TokenVerifier,
    TrustedIssuers,
)
from tests.documents import ISSUERS, blocks
from tests.support.tokens import pem, private_key, public_pem

SHAPES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "revocation" / "vectors" / "issuers.json").read_text("utf-8")
)
INSTANTS = ("iat", "nbf", "exp", "auth_time")


def key_of(shape: dict[str, Any]) -> rsa.RSAPrivateKey:
    made: rsa.RSAPrivateKey = private_key("RS256", shape["name"])
    return made


def key_set_of(shape: dict[str, Any]) -> KeySet:
    """The keys as such issuers publish them: not all of them say `alg`, and some have another key for encryption."""
    listed = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key_of(shape).public_key())) | {"use": "sig"}
    listed.pop("key_ops", None)
    if "kid" in shape["header"]:
        listed["kid"] = shape["header"]["kid"]
    return KeySet.from_jwks({"keys": [listed, {**listed, "kid": "enc", "use": "enc", "alg": "RSA-OAEP"}]})


def token_of(shape: dict[str, Any], *, claims: dict[str, Any] | None = None) -> str:
    now = int(time.time())
    said = {name: now + value if name in INSTANTS else value for name, value in shape["claims"].items()}
    head = {"typ": None, **shape["header"]}
    return jwt.encode({**said, **(claims or {})}, key_of(shape), algorithm="RS256", headers=head)


@pytest.fixture
def verifier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TokenVerifier:
    """The verifier of the document, word for word; its keys are those of the shape, wherever it looks for them."""
    shape: dict[str, Any] = request.param
    asked: list[tuple[Any, ...]] = []

    def remote(url: str | None = None, *, issuer: str | None = None) -> KeySet:
        RemoteKeys(url, issuer=issuer)
        asked.append((url, issuer))
        return key_set_of(shape)

    def read(file: Path) -> bytes:
        asked.append((file.name,))
        return public_pem(key_of(shape).public_key())

    monkeypatch.setattr(revocation.remote_keys, "RemoteKeys", remote)
    monkeypatch.setattr(Path, "read_bytes", read)
    module: dict[str, Any] = {}
    exec(blocks("python", under=shape["name"], of=ISSUERS)[shape.get("block", 0)], module)
    assert len(asked) == 1
    made: TokenVerifier = module["verifier"]
    return made


def by_name(shape: Any) -> str:
    return f"{shape['name']} {shape.get('block', '')}".strip()


both = pytest.mark.parametrize(
    ("shape", "verifier"), [(shape, shape) for shape in SHAPES], indirect=["verifier"], ids=map(by_name, SHAPES)
)


@both
def test_its_tokens_are_taken_whole(shape: dict[str, Any], verifier: TokenVerifier) -> None:
    for _ in range(2):
        claims = verifier.verify(token_of(shape))
        assert claims.issuer == verifier.issuer
        assert (claims.subject, claims.client_id) == (shape["subject"], shape["client"])
        assert (claims.token_id, claims.session_id) == (shape["token_id"], shape["session"])
        assert sorted(claims.scope) == shape["scope"]


@both
def test_its_tokens_are_revoked_by_everything_that_they_say(shape: dict[str, Any], verifier: TokenVerifier) -> None:
    token = token_of(shape)
    claims = verifier.verify(token)
    for handle in claims.handles:
        denylist = MemoryDenylist()
        guard = Guard(verifier, denylist, max_staleness=0)
        guard.authenticate(token)
        denylist.revoke(Handle.token(claims) if handle.kind == "token" else handle)
        with pytest.raises(RevokedTokenError):
            guard.authenticate(token)


@both
def test_what_is_no_token_for_this_api_is_refused(shape: dict[str, Any], verifier: TokenVerifier) -> None:
    assert shape["not"]
    for other in shape["not"].values():
        with pytest.raises(InvalidTokenError) as caught:
            verifier.verify(token_of(shape, claims=other["claims"]))
        assert caught.value.reason in ("audience", "issuer", "claim_typ", "claim_token_use", "claim_client_id")


def test_the_words_of_several_issuers_and_of_the_guard() -> None:
    [source] = blocks("python", under="Several issuers", of=ISSUERS)
    shapes = {shape["name"]: shape for shape in SHAPES}
    options: dict[str, Any] = {"token_types": ("JWT", None)}
    module: dict[str, Any] = {
        name.lower(): TokenVerifier(
            key_set_of(shapes[name]), issuer=shapes[name]["claims"]["iss"], audience=audience, **options
        )
        for name, audience in (("Keycloak", "https://api.example"), ("Cognito", None))
    }
    exec(source, module)
    trusted: TrustedIssuers = module["verifier"]
    assert [trusted.verify(token_of(shapes[name])).subject for name in ("Keycloak", "Cognito")] == [
        shapes[name]["subject"] for name in ("Keycloak", "Cognito")
    ]
    [guarded] = blocks("python", under="Tokens of other issuers", of=ISSUERS)[:1]
    exec(guarded, module)
    assert isinstance(module["guard"], Guard)


# By environment

ENV = {
    "REVOCATION_ISSUER": "https://id.example/realms/main",
    "REVOCATION_AUDIENCE": "https://api.example https://other.example",
}


@pytest.mark.parametrize(
    ("jwks", "asked"),
    [
        ("discover", (None, "https://id.example/realms/main")),
        ("https://id.example/certs", ("https://id.example/certs", None)),
    ],
)
def test_the_environment_names_an_issuer(
    monkeypatch: pytest.MonkeyPatch, jwks: str, asked: tuple[str | None, str | None]
) -> None:
    [shape] = [shape for shape in SHAPES if shape["name"] == "Keycloak"]
    seen: list[Any] = []

    def remote(url: str | None, *, issuer: str | None, ca_file: str | None, proxy: str | None) -> KeySet:
        RemoteKeys(url, issuer=issuer, ca_file=None, proxy=proxy)
        seen.append((url, issuer, ca_file, proxy))
        return key_set_of(shape)

    monkeypatch.setattr(revocation.remote_keys, "RemoteKeys", remote)
    settings = RevocationSettings.from_mapping(
        {
            **ENV,
            "REVOCATION_JWKS": jwks,
            "REVOCATION_JWKS_CA_FILE": "ca.pem",
            "REVOCATION_JWKS_PROXY": "http://ada:secret@proxy.example:3128",
        }
    )
    verifier = settings.verifier(token_types=("JWT",), required_claims={"typ": "Bearer"})
    assert seen == [(*asked, "ca.pem", "http://ada:secret@proxy.example:3128")]
    assert "secret" not in repr(settings)
    assert verifier.verify(token_of(shape)).subject == shape["subject"]
    assert verifier.verify(token_of(shape, claims={"aud": "https://other.example"}))


def test_the_environment_names_files(tmp_path: Path) -> None:
    [shape] = [shape for shape in SHAPES if shape["name"] == "Keycloak"]
    directory, file = tmp_path / "keys", tmp_path / "jwks.json"
    directory.mkdir()
    own = Key.from_pem(pem(key_of(shape)))
    (directory / "a.pem").write_bytes(pem(key_of(shape)))
    file.write_text(json.dumps(KeySet([own]).public_jwks()))
    claims = {**shape["claims"], "iat": time.time(), "exp": time.time() + 60}
    token = jwt.encode(claims, key_of(shape), algorithm="RS256", headers={"kid": own.id, "typ": "at+jwt"})

    for source in ({"REVOCATION_KEYS_DIR": str(directory)}, {"REVOCATION_JWKS": str(file)}):
        settings = RevocationSettings.from_mapping({**ENV, **source})
        guard = settings.guard(settings.verifier(), MemoryDenylist(), bounds=[math.inf])
        found = guard.authenticate(token, max_staleness=math.inf)
        assert isinstance(found, Claims)
        # What an application says itself comes first.
        assert settings.verifier(issuer="https://other.example").issuer == "https://other.example"


@pytest.mark.parametrize(
    ("env", "problem"),
    [
        ({"REVOCATION_JWKS": "http://id.example/certs"}, "https"),
        ({"REVOCATION_JWKS": "file:///etc/passwd"}, "https"),
        ({"REVOCATION_JWKS": "discover"}, "REVOCATION_ISSUER"),
        ({**ENV, "REVOCATION_JWKS": "x.json", "REVOCATION_KEYS_DIR": "keys"}, "both set"),
        ({"REVOCATION_ISSUER": ""}, "REVOCATION_ISSUER is empty"),
        ({"REVOCATION_JWKS_URL": "https://id.example/certs"}, "did you mean REVOCATION_JWKS"),
    ],
)
def test_an_environment_that_contradicts_itself_is_refused(env: dict[str, str], problem: str) -> None:
    with pytest.raises(revocation.ConfigurationError, match=problem):
        RevocationSettings.from_mapping(env)


def test_every_setting_that_is_missing_is_named(tmp_path: Path) -> None:
    nothing = RevocationSettings.from_mapping({})
    with pytest.raises(revocation.ConfigurationError) as caught:
        nothing.verifier()
    assert caught.value.settings == ("issuer", "audience", "keys_dir", "jwks")
    with pytest.raises(revocation.ConfigurationError) as caught:
        nothing.keys()
    assert caught.value.settings == ("keys_dir", "jwks")
    for text in ("[]", "{", "[" * 100_000):
        (tmp_path / "jwks.json").write_text(text)
        with pytest.raises(revocation.ConfigurationError):
            RevocationSettings(jwks=os.fspath(tmp_path / "jwks.json")).keys()
