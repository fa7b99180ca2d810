"""The contestants: the same route in the same service, each with another way to decide who gets in."""

import functools
import time
from collections.abc import Callable
from typing import Any, Final, Protocol, get_args

import jwt
from cryptography.hazmat.primitives import serialization
from flask import Flask, Response, g, jsonify, request

from app.bearer import bearer
from app.service import Service
from loadtest.results import Contestant
from revocation import Handle, TokenIssuer
from revocation.flask import bearer_token

View = Callable[[], Response]

#: In the order in which they take turns.
NAMES: Final[tuple[Contestant, ...]] = get_args(Contestant)

#: Those that refuse what was taken back.
REVOCABLE: Final = frozenset[Contestant]({"session", "bounded", "strict", "jwt_extended", "introspection"})

#: Where the dial of the library stands, for those that do not ask it, too: no follower runs in vain.
MAX_STALENESS: Final = {"bounded": "1.0", "strict": "0"}

PATH: Final = "/loadtest"


class Way(Protocol):
    """A way to decide who gets in."""

    def protect(self, view: View) -> View:
        """Let only those in who are signed in; 401 for others, and no 200 where nobody can tell."""

    def subject(self) -> str:
        """Whom the route lets in."""

    def sign_in(self) -> tuple[str, str]:
        """The header, name and value, that lets a client in from now on."""

    def sign_out(self, *, wait_seconds: float) -> None:
        """Take back what this request carries, and wait so long until it is refused everywhere."""


class Ours:
    """Tokens of this library, as the service issues, checks and revokes them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        chosen = service.settings
        self._issuer = TokenIssuer(service.keys, issuer=chosen.issuer, audience=chosen.audience)

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
    """Nobody is asked for anything."""

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


def add(app: Flask, name: Contestant) -> None:
    """Add one contestant to the service, with ways to sign in and out that are not measured."""
    from loadtest.peers import FlaskJwtExtended, FlaskSession, Introspection

    ways: dict[str, Callable[[Service], Way]] = {
        "none": Open,
        "session": functools.partial(FlaskSession, app),
        "textbook": Textbook,
        "jwt_extended": functools.partial(FlaskJwtExtended, app),
        "introspection": Introspection,
    }
    way = ways.get(name, Ours)(app.extensions["service"])

    def route() -> Response:
        return jsonify({"sub": way.subject()})

    def sign_in() -> Response:
        return jsonify(way.sign_in())

    def sign_out() -> Response:
        # One clock for all processes of the machine.
        started = time.monotonic()
        way.sign_out(wait_seconds=request.args.get("wait_seconds", 0.0, float))
        acknowledged = time.monotonic()
        return jsonify({"acknowledged_at": acknowledged, "seconds": acknowledged - started})

    app.add_url_rule(PATH, "loadtest", way.protect(route))
    app.add_url_rule(f"{PATH}/sign-in", "loadtest.sign_in", sign_in, methods=["POST"])
    app.add_url_rule(f"{PATH}/sign-out", "loadtest.sign_out", sign_out, methods=["POST"])


def verifying_key(service: Service) -> bytes:
    """The service's key as a file would hold it: public PEM, or the secret."""
    key: Any = service.keys.key_set().signing_key().verifying
    if isinstance(key, bytes):
        return key
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def signing_key(service: Service) -> bytes:
    """The same of the key that signs."""
    key: Any = service.keys.key_set().signing_key().signing
    if isinstance(key, bytes):
        return key
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return pem
