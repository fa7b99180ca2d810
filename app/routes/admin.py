"""For admins: revoke by any handle, see and undo; accounts, clients, the audit log. Every route asks Redis."""

import re
from typing import Annotated

from flask import Blueprint, Response, jsonify, request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints, model_validator

from app.audited import audit
from app.bearer import ADMIN_SCOPE, bearer
from app.instants import milliseconds, rfc3339
from app.openapi import Answer, operation
from app.problems import Problem, read_json
from app.routes import admin_answers as answers
from app.service import service
from app.users import User, UserExistsError, UserNotFoundError
from app.views import receipt_json, revocation_json, session_json
from revocation import Handle, InvalidTokenError, Revocation
from revocation.handles import KINDS, Kind
from revocation.metrics import UNDONE

routes = Blueprint("admin", __name__, url_prefix="/admin")

#: Page sizes of the lists.
_PAGE = 50

#: Nineteen digits always fit into 64 bits, which is what Redis takes.
REVOCATION_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}-[0-9a-f]{8}")

_UNKNOWN_REVOCATION = "`unknown_revocation`: no such revocation is in force: unknown, expired, or undone."
_UNKNOWN_USER = "`unknown_user`: there is no user of this name."

Reason = Annotated[str, StringConstraints(min_length=1, max_length=256)]


class NewRevocation(BaseModel):
    """What `POST /admin/revocations` takes: a handle, or a token that leaked."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"kind": "subject", "value": "ada", "reason": "laptop stolen"},
                {"kind": "subject", "value": "ada", "reason": "laptop stolen", "dry_run": True},
                {"kind": "issuer", "reason": "everyone signs in again"},
                {"token": "eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9...", "reason": "found in a log"},
            ]
        },
    )

    kind: Kind | None = Field(default=None, description="What to revoke by. This, or `token`.")
    value: str | None = Field(default=None, description="Whose; left out for kind `issuer`.")
    issuer: str | None = Field(default=None, description="The issuer of the tokens; left out: this service.")
    issued_before: AwareDatetime | None = Field(
        default=None, description="For kinds `subject`, `client` and `issuer`: only what is older; left out: now."
    )
    token: str | None = Field(default=None, description="An access token that leaked, expired or not.")
    reason: Reason = Field(description="Why. It stands in the audit log.")
    dry_run: bool = Field(default=False, description="Only tell what it would hit.")

    @model_validator(mode="after")
    def _one_of_two(self) -> "NewRevocation":
        if (self.kind is None) == (self.token is None):
            raise ValueError("give either a kind (with its value) or a token")
        if self.token is not None and (self.value, self.issuer, self.issued_before) != (None, None, None):
            raise ValueError("a token brings its own issuer and value, and is revoked unconditionally")
        return self


class NewUser(BaseModel):
    """What `POST /admin/users` takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    username: str = Field(
        description="The `sub` of its tokens; never used twice. 1 to 64 letters, digits and `._@+-`.",
        examples=["ada"],
    )
    password: str = Field(description="8 to 1024 characters.", examples=["correct horse battery"])
    scope: str = Field(default="", description="What its tokens may do, space-separated.", examples=["reports:read"])


class ChangedUser(BaseModel):
    """What `PATCH /admin/users/<username>` takes; what is left out stays as it is."""

    model_config = ConfigDict(extra="forbid", strict=True)

    password: str | None = None
    scope: str | None = None
    disabled: bool | None = Field(default=None, description="Whether it is kept from signing in.", examples=[True])

    @model_validator(mode="after")
    def _something(self) -> "ChangedUser":
        if self.password is None and self.scope is None and self.disabled is None:
            raise ValueError("give a password, a scope, or disabled")
        return self


class NewClient(BaseModel):
    """What `POST /admin/clients` takes."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="For people.", examples=["billing"])
    scope: str = Field(default="", description="What its tokens may do, space-separated.", examples=["reports:read"])


@routes.post("/revocations")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(
    {
        201: answers.Revoked,
        200: Answer(answers.Preview | answers.NothingToRevoke, "A preview, or: what it concerns is dead already."),
    },
    body=NewRevocation,
    refuses={
        400: "Or the token is none of ours, and `reason` says why.",
        409: "`signing_key`: the key signs. `conflict`: no more keys can be revoked.",
    },
)
def revoke() -> tuple[Response, int]:
    """Take back everything under a handle, or one token that leaked.

    Revoking a token, a session or a key takes back everything under it, for good; revoking a subject, a client or an
    issuer takes back what was issued before a moment, and signing in after it works.
    """
    body = read_json(NewRevocation)
    handle = _handle(body)
    cutoff_ms = _cutoff(handle, body)
    if body.dry_run:
        return _preview(handle, cutoff_ms), 200
    actor = bearer.claims.subject
    try:
        receipt = service().stores.denylist.revoke(handle, reason=body.reason, actor=actor, issued_before_ms=cutoff_ms)
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    target = f"{handle.kind}:{handle.value}" if handle.value else f"{handle.kind}:{handle.issuer}"
    audit("revocation.create", actor=actor, target=target, receipt=receipt, reason=body.reason)
    revocation = receipt.revocation
    answer = {"revocation": revocation and revocation_json(revocation), "receipt": receipt_json(receipt)}
    return jsonify(answer), 201 if revocation else 200


@routes.get("/revocations")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(
    answers.Revocations,
    parameters=answers.RevocationsQuery,
    refuses={400: "`invalid`: an unknown kind, a value that is none, or a cursor from elsewhere."},
)
def revocations() -> Response:
    """What is in force, newest first; with a kind and a value, of exactly this handle."""
    kind = next((known for known in KINDS if known == request.args.get("kind")), None)
    if kind is None and "kind" in request.args:
        raise Problem(400, f"Known kinds are {', '.join(KINDS)}.", reason="invalid")
    if "value" in request.args:
        return _of_handle(kind, request.args["value"])
    try:
        page = service().stores.denylist.page(kind=kind, cursor=request.args.get("cursor"), limit=_PAGE)
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    return jsonify({"revocations": [revocation_json(one) for one in page.revocations], "next_cursor": page.next_cursor})


@routes.get("/revocations/<revocation_id>")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(answers.OneRevocation, parameters=answers.NamedRevocation, refuses={404: _UNKNOWN_REVOCATION})
def revocation(revocation_id: str) -> Response:
    """One revocation that is in force."""
    return jsonify({"revocation": revocation_json(_found(revocation_id))})


@routes.delete("/revocations/<revocation_id>")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(
    answers.Undone,
    parameters=answers.Undo,
    refuses={
        400: "`invalid`: the reason is too long.",
        404: _UNKNOWN_REVOCATION,
        409: "`conflict`: it was merged with others of its handle.",
    },
)
def undo(revocation_id: str) -> Response:
    """Take exactly this revocation back. Others of the same handle stay in force."""
    found = _found(revocation_id)
    reason = request.args.get("reason", "")
    actor = bearer.claims.subject
    try:
        undone = service().stores.denylist.undo(revocation_id, reason=reason, actor=actor)
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    if not undone:
        raise _unknown_revocation()
    UNDONE.inc()
    audit("revocation.undo", actor=actor, target=revocation_id, reason=reason)
    return jsonify({"undone": revocation_json(found)})


@routes.get("/sessions")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(answers.Sessions, parameters=answers.SessionsQuery, refuses={404: _UNKNOWN_USER})
def sessions() -> Response:
    """The living sessions of a user."""
    subject = request.args.get("subject", "")
    if service().stores.users.get(subject) is None:
        raise Problem(404, "There is no user of this name.", reason="unknown_user")
    return jsonify({"sessions": [session_json(one) for one in service().sessions.of_subject(subject)]})


@routes.get("/audit")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(answers.AuditPage, parameters=answers.PageQuery, refuses={400: "`invalid`: a cursor from elsewhere."})
def audit_log() -> Response:
    """Who did what, when, why and from where, newest first."""
    records, next_cursor = service().stores.audit.page(request.args.get("cursor"), limit=_PAGE)
    return jsonify(
        {
            "records": [
                {
                    "at": rfc3339(milliseconds(record.at)),
                    "actor": record.actor,
                    "action": record.action,
                    "target": record.target,
                    "reason": record.reason,
                    "address": record.address,
                    "revocation_id": record.revocation_id,
                }
                for record in records
            ],
            "next_cursor": next_cursor,
        }
    )


@routes.post("/users")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation({201: answers.UserJson}, body=NewUser, refuses={409: "`exists`: the name is taken, for ever."})
def create_user() -> tuple[Response, int]:
    """A new account."""
    body = read_json(NewUser)
    try:
        user = service().stores.users.create(body.username, password=body.password, scope=body.scope)
    except UserExistsError as error:
        raise Problem(409, str(error), reason="exists") from error
    audit("user.create", actor=bearer.claims.subject, target=user.username)
    return jsonify(_user_json(user)), 201


@routes.patch("/users/<username>")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(answers.UserChanged, body=ChangedUser, parameters=answers.NamedUser, refuses={404: _UNKNOWN_USER})
def change_user(username: str) -> Response:
    """Change an account, and take back everything it holds."""
    body = read_json(ChangedUser)
    denylist = service().stores.denylist
    # Asked first, so that a Redis that is down leaves the account as it is.
    denylist.now_ms()
    try:
        user = service().stores.users.change(username, password=body.password, scope=body.scope, disabled=body.disabled)
    except UserNotFoundError as error:
        raise Problem(404, "There is no user of this name.", reason="unknown_user") from error
    changed = [name for name in ("password", "scope", "disabled") if getattr(body, name) is not None]
    # After the change: who signs in from here on does so by the new state, and stays.
    receipt = denylist.revoke(
        Handle("subject", username, issuer=service().settings.issuer),
        reason=f"account changed: {', '.join(changed)}",
        actor=bearer.claims.subject,
    )
    audit("user.change", actor=bearer.claims.subject, target=username, receipt=receipt)
    return jsonify({**_user_json(user), "receipt": receipt_json(receipt)})


@routes.post("/clients")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation({201: answers.ClientCreated}, body=NewClient)
def create_client() -> tuple[Response, int]:
    """A new client; its secret is shown here and never again."""
    body = read_json(NewClient)
    client, secret = service().stores.clients.create(body.name, scope=body.scope)
    audit("client.create", actor=bearer.claims.subject, target=client.client_id)
    response = jsonify(
        {"client_id": client.client_id, "client_secret": secret, "name": client.name, "scope": client.scope}
    )
    response.headers["Cache-Control"] = "no-store"
    return response, 201


def _handle(body: NewRevocation) -> Handle:
    try:
        if body.token is not None:
            return Handle.token(service().verifier.verify_ignoring_expiry(body.token))
        handle = Handle(body.kind or "token", body.value or "", issuer=body.issuer or service().settings.issuer)
    except InvalidTokenError as error:
        raise Problem(400, f"This token is none that could be accepted: {error}", reason=error.reason) from error
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    if handle.kind == "key" and _signs_now_or_later(handle.value):
        raise Problem(
            409, "This key signs, or will: `python -m app keys revoke` replaces it first.", reason="signing_key"
        )
    return handle


def _signs_now_or_later(key_id: str) -> bool:
    """Revoking such a key here would leave nobody able to sign in, at once or when its turn comes."""
    keys = service().keys.refreshed()
    key = keys.find(key_id, "")
    return key is not None and key.signing is not None and key.signs_from >= keys.signing_key().signs_from


def _of_handle(kind: Kind | None, value: str) -> Response:
    if kind is None:
        raise Problem(400, "Give the kind of the value as well.", reason="invalid")
    try:
        handle = Handle(kind, value, issuer=request.args.get("issuer") or service().settings.issuer)
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    found = service().stores.denylist.of_handle(handle)
    return jsonify({"revocations": [revocation_json(one) for one in reversed(found)], "next_cursor": None})


def _cutoff(handle: Handle, body: NewRevocation) -> int | None:
    """Not later than now, which would lock out what comes; not so old that nothing it covers still lives."""
    if body.issued_before is None:
        return None
    if handle.unconditional:
        raise Problem(400, f"Revoking a {handle.kind} is unconditional: leave issued_before out.", reason="invalid")
    cutoff_ms, now_ms = milliseconds(body.issued_before), service().stores.denylist.now_ms()
    if cutoff_ms > now_ms:
        raise Problem(400, "issued_before lies in the future.", reason="invalid")
    if cutoff_ms < now_ms - service().stores.denylist.lifetimes.entry_ms(handle.kind):
        raise Problem(400, "issued_before lies so far back that nothing from before it lives.", reason="invalid")
    return cutoff_ms


def _preview(handle: Handle, cutoff_ms: int | None) -> Response:
    before_ms = service().stores.denylist.now_ms() + 1 if cutoff_ms is None else cutoff_ms
    reached = service().sessions.reached_by(handle, issued_before_ms=before_ms)
    would: answers.WouldEnd = {"sessions": len(reached), "subjects": len({one.subject for one in reached})}
    claims = bearer.claims
    yours = handle in claims.handles and (handle.unconditional or claims.judged_at_ms < before_ms)
    return jsonify(
        {
            "dry_run": True,
            "kind": handle.kind,
            "value": handle.value or None,
            "would_end": would,
            # Whoever asks would have to sign in again, and could not undo it with this token.
            "includes_you": yours,
        }
    )


def _found(revocation_id: str) -> Revocation:
    found = service().stores.denylist.find(revocation_id) if REVOCATION_ID.fullmatch(revocation_id) else None
    if found is None:
        raise _unknown_revocation()
    return found


def _unknown_revocation() -> Problem:
    return Problem(404, "No such revocation is in force: unknown, expired, or undone.", reason="unknown_revocation")


def _user_json(user: User) -> answers.UserJson:
    return {"username": user.username, "scope": user.scope, "disabled": user.disabled}
