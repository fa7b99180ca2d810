"""Verifiers of other people, unchanged, on tokens of the service in the millisecond that each was made.

They compare `iat` with their clock in whole seconds: an `iat` with a fraction lies in their future.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import joserfc._rfc7519.claims
import jwt
import pytest
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from joserfc.jwk import KeySet
from joserfc.jwt import JWTClaimsRegistry, decode

from tests.clients.conftest import NODE
from tests.support.service import Service

COUNT = 20


@dataclass(frozen=True)
class Fresh:
    """An access token, and the clock of a verifier that gets it in the millisecond it was made."""

    text: str
    token_id: str
    made_at_ms: int


@pytest.fixture(scope="module")
def keys(service: Service) -> dict[str, Any]:
    found: dict[str, Any] = service.get("/.well-known/jwks.json").json()
    return found


@pytest.fixture(scope="module")
def audience(fresh: list[Fresh]) -> str:
    named: str = jwt.decode(fresh[0].text, options={"verify_signature": False})["aud"]
    return named


@pytest.fixture(scope="module")
def fresh(service: Service) -> list[Fresh]:
    """Tokens of sign-ins and of refreshes, half each, made at any time within a second."""
    tokens = []
    for _ in range(COUNT // 2):
        login = service.login()
        answer = service.post("/auth/refresh", json={"refresh_token": login["refresh_token"]})
        tokens += [login["access_token"], answer.json()["access_token"]]
    claims = [jwt.decode(token, options={"verify_signature": False}) for token in tokens]
    fresh = [Fresh(token, said["jti"], said["iat_ms"]) for token, said in zip(tokens, claims, strict=True)]
    assert len(fresh) == COUNT
    # A token that is made on the full second would please everybody.
    assert len({token.made_at_ms % 1000 for token in fresh} - {0}) > COUNT // 2
    return fresh


@pytest.fixture
def stopped(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Stops the clock of joserfc, which Authlib judges by as well, at an instant in milliseconds."""

    def stop(at_ms: int) -> None:
        monkeypatch.setattr(joserfc._rfc7519.claims, "time", SimpleNamespace(time=lambda: at_ms / 1000))

    return stop


def test_the_iat_is_whole_seconds_and_the_milliseconds_stand_beside_it(fresh: list[Fresh]) -> None:
    for token in fresh:
        said = jwt.decode(token.text, options={"verify_signature": False})
        assert type(said["iat"]) is int
        assert type(said["iat_ms"]) is int
        assert said["iat"] == said["iat_ms"] // 1000


def test_joserfc_accepts_every_token_in_the_millisecond_it_was_made(
    fresh: list[Fresh], keys: dict[str, Any], service: Service, audience: str, stopped: Callable[[int], None]
) -> None:
    known = KeySet.import_key_set(keys)  # type: ignore[arg-type]  # a document as it came
    accepted = []
    for token in fresh:
        stopped(token.made_at_ms)
        claims = decode(token.text, known, algorithms=["ES256"]).claims
        JWTClaimsRegistry(
            iss={"essential": True, "value": service.url},
            aud={"essential": True, "value": audience},
            iat={"essential": True},
            exp={"essential": True},
        ).validate(claims)
        accepted.append(claims["jti"])
    assert accepted == [token.token_id for token in fresh]


def test_the_validator_of_authlib_accepts_every_token_in_the_millisecond_it_was_made(
    fresh: list[Fresh], keys: dict[str, Any], service: Service, audience: str, stopped: Callable[[int], None]
) -> None:
    known = KeySet.import_key_set(keys)  # type: ignore[arg-type]  # a document as it came

    class Validator(JWTBearerTokenValidator):  # type: ignore[misc]  # Authlib has no types
        def get_jwks(self) -> KeySet:
            return known

    validator = Validator(service.url, audience)
    accepted = []
    for token in fresh:
        stopped(token.made_at_ms)
        claims = validator.authenticate_token(token.text)
        validator.validate_token(claims, [], None)
        accepted.append(claims["jti"])
    assert accepted == [token.token_id for token in fresh]


def test_jose_with_a_greatest_age_accepts_every_token_in_the_millisecond_it_was_made(
    node: str, fresh: list[Fresh], keys: dict[str, Any], service: Service, audience: str
) -> None:
    known = {
        "issuer": service.url,
        "audience": audience,
        "keys": keys,
        "tokens": [{"token": token.text, "madeAtMs": token.made_at_ms} for token in fresh],
    }
    done = subprocess.run(
        [node, "jose.js"],
        cwd=NODE,
        input=json.dumps(known),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [token.token_id for token in fresh]
