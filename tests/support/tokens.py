"""Forge: tokens made by hand, good ones and any other kind, and the keys to sign them with."""

import base64
import functools
import json
import secrets
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from revocation import Claims, Key, KeySet, TokenVerifier
from revocation.keys import ALGORITHMS, AlgorithmName, KeySource
from revocation.testing import Clock

ISSUER = "https://auth.example"
AUDIENCE = "https://api.example"


def pem(key: Any) -> bytes:
    """A private key as PEM."""
    written: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return written


def public_pem(key: Any) -> bytes:
    """The public part of a key as PEM."""
    written: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return written


def private_key(algorithm: AlgorithmName, name: str = "first") -> Any:
    """A cryptography key for an algorithm; always the same for the same name, within one run."""
    return _private_key(algorithm, name)


@functools.cache
def _private_key(algorithm: AlgorithmName, name: str) -> Any:
    match algorithm:
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
        case "RS256":
            return rsa.generate_private_key(65537, 2048)
        case "EdDSA":
            return ed25519.Ed25519PrivateKey.generate()
        case "HS256":
            return secrets.token_bytes(32)


def key(algorithm: AlgorithmName = "ES256", name: str = "first") -> Key:
    """A Key for an algorithm; always the same for the same name, within one run."""
    return _key(algorithm, name)


@functools.cache
def _key(algorithm: AlgorithmName, name: str) -> Key:
    made = private_key(algorithm, name)
    return Key.from_secret(made) if algorithm == "HS256" else Key.from_pem(pem(made))


def encoded(data: bytes | str | Mapping[str, Any] | list[Any]) -> str:
    """base64url without padding, of JSON where it is not bytes already."""
    match data:
        case bytes():
            raw = data
        case str():
            raw = data.encode()
        case _:
            raw = json.dumps(data).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


class Forge:
    """Signs whatever it is given with a key that the verifier trusts."""

    def __init__(self, signing: Key | None = None, *, clock: Clock | None = None) -> None:
        self.key = signing or key()
        self.clock = clock or Clock()

    def header(self, **members: Any) -> dict[str, Any]:
        """The header of a good token, with changes; None takes a member out."""
        return _changed({"alg": self.key.algorithm, "typ": "at+jwt", "kid": self.key.id}, members)

    def claims(self, **claims: Any) -> dict[str, Any]:
        """The claims of a good token, with changes; None takes a claim out."""
        now = int(self.clock())
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "ada",
            "client_id": "first-party",
            "iat": now,
            "exp": now + 900,
            "jti": secrets.token_urlsafe(16),
            "scope": "me",
            "sid": "session-1",
        }
        return _changed(good, claims)

    def token(
        self,
        claims: Mapping[str, Any] | bytes | str | list[Any] | None = None,
        header: Mapping[str, Any] | bytes | str | list[Any] | None = None,
        *,
        signing: Any = None,
        algorithm: str | None = None,
    ) -> str:
        """A compact JWS of exactly these parts; bytes and text are taken as they are."""
        head = encoded(self.header() if header is None else header)
        body = encoded(self.claims() if claims is None else claims)
        message = f"{head}.{body}".encode()
        chosen = ALGORITHMS[algorithm or self.key.algorithm]
        prepared = chosen.prepare_key(self.key.signing if signing is None else signing)
        return f"{head}.{body}.{encoded(chosen.sign(message, prepared))}"

    def verifier(self, keys: KeySource | None = None, **options: Any) -> TokenVerifier:
        """A verifier that trusts the forge's key and reads its clock."""
        chosen: KeySource = KeySet([self.key]) if keys is None else keys
        return TokenVerifier(chosen, **{"issuer": ISSUER, "audience": AUDIENCE, "clock": self.clock, **options})


def claims_of(
    *,
    issued_at_ms: int,
    lifetime_seconds: int = 900,
    tolerance_seconds: float = 0.0,
    key_id: str | None = "key-1",
    **claims: Any,
) -> Claims:
    """Verified claims by hand: issued at a millisecond of Redis' clock, with a `jti` of their own."""
    good = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "ada",
        "client_id": "first-party",
        "sid": "session-1",
        "iat": issued_at_ms / 1000,
        "exp": issued_at_ms // 1000 + lifetime_seconds,
        "jti": secrets.token_urlsafe(16),
    }
    return Claims.from_mapping(_changed(good, claims), key_id=key_id, iat_tolerance_seconds=tolerance_seconds)


def _changed(good: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**good, **changes}.items() if value is not None}
