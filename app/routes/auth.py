"""Signing in and out, and one's own sessions."""

import re

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict

from app import metrics
from app.audited import audit
from app.bearer import bearer
from app.grants import InvalidCredentialsError, Origin, Tokens
from app.problems import Problem, read_json
from app.service import service
from app.sessions import RefreshRefusedError, RefreshReuseError
from app.throttle import ThrottledError
from app.views import receipt_json, session_json
from revocation import Claims, Handle, InvalidTokenError, Receipt
from revocation.flask import bearer_token

routes = Blueprint("auth", __name__, url_prefix="/auth")

_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class Login(BaseModel):
    """What `POST /auth/login` takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    username: str
    password: str


class Refresh(BaseModel):
    """What `POST /auth/refresh` takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refresh_token: str


class Logout(BaseModel):
    """What `POST /auth/logout` takes, where it takes a body."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refresh_token: str | None = None


def origin() -> Origin:
    """Where this request comes from."""
    return Origin(request.remote_addr or "", request.user_agent.string)


def token_response(tokens: Tokens) -> Response:
    """Never kept by anybody in between (RFC 6749, section 5.1)."""
    response = jsonify(tokens.to_json())
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response


@routes.post("/login")
def login() -> Response:
    """Sign in with a password."""
    body = read_json(Login)
    address = request.remote_addr or ""
    try:
        service().throttle.admit(account=body.username, address=address)
        tokens = service().grants.sign_in(body.username, body.password, origin=origin())
    except InvalidCredentialsError as error:
        metrics.SIGN_INS.labels("refused").inc()
        service().throttle.failed(account=body.username, address=address)
        raise Problem(
            401,
            "Unknown user or wrong password.",
            reason="invalid_credentials",
            headers={"WWW-Authenticate": bearer.challenge_without_error()},
        ) from error
    except ThrottledError as error:
        metrics.SIGN_INS.labels("throttled").inc()
        raise too_many(error) from error
    metrics.SIGN_INS.labels("accepted").inc()
    return token_response(tokens)


@routes.post("/refresh")
def refresh() -> Response:
    """The next tokens of a session; the refresh token is used up."""
    body = read_json(Refresh)
    try:
        return token_response(refreshed(body.refresh_token, client_id=None, scope=None))
    except RefreshRefusedError as error:
        raise Problem(
            401,
            "This refresh token gives no tokens any more: sign in again.",
            reason="invalid_refresh_token",
            headers={"WWW-Authenticate": bearer.challenge_without_error()},
        ) from error


@routes.post("/logout")
def logout() -> Response:
    """End the session of the bearer token (also of an expired one) or of the refresh token, for good."""
    body = read_json(Logout) if request.get_data() else Logout()
    claims = None
    if "Authorization" in request.headers or body.refresh_token is None:
        claims = service().verifier.verify_ignoring_expiry(bearer_token())
    sessions = {claims.session_id} if claims is not None and claims.session_id else set()
    if body.refresh_token is not None:
        named = service().sessions.of_refresh_token(body.refresh_token)
        if named is None and claims is None:
            raise Problem(401, "This is no refresh token of this service.", reason="invalid_refresh_token")
        sessions |= {named} if named else set()
    return _receipt(_ended(sessions, claims))


@routes.post("/logout-all")
@bearer.required()
def logout_all() -> Response:
    """End everything of the caller's from before now."""
    claims = bearer.claims
    receipt = service().stores.denylist.revoke(
        Handle.subject(claims), reason="logged out everywhere", actor=claims.subject
    )
    audit("session.logout_all", actor=claims.subject, target=claims.subject, receipt=receipt)
    return _receipt(receipt)


@routes.get("/sessions")
@bearer.required()
def sessions() -> Response:
    """The caller's living sessions."""
    current = bearer.claims.session_id
    listed = service().sessions.of_subject(bearer.claims.subject)
    return jsonify({"sessions": [{**session_json(one), "current": one.id == current} for one in listed]})


@routes.delete("/sessions/<sid>")
@bearer.required()
def end_session(sid: str) -> Response:
    """End one of the caller's sessions. Somebody else's is as unknown as one that never was."""
    session = service().sessions.get(sid) if _SESSION_ID.fullmatch(sid) else None
    subject = bearer.claims.subject
    if session is None or session.subject != subject:
        raise Problem(404, "You have no session with this id.", reason="unknown_session")
    receipt = service().sessions.end(sid, reason="ended by its user", actor=subject)
    audit("session.end", actor=subject, target=sid, receipt=receipt)
    return _receipt(receipt)


def refreshed(refresh_token: str, *, client_id: str | None, scope: str | None) -> Tokens:
    """Refresh, counted; a reuse is audited."""
    try:
        tokens = service().grants.refresh(refresh_token, client_id=client_id, scope=scope, origin=origin())
    except RefreshReuseError as error:
        metrics.REFRESHES.labels("reuse").inc()
        audit("session.reuse", actor=error.session.subject, target=error.session.id, receipt=error.receipt)
        raise
    except RefreshRefusedError as error:
        metrics.REFRESHES.labels(error.reason).inc()
        raise
    metrics.REFRESHES.labels("accepted").inc()
    return tokens


def too_many(error: ThrottledError) -> Problem:
    """429 that says when to come again."""
    return Problem(429, str(error), reason="throttled", headers={"Retry-After": str(error.retry_after_seconds)})


def _ended(sessions: set[str], claims: Claims | None) -> Receipt:
    actor = claims.subject if claims else "session"
    if sessions:
        receipts = []
        for sid in sorted(sessions):
            receipts.append(service().sessions.end(sid, reason="logged out", actor=actor))
            audit("session.logout", actor=actor, target=sid, receipt=receipts[-1])
        return receipts[-1]
    if claims is None or claims.token_id is None:
        raise InvalidTokenError("missing_sid", "The token belongs to no session.")
    receipt = service().stores.denylist.revoke(Handle.token(claims), reason="logged out", actor=actor)
    audit("token.logout", actor=actor, target=claims.token_id, receipt=receipt)
    return receipt


def _receipt(receipt: Receipt) -> Response:
    response = jsonify({"receipt": receipt_json(receipt)})
    response.headers["Cache-Control"] = "no-store"
    return response
