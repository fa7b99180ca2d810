"""Protection: how a route decides who gets in, by this library and as textbooks do it."""

import functools
from collections.abc import Callable
from typing import Any, Protocol

import jwt
from cryptography.hazmat.primitives import serialization
from flask import Response, g, request

from app.bearer import bearer
from app.service import Service
from revocation import Handle, TokenIssuer
from revocation.flask import bearer_token

View = Callable[[], Response]


class Protection(Protocol):
    """A way to decide who gets in."""

    def protect(self, view: View) -> View:
        """Let only those in who are signed in; 401 for others, and no 200 where nobody can tell."""

    def subject(self) -> str:
        """The user whom the route lets in."""

    def sign_in(self) -> tuple[str, str]:
        """The header, name and value, that lets a client in from now on."""

    def sign_out(self, *, wait_seconds: float) -> None:
        """Take back what this request carries, and wait so long until it is refused everywhere."""


class Ours:
    """Tokens of this library, as the service issues, checks and revokes them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        settings = service.settings
        self._issuer = TokenIssuer(service.keys, issuer=settings.issuer, audience=settings.audience)

    def protect(self, view: View) -> View:
        return bearer.required()(view)

    def subject(self) -> str:
        return bearer.claims.subject

    def sign_in(self) -> tuple[str, str]:
        issued_at = self._service.stores.denylist.now_ms() / 1000
        token = self._issuer.issue("ada", session="s" * 22, scope="reports:read", issued_at=issued_at)
        return "Authorization", f"Bearer {token}"

    def sign_out(self, *, wait_seconds: float) -> None:
        claims = self._service.verifier.verify(bearer_token())
        self._service.stores.denylist.revoke(Handle.token(claims), wait_seconds=wait_seconds)


class Open(Ours):
    """The route asks nobody for anything."""

    def protect(self, view: View) -> View:
        return view

    def subject(self) -> str:
        return "ada"


class Textbook(Ours):
    """`jwt.decode` in a decorator, with the key as PyJWT's documentation gives it: PEM, or the secret."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._key = verifying_key(service)

    def protect(self, view: View) -> View:
        chosen, key = self._service.settings, self._key

        @functools.wraps(view)
        def guarded() -> Response:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer":
                return Response(status=401)
            try:
                g.claims = jwt.decode(
                    token, key, algorithms=[chosen.algorithm], audience=chosen.audience, issuer=chosen.issuer
                )
            except jwt.PyJWTError:
                return Response(status=401)
            return view()

        return guarded

    def subject(self) -> str:
        subject: str = g.claims["sub"]
        return subject


def verifying_key(service: Service) -> bytes:
    """The key that verifies, as a file would hold it: public PEM, or the secret."""
    key: Any = service.keys.key_set().signing_key().verifying
    if isinstance(key, bytes):
        return key
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def signing_key(service: Service) -> bytes:
    """The key that signs, likewise."""
    key: Any = service.keys.key_set().signing_key().signing
    if isinstance(key, bytes):
        return key
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem
