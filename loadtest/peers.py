"""The peers: what others use to be able to sign people out, as their documentation says."""

import functools
import os
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import redis
import urllib3
from flask import Flask, Response, g, request, session
from flask_jwt_extended import JWTManager, create_access_token, decode_token, get_jwt_identity, jwt_required
from flask_session import Session  # type: ignore[import-untyped]  # ships no types

from app.service import Service
from loadtest.protection import Ours, View, signing_key, verifying_key
from revocation.flask import bearer_token

_ACCESS_SECONDS: Final = 900

#: How long the route waits for the service that introspects: more than twice as long as that one waits for Redis.
_INTROSPECTION_SECONDS: Final = 1.0


class FlaskSession:
    """Sessions on the server: a cookie, and a record in the same Redis.

    One setting differs from its defaults. With SESSION_REFRESH_EACH_REQUEST every answer writes the record back, which
    costs a second command, and brings a session back that was deleted while the request was in flight.
    """

    def __init__(self, app: Flask, service: Service) -> None:
        self._redis = _documented_redis(service)
        app.config["SESSION_TYPE"] = "redis"
        app.config["SESSION_REDIS"] = self._redis
        app.config["SESSION_REFRESH_EACH_REQUEST"] = False
        Session(app)

    def protect(self, view: View) -> View:
        @functools.wraps(view)
        def guarded() -> Response:
            return view() if "sub" in session else Response(status=401)

        return guarded

    def subject(self) -> str:
        subject: str = session["sub"]
        return subject

    def sign_in(self) -> tuple[str, str]:
        session["sub"] = "ada"
        return "Cookie", f"session={session.sid}"  # type: ignore[attr-defined]  # Flask-Session's own

    def sign_out(self, *, wait_seconds: float) -> None:
        self._redis.delete("session:" + request.cookies["session"])


class FlaskJwtExtended:
    """flask-jwt-extended with the Redis blocklist of its documentation ("JWT Revoking / Blocklist")."""

    def __init__(self, app: Flask, service: Service) -> None:
        app.config["JWT_ACCESS_TOKEN_EXPIRES"] = _ACCESS_SECONDS
        app.config["JWT_ALGORITHM"] = service.settings.algorithm
        if service.settings.algorithm == "HS256":
            app.config["JWT_SECRET_KEY"] = signing_key(service)
        else:
            app.config["JWT_PRIVATE_KEY"] = signing_key(service)
            app.config["JWT_PUBLIC_KEY"] = verifying_key(service)
        jwt = JWTManager(app)
        self._redis = blocklist = _documented_redis(service, decode_responses=True)

        @jwt.token_in_blocklist_loader
        def check_if_token_is_revoked(_header: dict[str, Any], claims: dict[str, Any]) -> bool:
            return blocklist.get(claims["jti"]) is not None

    def protect(self, view: View) -> View:
        protected: Callable[[], Response] = jwt_required()(view)
        return protected

    def subject(self) -> str:
        subject: str = get_jwt_identity()
        return subject

    def sign_in(self) -> tuple[str, str]:
        return "Authorization", f"Bearer {create_access_token(identity='ada')}"

    def sign_out(self, *, wait_seconds: float) -> None:
        self._redis.set(decode_token(bearer_token())["jti"], "", ex=_ACCESS_SECONDS)


class Introspection(Ours):
    """Another service is asked about each token (RFC 7662), over a connection that is kept."""

    def __init__(self, service: Service) -> None:
        super().__init__(service)
        self._url = os.environ["LOADTEST_INTROSPECT_URL"]
        self._credentials = urllib3.make_headers(basic_auth=os.environ["LOADTEST_INTROSPECT_CLIENT"])
        self._http = urllib3.PoolManager(maxsize=64, timeout=_INTROSPECTION_SECONDS, retries=False)

    def protect(self, view: View) -> View:
        @functools.wraps(view)
        def guarded() -> Response:
            try:
                answer = self._http.request_encode_body(
                    "POST",
                    self._url,
                    fields={"token": bearer_token()},
                    encode_multipart=False,
                    headers=self._credentials,
                )
            except urllib3.exceptions.HTTPError:
                return Response(status=503)
            if answer.status != 200:
                return Response(status=503)
            g.claims = answer.json()
            return view() if g.claims["active"] else Response(status=401)

        return guarded

    def subject(self) -> str:
        subject: str = g.claims["sub"]
        return subject


def _documented_redis(service: Service, **options: Any) -> "redis.Redis":
    """A client as the documentation of both makes it: by host and port, all else by default."""
    url = urlsplit(service.settings.revocation.redis_url)
    if url.scheme == "redis":
        return redis.StrictRedis(host=url.hostname or "", port=url.port or 6379, **options)
    return redis.StrictRedis(unix_socket_path=url.path, **options)
