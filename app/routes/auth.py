"""Signing in and out, and one's own sessions."""

from typing import Annotated

from flask import Blueprint, Response, jsonify, request
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app import metrics
from app.bearer import bearer
from app.grants import InvalidCredentialsError, Tokens
from app.openapi import operation
from app.problems import Problem
from app.routes.context import actor, origin, service
from app.routes.formats import (
    INVALID_CURSOR,
    PAGE_SIZE,
    AtSession,
    Cursor,
    ReceiptAnswer,
    SessionJson,
    TokensJson,
    receipt_json,
    session_json,
    tokens_json,
)
from app.session_ids import is_session_id
from app.sessions import RefreshRefusedError
from app.throttle import ThrottledError
from revocation import Claims, Handle, InvalidTokenError, Receipt
from revocation.flask import bearer_token

routes = Blueprint("auth", __name__, url_prefix="/auth")


class Login(BaseModel):
    """Credentials."""

    model_config = ConfigDict(extra="forbid", strict=True)

    username: str = Field(examples=["ada"])
    password: str = Field(examples=["correct horse battery"])
    device_token: str | None = Field(
        default=None,
        description="The one of the last answer, so that strangers who guess at the account cannot keep this device "
        "out.",
        examples=["8Nf0c2b1eQx7Tq4L.1795539600.Zm9y..."],
    )


class Refresh(BaseModel):
    """The refresh token to use."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refresh_token: str = Field(description="The one of the last answer.", examples=["N3eT0bRrA2CzpmqhyFj3Kw.0.Zm9y..."])


class Logout(BaseModel):
    """The refresh token of the session to end."""

    model_config = ConfigDict(extra="forbid", strict=True)

    refresh_token: str | None = Field(
        default=None,
        description="Instead of a bearer token, or with it.",
        examples=["N3eT0bRrA2CzpmqhyFj3Kw.0.Zm9y..."],
    )


class NewPassword(BaseModel):
    """The password of now, and the one from now on."""

    model_config = ConfigDict(extra="forbid", strict=True)

    password: str = Field(examples=["correct horse battery"])
    new_password: str = Field(
        description="8 to 1024 characters, and none of the first that somebody would guess.",
        examples=["an older horse staple"],
    )


class OwnSessionJson(SessionJson):
    """One of the caller's sessions."""

    current: Annotated[bool, Field(description="Whether it is the one that asks.", examples=[True])]


class OwnSessions(TypedDict):
    """A page of the caller's living sessions."""

    sessions: list[OwnSessionJson]
    next_cursor: Cursor


OwnSessionId = Annotated[str, Field(description="The `session_id` of a session.", examples=["N3eT0bRrA2CzpmqhyFj3Kw"])]


def token_response(tokens: Tokens, *, device_token: str | None = None) -> Response:
    """Tokens, in an answer that no cache may keep (RFC 6749, section 5.1)."""
    answer = tokens_json(tokens)
    if device_token is not None:
        answer["device_token"] = device_token
    response = jsonify(answer)
    response.headers["Cache-Control"] = "no-store"
    response.headers["Pragma"] = "no-cache"
    return response


@routes.post("/login")
@operation(
    TokensJson,
    refuses={
        401: "`invalid_credentials`: unknown user, wrong password or disabled account; nobody learns which.",
        429: "`throttled`: too many failures of this device, or else of this account or address. A turn may be "
        "waiting: come again after `Retry-After`.",
        503: "`denylist_unavailable`, `unavailable`: a store does not answer. Try again.",
    },
)
def login(body: Login) -> Response:
    """Sign in with a password.

    Keep the `device_token` of the answer, as long as you like, and send it along the next time.
    """
    devices = service().devices
    device = devices.read(body.device_token or "", account=body.username)
    tokens = signed_in(body.username, body.password, device=device)
    return token_response(tokens, device_token=devices.token(body.username, device))


@routes.post("/refresh")
@operation(
    TokensJson,
    refuses={
        401: "`invalid_refresh_token`: used long ago, expired, revoked, or none at all. Sign in again.",
        503: "`denylist_unavailable`, `unavailable`: nothing is used up, unless the answer of Redis was lost. Send the "
        "same request again, within the grace where you can: then it gives tokens either way.",
    },
)
def refresh(body: Refresh) -> Response:
    """The next tokens of a session; the refresh token is used up.

    For a few seconds after its first use (`APP_REFRESH_GRACE`) it gives the successor of that moment, for retries and
    other tabs. Used later, it ends the session: somebody has a copy.
    """
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
@operation(
    ReceiptAnswer,
    proof="bearer, if any",
    refuses={
        400: "`invalid_request`: the token is sent twice.",
        401: "`missing_token`, `invalid_refresh_token`, or why the token is not ours: `signature`, `issuer`, ...",
        503: "`denylist_unavailable`, `unavailable`: nobody is logged out. Send the same request again.",
    },
)
def logout(body: Logout | None) -> Response:
    """End the session of the bearer token (also of an expired one) or of the refresh token, for good.

    Access tokens and refresh token end together. A token that belongs to no session is revoked by itself.
    """
    refresh_token = body.refresh_token if body is not None else None
    claims = None
    if "Authorization" in request.headers or refresh_token is None:
        claims = service().verifier.verify_ignoring_expiry(bearer_token())
    sessions = {claims.session_id} if claims is not None and claims.session_id else set()
    if refresh_token is not None:
        named = service().sessions.of_refresh_token(refresh_token)
        if named is None and claims is None:
            raise Problem(
                401,
                "This is no refresh token of this service.",
                reason="invalid_refresh_token",
                headers={"WWW-Authenticate": bearer.challenge_without_error()},
            )
        sessions |= {named} if named else set()
    return _receipt(_ended(sessions, claims))


@routes.post("/password")
@bearer.required(max_staleness=0)
@operation(
    TokensJson,
    refuses={
        400: "`wrong_password`: the password of now is another one.",
        404: "`unknown_user`: the token is not a user's.",
        429: "`throttled`: too many failures of this session.",
    },
)
def change_password(body: NewPassword) -> Response:
    """Change one's own password: everything from before ends, this session included, and a new one begins."""
    subject, session = bearer.claims.subject, bearer.claims.session_id
    user = service().stores.users.get(subject)
    if user is None:
        raise Problem(404, "Only users have a password.", reason="unknown_user")
    if user.owes:
        # The password may have been changed already, and this token be among those that are still to be taken back.
        service().accounts.settle(subject)
        service().guard.check(bearer.claims, max_staleness=0)
    try:
        # A session is as good as a known device, and strangers do not use it up.
        attempt = service().throttle.admit(subject, address=origin().address, device=session)
    except ThrottledError as error:
        raise too_many(error) from error
    if service().stores.users.authenticate(subject, body.password) is None:
        attempt.failed(exists=lambda: True)
        raise Problem(400, "Your password is another one.", reason="wrong_password")
    attempt.succeeded()
    service().accounts.change_user(subject, password=body.new_password, actor=actor(subject))
    device_token = service().devices.token(subject)
    return token_response(signed_in(subject, body.new_password, device=session), device_token=device_token)


@routes.post("/logout-all")
@bearer.required()
@operation(ReceiptAnswer)
def logout_all() -> Response:
    """End everything of the caller's from before now.

    Signing in right after works.
    """
    claims = bearer.claims
    receipt = service().revocations.revoke(
        Handle.subject(claims),
        reason="logged out everywhere",
        actor=actor(claims.subject),
        action="session.logout_all",
    )
    return _receipt(receipt)


@routes.get("/sessions")
@bearer.required()
@operation(refuses={400: INVALID_CURSOR})
def sessions(query: AtSession) -> OwnSessions:
    """The caller's living sessions, the last used first.

    A user has at most 100: the one that was not used for the longest time ends when another begins.
    """
    current = bearer.claims.session_id
    page = service().sessions.page(bearer.claims.subject, cursor=query.get("cursor"), limit=PAGE_SIZE)
    return {
        "sessions": [{**session_json(session), "current": session.id == current} for session in page.sessions],
        "next_cursor": page.next_cursor,
    }


@routes.delete("/sessions/<sid>")
@bearer.required()
@operation(ReceiptAnswer, refuses={404: "`unknown_session`: the caller has no such session."})
def end_session(sid: OwnSessionId) -> Response:
    """End one of the caller's sessions. Somebody else's is as unknown as one that never was."""
    session = service().sessions.get(sid) if is_session_id(sid) else None
    subject = bearer.claims.subject
    # The caller's own session may have timed out by now; its access tokens have not.
    if sid != bearer.claims.session_id and (session is None or session.subject != subject):
        raise Problem(404, "You have no session with this id.", reason="unknown_session")
    ended = service().sessions.end(
        sid, subject=subject, reason="ended by its user", actor=actor(subject), action="session.end"
    )
    return _receipt(ended)


def signed_in(username: str, password: str, *, device: str | None) -> Tokens:
    """A new session, counted and throttled. Raises Problem 401 and 429.

    `device` is the id of a device that signed in to this account before.
    """
    try:
        attempt = service().throttle.admit(username, address=origin().address, device=device)
    except ThrottledError as error:
        metrics.SIGN_INS.labels("throttled").inc()
        raise too_many(error) from error
    try:
        tokens = service().grants.sign_in(username, password, origin=origin())
    except InvalidCredentialsError as error:
        metrics.SIGN_INS.labels("refused").inc()
        attempt.failed(exists=lambda: service().stores.users.get(username) is not None)
        _record_sign_in(username, "sign_in.refused")
        raise Problem(
            401,
            "Unknown user or wrong password.",
            reason="invalid_credentials",
            headers={"WWW-Authenticate": bearer.challenge_without_error()},
        ) from error
    attempt.succeeded()
    _record_sign_in(username, "sign_in.accepted")
    metrics.SIGN_INS.labels("accepted").inc()
    return tokens


def _record_sign_in(username: str, action: str) -> None:
    """Write the outcome into the audit trail, where that is set. What cannot be recorded is no sign-in, but a 503."""
    if service().settings.audit_sign_ins:
        # Nobody of an unknown name is named: people type passwords there.
        known = username if service().stores.users.get(username) is not None else ""
        service().stores.audit.note(action, actor=actor(known), target=known or "unknown user")


def refreshed(refresh_token: str, *, client_id: str | None, scope: str | None) -> Tokens:
    """The next tokens of a session, counted. Raises RefreshRefusedError."""
    try:
        tokens = service().grants.refresh(refresh_token, client_id=client_id, scope=scope, origin=origin())
    except RefreshRefusedError as error:
        metrics.REFRESHES.labels(error.reason).inc()
        raise
    metrics.REFRESHES.labels("accepted").inc()
    return tokens


def too_many(error: ThrottledError) -> Problem:
    """429 that says when to come again."""
    return Problem(429, str(error), reason="throttled", headers={"Retry-After": str(error.retry_after_seconds)})


def _ended(sessions: set[str], claims: Claims | None) -> Receipt:
    caller = actor(claims.subject if claims else "session")
    if sessions:
        receipts = [
            service().sessions.end(
                sid,
                subject=claims.subject if claims is not None and claims.session_id == sid else None,
                reason="logged out",
                actor=caller,
                action="session.logout",
            )
            for sid in sorted(sessions)
        ]
        return receipts[-1]
    if claims is None or claims.token_id is None:
        raise InvalidTokenError("missing_sid", "The token belongs to no session.")
    return service().revocations.revoke_token(claims, reason="logged out", actor=caller, action="token.logout")


def _receipt(receipt: Receipt) -> Response:
    answer: ReceiptAnswer = {"receipt": receipt_json(receipt)}
    response = jsonify(answer)
    response.headers["Cache-Control"] = "no-store"
    return response
