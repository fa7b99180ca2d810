"""Contestants: one Flask route, protected in the ways that people choose from.

Each is an app of its own with this route and nothing else, so that a difference between two of them is the protection.
The peers are used as their documentation shows.
"""

import functools
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import jwt
import redis
import urllib3
from cryptography.hazmat.primitives import serialization
from flask import Flask, Response, abort, g, request, session
from flask_jwt_extended import JWTManager, get_jwt, get_jwt_identity, jwt_required
from flask_session import Session  # type: ignore[import-untyped]  # ships no types
from joserfc import jwk
from joserfc import jwt as joserfc_jwt
from joserfc.errors import JoseError

from revocation import Accepted, Guard, Handle, Key, KeySet, RedisDenylist, TokenIssuer, TokenVerifier, connect
from revocation.flask import BearerAuth, bearer_token

Name = Literal[
    "none", "textbook", "joserfc", "jwt_extended", "session", "introspection", "strict", "bounded", "stateless"
]

#: In the order in which they take turns.
NAMES: Final[tuple[Name, ...]] = get_args(Name)

#: `max_staleness` of ours, and of those of ours that check.
POSITIONS: Final[Mapping[Name, float]] = {"strict": 0.0, "bounded": 1.0, "stateless": math.inf}
BOUNDED: Final[Mapping[Name, float]] = {name: bound for name, bound in POSITIONS.items() if bound < math.inf}

#: Those that refuse what was taken back.
REVOCABLE: Final = frozenset[Name]({"jwt_extended", "session", "introspection", *BOUNDED})

#: The measured route; what takes back whatever it is asked with; what a worker tells of itself; sessions begin here.
PATH: Final = "/me"
OUT: Final = "/out"
WORKER: Final = "/worker"
SIGN_IN: Final = "/in"

ISSUER: Final = "https://auth.example"
AUDIENCE: Final = "https://api.example"
LIFETIME_SECONDS: Final = 900

_JWK_TYPES: Final[Mapping[str, Literal["oct", "EC", "RSA", "OKP"]]] = {
    "HS256": "oct",
    "ES256": "EC",
    "RS256": "RSA",
    "EdDSA": "OKP",
}

#: How long the route waits for the server that introspects.
_INTROSPECTION_SECONDS: Final = 2.0

View = Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What all contestants of a comparison share."""

    redis_url: str
    #: The key that signs, in PEM or as the secret itself.
    signing_key: str
    algorithm: str = "ES256"
    #: How long a question of the deny-list waits for Redis.
    timeout_seconds: float = 1.0
    #: Where the contestant `introspection` asks.
    introspect_url: str = ""

    @property
    def keys(self) -> KeySet:
        """The keys as this library takes them."""
        if self.algorithm == "HS256":
            return KeySet([Key.from_secret(self.signing_key.encode())])
        return KeySet([Key.from_pem(self.signing_key.encode())])

    @property
    def verifying_key(self) -> Any:
        """The key that verifies: the secret, or a public key that was parsed once.

        PyJWT also takes PEM, as its documentation shows, and parses it for each token.
        """
        return self.keys.signing_key().verifying

    @property
    def verifying_pem(self) -> str:
        """The same key as a text: the secret, or public PEM."""
        key = self.verifying_key
        if isinstance(key, bytes):
            return key.decode()
        pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return pem.decode()

    @property
    def issuer(self) -> TokenIssuer:
        """It makes the tokens of all contestants."""
        return TokenIssuer(self.keys, issuer=ISSUER, audience=AUDIENCE)

    @property
    def verifier(self) -> TokenVerifier:
        """Ours, with all else by default."""
        return TokenVerifier(self.keys, issuer=ISSUER, audience=AUDIENCE, iat_tolerance_seconds=0)

    @property
    def denylist(self) -> RedisDenylist:
        """Ours."""
        return RedisDenylist(connect(self.redis_url, timeout_seconds=self.timeout_seconds))

    def documented_redis(self, **options: Any) -> "redis.Redis":
        """A client as the documentation of the peers makes it, all else by default."""
        return redis.Redis.from_url(self.redis_url, **options)


class Open:
    """A way to decide who gets in; this one lets everybody in, and is the floor."""

    def __init__(self, _app: Flask, setup: Setup) -> None:
        self._setup = setup

    def protect(self, view: View) -> View:
        """Let in only those who are signed in."""
        return view

    def subject(self) -> str:
        """The user who was let in."""
        return "ada"

    def take_back(self) -> None:
        """Refuse from now on what this request was let in with, where that works."""


class Textbook(Open):
    """`jwt.decode` in a decorator."""

    def __init__(self, app: Flask, setup: Setup) -> None:
        super().__init__(app, setup)
        self._key = setup.verifying_key

    def protect(self, view: View) -> View:
        @functools.wraps(view)
        def guarded() -> Any:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer":
                abort(401)
            claims = self.claims(token)
            if claims is None:
                abort(401)
            g.claims = claims
            return view()

        return guarded

    def claims(self, token: str) -> Mapping[str, Any] | None:
        """The claims of a token, None where it is not good."""
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, self._key, algorithms=[self._setup.algorithm], audience=AUDIENCE, issuer=ISSUER
            )
        except jwt.PyJWTError:
            return None
        return claims

    def subject(self) -> str:
        return str(g.claims["sub"])


class Joserfc(Textbook):
    """The same with joserfc."""

    def __init__(self, app: Flask, setup: Setup) -> None:
        super().__init__(app, setup)
        self._key = jwk.import_key(setup.verifying_pem, _JWK_TYPES[setup.algorithm])
        self._claims = joserfc_jwt.JWTClaimsRegistry(
            iss={"essential": True, "value": ISSUER},
            aud={"essential": True, "value": AUDIENCE},
            exp={"essential": True},
        )

    def claims(self, token: str) -> Mapping[str, Any] | None:
        try:
            decoded = joserfc_jwt.decode(token, self._key, algorithms=[self._setup.algorithm])
            self._claims.validate(decoded.claims)
        except (JoseError, ValueError):
            return None
        claims: Mapping[str, Any] = decoded.claims
        return claims


class JwtExtended(Open):
    """flask-jwt-extended with the Redis blocklist of its documentation ("JWT Revoking / Blocklist")."""

    def __init__(self, app: Flask, setup: Setup) -> None:
        super().__init__(app, setup)
        key = "JWT_SECRET_KEY" if setup.algorithm == "HS256" else "JWT_PUBLIC_KEY"
        app.config |= {
            key: setup.verifying_pem,
            "JWT_ALGORITHM": setup.algorithm,
            "JWT_DECODE_AUDIENCE": AUDIENCE,
            "JWT_DECODE_ISSUER": ISSUER,
        }
        jwt = JWTManager(app)
        self._blocklist = blocklist = setup.documented_redis(decode_responses=True)

        @jwt.token_in_blocklist_loader
        def check_if_token_is_revoked(_header: dict[str, Any], claims: dict[str, Any]) -> bool:
            return blocklist.get(claims["jti"]) is not None

    def protect(self, view: View) -> View:
        protected: View = jwt_required()(view)
        return protected

    def subject(self) -> str:
        return str(get_jwt_identity())

    def take_back(self) -> None:
        self._blocklist.set(get_jwt()["jti"], "", ex=LIFETIME_SECONDS)


class ServerSideSession(Open):
    """Flask-Session: a cookie, and a record in the same Redis.

    One setting differs from its defaults. With SESSION_REFRESH_EACH_REQUEST every answer writes the record back, which
    costs a second command, and brings a session back that was deleted while the request was in flight.
    """

    def __init__(self, app: Flask, setup: Setup) -> None:
        super().__init__(app, setup)
        self._redis = setup.documented_redis()
        app.config |= {
            "SESSION_TYPE": "redis",
            "SESSION_REDIS": self._redis,
            "SESSION_REFRESH_EACH_REQUEST": False,
        }
        Session(app)
        app.add_url_rule(SIGN_IN, "in", self._sign_in, methods=["POST"])

    def protect(self, view: View) -> View:
        @functools.wraps(view)
        def guarded() -> Any:
            if "sub" not in session:
                abort(401)
            return view()

        return guarded

    def subject(self) -> str:
        return str(session["sub"])

    def take_back(self) -> None:
        self._redis.delete("session:" + request.cookies["session"])

    @staticmethod
    def _sign_in() -> str:
        session["sub"] = "ada"
        return str(session.sid)  # type: ignore[attr-defined]  # Flask-Session's own


class Introspection(Textbook):
    """Another server is asked about each token (RFC 7662), over a connection that is kept."""

    def __init__(self, app: Flask, setup: Setup) -> None:
        super().__init__(app, setup)
        self._http = urllib3.PoolManager(maxsize=64, timeout=_INTROSPECTION_SECONDS, retries=False)
        self._denylist, self._verifier = setup.denylist, setup.verifier

    def claims(self, token: str) -> Mapping[str, Any] | None:
        try:
            answer = self._http.request_encode_body(
                "POST", self._setup.introspect_url, fields={"token": token}, encode_multipart=False
            )
        except urllib3.exceptions.HTTPError:
            abort(503)
        if answer.status != 200:
            abort(503)
        claims: Mapping[str, Any] = answer.json()
        return claims if claims["active"] else None

    def take_back(self) -> None:
        self._denylist.revoke(Handle.token(self._verifier.verify(bearer_token())), wait_seconds=0)


class Ours(Open):
    """This library, at the position of `max_staleness` that the contestant's name stands for."""

    def __init__(self, app: Flask, setup: Setup, *, max_staleness: float) -> None:
        super().__init__(app, setup)
        guard = Guard(setup.verifier, setup.denylist, max_staleness=max_staleness)
        self.guard, self._auth = guard, BearerAuth(guard)
        self._auth.init_app(app)

    def protect(self, view: View) -> View:
        return self._auth.required()(view)

    def subject(self) -> str:
        return self._auth.claims.subject

    def take_back(self) -> None:
        seconds = float(request.args.get("wait_seconds", "0"))
        self.guard.denylist.revoke(Handle.token(self._auth.claims), wait_seconds=seconds)


_PROTECTIONS: Final[Mapping[str, Callable[[Flask, Setup], Open]]] = {
    "none": Open,
    "textbook": Textbook,
    "joserfc": Joserfc,
    "jwt_extended": JwtExtended,
    "session": ServerSideSession,
    "introspection": Introspection,
    **{name: functools.partial(Ours, max_staleness=bound) for name, bound in POSITIONS.items()},
}


def app(name: str, setup: Setup) -> Flask:
    """The app of a contestant, or with the name `introspected` of the server that one of them asks."""
    made = Flask("loadtest")
    if name == "introspected":
        guard = Guard(setup.verifier, setup.denylist, max_staleness=0)
        made.add_url_rule(
            "/introspect", view_func=functools.partial(_introspect, guard), methods=["POST"], endpoint="in"
        )
        return made
    protection = _PROTECTIONS[name](made, setup)

    def measured() -> dict[str, str]:
        return {"sub": protection.subject()}

    def take_back() -> dict[str, float]:
        protection.take_back()
        # All processes of the machine share this clock.
        return {"acknowledged_at": time.monotonic(), "pid": os.getpid()}

    def worker() -> dict[str, int]:
        verifier = protection.guard.verifier if isinstance(protection, Ours) else None
        hits, misses = (verifier.cache_hits, verifier.cache_misses) if verifier else (0, 0)
        return {"pid": os.getpid(), "hits": hits, "misses": misses}

    made.add_url_rule(PATH, "measured", protection.protect(measured))
    made.add_url_rule(OUT, "out", protection.protect(take_back), methods=["POST"])
    made.add_url_rule(WORKER, "worker", worker)
    return made


def _introspect(guard: Guard) -> Response | dict[str, Any]:
    decision = guard.decide(request.form["token"])
    if isinstance(decision, Accepted):
        return {"active": True, "sub": decision.claims.subject, "jti": decision.claims.token_id}
    return {"active": False} if decision.error.slug == "invalid_token" else Response(status=503)
