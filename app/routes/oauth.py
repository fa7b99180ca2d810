"""The OAuth endpoints: tokens (RFC 6749), revocation (RFC 7009), introspection (RFC 7662).

Their errors are RFC 6749's, section 5.2, also where a protected route would answer otherwise.
"""

import base64
import binascii
import math
import re
from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired, TypeVar
from urllib.parse import unquote_plus

from flask import Blueprint, Response, jsonify, request
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12
from werkzeug.exceptions import HTTPException, MethodNotAllowed, NotFound

from app.clients import FIRST_PARTY, Client
from app.database import DatabaseUnavailableError
from app.openapi import Answer, operation
from app.openapi.refusals import OAuthErrorCode, OAuthErrorJson
from app.problems import from_http, unforeseen
from app.routes.auth import refreshed, token_response
from app.routes.context import actor, origin, service
from app.routes.formats import ClientId, Issuer, Scope, SessionId, Subject, TokensJson
from app.scopes import InvalidScopeError
from app.sessions import RefreshRefusedError
from app.throttle import ThrottledError
from revocation import Claims, DenylistUnavailableError, InvalidTokenError

routes = Blueprint("oauth", __name__, url_prefix="/oauth")

F = TypeVar("F")

_PARAMETER = re.compile(r"[a-z_]{1,32}")


class ClientForm(TypedDict):
    """How a client says who it is, if not by the header."""

    client_id: NotRequired[
        Annotated[str, Field(description="`first-party` needs no secret.", examples=["first-party"])]
    ]
    client_secret: NotRequired[Annotated[str, Field(description="Here or in the header, not in both.")]]


def _supported(grant: str) -> str:
    if grant not in ("client_credentials", "refresh_token"):
        raise PydanticCustomError("unsupported_grant_type", "Use client_credentials or refresh_token.")
    return grant


class TokenForm(ClientForm):
    """A grant."""

    grant_type: Annotated[
        Literal["client_credentials", "refresh_token"],
        BeforeValidator(_supported),
        Field(examples=["client_credentials"]),
    ]
    refresh_token: NotRequired[Annotated[str, Field(description="With `refresh_token`.")]]
    scope: NotRequired[
        Annotated[str, Field(description="Less than was granted; left out: all of it.", examples=["reports:read"])]
    ]


class NamedToken(ClientForm):
    """One token."""

    token: Annotated[
        str,
        Field(description="An access or a refresh token.", examples=["eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9..."]),
    ]
    token_type_hint: NotRequired[Annotated[str, Field(description="Taken, and not needed.")]]


class Nothing(TypedDict):
    """Done, or there was nothing to do (RFC 7009, section 2.2)."""


class Active(TypedDict):
    """The state of a token (RFC 7662, section 2.2). Of a token that is not active nothing else is told."""

    active: Annotated[bool, Field(examples=[True])]
    token_type: NotRequired[Annotated[Literal["Bearer"], Field(description="Of access tokens.")]]
    iss: NotRequired[Issuer]
    sub: NotRequired[Subject]
    aud: NotRequired[Annotated[list[str], Field(examples=[["https://api.example"]])]]
    client_id: NotRequired[ClientId]
    scope: NotRequired[Scope]
    jti: NotRequired[Annotated[str, Field(examples=["Yk3vWq2nT1a9bC4dE5fG6h"])]]
    sid: NotRequired[SessionId]
    iat: NotRequired[Annotated[int, Field(description="Seconds since 1970.", examples=[1795539600])]]
    exp: NotRequired[Annotated[int, Field(description="Seconds since 1970.", examples=[1795540500])]]


_GRANT, _TOKEN = TypeAdapter(TokenForm), TypeAdapter(NamedToken)

_UNAUTHENTICATED = "`invalid_client`: unknown client, or wrong secret."
_THROTTLED = "`invalid_client`: too many failures of this client at this address, or of the address."
_OF_ANOTHER = "`invalid_grant`: the token was issued to another client."


class OAuthError(Exception):
    """An error of RFC 6749, section 5.2, or RFC 7009, section 2.2.1."""

    def __init__(
        self, error: OAuthErrorCode, description: str, *, status: int = 400, challenge: str | None = None
    ) -> None:
        super().__init__(description)
        self.error = error
        self.status = status
        self.challenge = challenge


@dataclass(frozen=True, slots=True)
class Caller:
    """The client that asks: a registered client that proved itself, or the public first-party client."""

    client_id: str
    client: Client | None


@routes.post("/token")
@operation(
    TokensJson,
    form=TokenForm,
    proof="client",
    refuses={
        400: "`invalid_grant`, `invalid_scope`, `unauthorized_client`, `unsupported_grant_type`.",
        401: _UNAUTHENTICATED,
        429: _THROTTLED,
    },
)
def token() -> Response:
    """Tokens for client credentials or a refresh token (RFC 6749).

    There is no password grant (RFC 9700, section 2.4): users sign in at `/auth/login`.
    """
    sent = _form()
    form = _checked(sent, _GRANT)
    scope = form.get("scope")
    # The time of Redis from before the secret is checked: who is revoked meanwhile stays revoked.
    now_ms = service().stores.denylist.now_ms() if form["grant_type"] == "client_credentials" else 0
    caller = _caller(sent)
    try:
        if form["grant_type"] == "refresh_token":
            if "refresh_token" not in form:
                raise OAuthError("invalid_request", "The parameter refresh_token is missing.")
            return token_response(refreshed(form["refresh_token"], client_id=caller.client_id, scope=scope))
        if caller.client is None:
            raise OAuthError("unauthorized_client", "A public client has no credentials to ask with.")
        return token_response(service().grants.client_credentials(caller.client, scope=scope, now_ms=now_ms))
    except RefreshRefusedError as error:
        raise OAuthError("invalid_grant", "This refresh token gives no tokens any more.") from error
    except InvalidScopeError as error:
        raise OAuthError("invalid_scope", str(error)) from error


@routes.post("/revoke")
@operation(Nothing, form=NamedToken, proof="client", refuses={400: _OF_ANOTHER, 401: _UNAUTHENTICATED, 429: _THROTTLED})
def revoke() -> Response:
    """Take a token back: an access token alone, a refresh token with its whole session (RFC 7009).

    Also 200 for a token that is unknown, expired or revoked already. After 503 take it that it still works.
    """
    sent = _form()
    caller = _caller(sent)
    named = _checked(sent, _TOKEN)["token"]
    # The hint only says where to look first (section 2.1); both are looked at anyway.
    session_id = service().sessions.of_refresh_token(named)
    if session_id is not None:
        _revoke_session(session_id, caller)
    else:
        try:
            claims = service().verifier.verify_ignoring_expiry(named)
        except InvalidTokenError:
            # Nothing that could be accepted: done (section 2.2).
            return _done()
        _revoke_access_token(claims, caller)
    return _done()


@routes.post("/introspect")
@operation(
    Answer(Active, headers={"Cache-Control": "`no-store`: it may be otherwise in a moment."}),
    form=NamedToken,
    proof="client",
    refuses={401: _UNAUTHENTICATED, 429: _THROTTLED},
)
def introspect() -> Response:
    """The state of a token (RFC 7662). Only registered clients may ask, and Redis always answers."""
    sent = _form()
    if _caller(sent).client is None:
        raise _unauthenticated("Only a client with a secret may introspect.")
    named = _checked(sent, _TOKEN)["token"]
    session = service().grants.refreshable(named)
    if session is not None:
        members: Active = {
            "active": True,
            "iss": service().settings.issuer,
            "sub": session.subject,
            "client_id": session.client_id,
            "scope": session.scope,
            "sid": session.id,
            "iat": session.used_ms // 1000,
            "exp": session.ends_ms // 1000,
        }
    else:
        try:
            members = _introspected(service().guard.authenticate(named, max_staleness=0))
        except InvalidTokenError:
            members = {"active": False}
    response = jsonify(members)
    response.headers["Cache-Control"] = "no-store"
    return response


def _introspected(claims: Claims) -> Active:
    members: Active = {
        "active": True,
        "token_type": "Bearer",
        "iss": claims.issuer,
        "sub": claims.subject,
        "aud": list(claims.audience),
        "scope": " ".join(sorted(claims.scope)),
        "iat": math.floor(claims.issued_at),
        "exp": math.floor(claims.expires_at),
    }
    if claims.client_id is not None:
        members["client_id"] = claims.client_id
    if claims.token_id is not None:
        members["jti"] = claims.token_id
    if claims.session_id is not None:
        members["sid"] = claims.session_id
    return members


def _revoke_session(session_id: str, caller: Caller) -> None:
    session = service().sessions.get(session_id)
    # The access tokens of a session that has timed out may live; every session belongs to the first party.
    if (session.client_id if session is not None else FIRST_PARTY) != caller.client_id:
        raise OAuthError("invalid_grant", "The token was issued to another client.")
    service().sessions.end(
        session_id,
        subject=session.subject if session is not None else None,
        reason="revoked by its client",
        actor=actor(caller.client_id),
        action="session.revoke",
    )


def _revoke_access_token(claims: Claims, caller: Caller) -> None:
    if claims.client_id != caller.client_id:
        raise OAuthError("invalid_grant", "The token was issued to another client.")
    service().revocations.revoke_token(
        claims, reason="revoked by its client", actor=actor(caller.client_id), action="token.revoke"
    )


def _done() -> Response:
    """Exactly 200: some clients take nothing else."""
    response = jsonify({})
    response.headers["Cache-Control"] = "no-store"
    return response


def _form() -> dict[str, str]:
    """The parameters; one without a value counts as left out, one sent twice is refused (RFC 6749, section 3.2)."""
    if request.mimetype != "application/x-www-form-urlencoded":
        raise OAuthError("invalid_request", "Send the parameters as application/x-www-form-urlencoded.")
    for name, values in request.form.lists():
        if len(values) > 1:
            # A text that is no name may be a secret in the wrong place.
            named = f"The parameter {name}" if _PARAMETER.fullmatch(name) else "A parameter"
            raise OAuthError("invalid_request", f"{named} is there twice.")
    return {name: value for name, value in request.form.items() if value}


def _checked(form: dict[str, str], model: TypeAdapter[F]) -> F:
    """The form as its model has it. A client is authenticated before its token is looked for, so this is a step."""
    try:
        return model.validate_python(form)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        if problem["type"] == "unsupported_grant_type":
            raise OAuthError("unsupported_grant_type", problem["msg"]) from error
        raise OAuthError("invalid_request", f"The parameter {problem['loc'][0]} is missing.") from error


def _caller(form: dict[str, str]) -> Caller:
    """Authenticate the client (RFC 6749, section 2.3), by one method."""
    basic = _basic()
    if basic is not None and "client_secret" in form:
        raise OAuthError("invalid_request", "Authenticate by the header or by the body, not by both.")
    client_id, secret = basic or (form.get("client_id", ""), form.get("client_secret"))
    if basic is not None and form.get("client_id", client_id) != client_id:
        raise OAuthError("invalid_request", "The header and the body name different clients.")
    if client_id == FIRST_PARTY and not secret:
        return Caller(FIRST_PARTY, None)
    if not client_id or not secret:
        raise _unauthenticated("Authenticate with a client id and its secret.")
    address = origin().address
    # A secret has 256 bits: nobody guesses it, and nobody must be able to keep a client out by trying.
    client = service().stores.clients.authenticate(client_id, secret)
    if client is None:
        service().client_throttle.admit(client_id, address=address).failed()
        raise _unauthenticated("Unknown client or wrong secret.")
    return Caller(client.client_id, client)


def _basic() -> tuple[str, str] | None:
    """Client id and secret of the header; each was form-encoded before it was joined (RFC 6749, section 2.3.1)."""
    header = request.headers.get("Authorization")
    if header is None:
        return None
    scheme, _, encoded = header.partition(" ")
    try:
        if scheme.lower() != "basic":
            raise ValueError("another scheme")
        name, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError) as error:
        raise _unauthenticated("The Authorization header is no Basic authentication.") from error
    if not colon:
        raise _unauthenticated("The Authorization header is no Basic authentication.")
    return unquote_plus(name), unquote_plus(secret)


def _unauthenticated(description: str) -> OAuthError:
    return OAuthError("invalid_client", description, status=401, challenge='Basic realm="oauth", charset="UTF-8"')


def _plain(text: str) -> str:
    """As `error_description` may hold it (RFC 6749, section 5.2)."""
    return "".join(c if " " <= c <= "~" and c not in '"\\' else "?" for c in text[:100])


def _error(status: int, error: OAuthErrorCode, description: str) -> Response:
    answer: OAuthErrorJson = {"error": error, "error_description": _plain(description)}
    response = jsonify(answer)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response


@routes.errorhandler(OAuthError)
def _on_oauth_error(error: OAuthError) -> Response:
    response = _error(error.status, error.error, str(error))
    if error.challenge:
        response.headers["WWW-Authenticate"] = error.challenge
    return response


@routes.errorhandler(ThrottledError)
def _on_throttled(error: ThrottledError) -> Response:
    response = _error(429, "invalid_client", str(error))
    response.headers["Retry-After"] = str(error.retry_after_seconds)
    return response


@routes.errorhandler(DenylistUnavailableError)
@routes.errorhandler(DatabaseUnavailableError)
def _on_unavailable(error: Exception) -> Response:
    """The client must take it that nothing has changed (RFC 7009, section 2.2.1)."""
    response = _error(503, "temporarily_unavailable", "A store of this service does not answer. Try again.")
    response.headers["Retry-After"] = str(getattr(error, "retry_after_seconds", 1))
    return response


@routes.errorhandler(HTTPException)
def _on_http_error(error: HTTPException) -> Response:
    response = _error(error.code or 500, "invalid_request", error.name)
    response.headers.extend([(name, value) for name, value in error.get_headers() if name == "Allow"])
    return response


@routes.errorhandler(Exception)
def _on_unforeseen(error: Exception) -> Response:
    problem = unforeseen(error)
    return _error(problem.status_code, "server_error", "Something went wrong here. It has been logged.")


@routes.app_errorhandler(NotFound)
@routes.app_errorhandler(MethodNotAllowed)
def _on_no_route(error: HTTPException) -> Response:
    """Where no route takes a request, it belongs to no blueprint, and Flask asks the handlers of the whole app."""
    return _on_http_error(error) if request.path.startswith(f"{routes.url_prefix}/") else from_http(error)
