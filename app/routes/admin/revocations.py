"""Revocations: make, list, read and undo them."""

from collections.abc import Callable
from typing import Annotated, Literal, NotRequired, cast

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required, bearer
from app.instants import milliseconds
from app.openapi import operation
from app.problems import Problem
from app.routes.context import actor, service
from app.routes.formats import (
    PAGE_SIZE,
    AtCursor,
    Cursor,
    GivenInstant,
    KindName,
    ReceiptJson,
    RevocationJson,
    receipt_json,
    revocation_json,
)
from revocation import Handle, InvalidTokenError, Revocation
from revocation.denylist import MAX_NOTE_LENGTH, Page, is_revoked
from revocation.handles import KINDS, Kind

routes = Blueprint("revocations", __name__)

_UNKNOWN_REVOCATION = "`unknown_revocation`: no such revocation is in force: unknown, expired, or undone."

Reason = Annotated[str, StringConstraints(min_length=1, max_length=MAX_NOTE_LENGTH)]


class NewRevocation(BaseModel):
    """A new revocation: by a handle, or by a token that leaked."""

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

    kind: KindName | None = Field(default=None, description="What to revoke by. This, or `token`.")
    value: str | None = Field(default=None, description="Whose; left out for kind `issuer`.")
    issuer: str | None = Field(default=None, description="The issuer of the tokens; left out: this service.")
    issued_before: GivenInstant | None = Field(
        default=None,
        description="Where revoking is not unconditional (`GET /admin/kinds`): only what is older; left out: now.",
    )
    token: str | None = Field(default=None, description="An access token that leaked, expired or not.")
    reason: Reason = Field(description="Why. It stands in the audit log.")
    even_if_unknown: bool = Field(
        default=False,
        description="Also where this service knows no such user, client, session or key, and yet tokens may be out.",
    )
    dry_run: bool = Field(default=False, description="Only tell what it would hit.")

    @model_validator(mode="after")
    def _one_of_two(self) -> "NewRevocation":
        if (self.kind is None) == (self.token is None):
            raise ValueError("give either a kind (with its value) or a token")
        if self.token is not None and (self.value, self.issuer, self.issued_before) != (None, None, None):
            raise ValueError("a token brings its own issuer and value, and is revoked unconditionally")
        return self


class WouldEnd(TypedDict):
    """Living sessions that a revocation would end, and how many users and clients they belong to."""

    sessions: Annotated[int, Field(ge=0, examples=[312])]
    subjects: Annotated[int, Field(ge=0, examples=[40])]


class Preview(TypedDict):
    """The sessions that a revocation would end. Nothing is revoked yet."""

    dry_run: Literal[True]
    kind: KindName
    value: Annotated[str | None, Field(examples=["ada"])]
    would_end: WouldEnd
    includes_you: Annotated[bool, Field(description="Whether the asking token is hit as well.", examples=[False])]


class Revoked(TypedDict):
    """Revoked."""

    revocation: RevocationJson
    receipt: ReceiptJson


class NothingToRevoke(TypedDict):
    """Nothing had to be written: what it concerns is dead already."""

    revocation: None
    receipt: ReceiptJson


#: The answer to a revocation that was not made.
Unchanged = Annotated[Preview | NothingToRevoke, Field(description="A preview, or: what it concerns is dead already.")]


class OneRevocation(TypedDict):
    """One revocation in force."""

    revocation: RevocationJson


class Undone(TypedDict):
    """The revocation that is no more."""

    undone: RevocationJson
    still_disabled: NotRequired[
        Annotated[
            Literal[True],
            Field(description="There where the user is disabled, and stays out until somebody enables them."),
        ]
    ]


class ListedRevocation(RevocationJson):
    """A revocation, or a batch by the newest of it."""

    stands_for: NotRequired[
        Annotated[
            int,
            Field(ge=1, description="With `fold`, of a batch: how many of it this page has passed.", examples=[300]),
        ]
    ]


class Revocations(TypedDict):
    """A page of revocations. It may be short, and even empty, and not be the last."""

    revocations: list[ListedRevocation]
    next_cursor: Cursor


class BatchUndone(TypedDict):
    """How far a batch is undone."""

    undone: Annotated[int, Field(ge=0, description="So many were taken back by this request.", examples=[300])]
    kept: Annotated[
        int,
        Field(ge=0, description="So many were not: merged with others, or their client is disabled.", examples=[0]),
    ]
    next_cursor: Annotated[
        str | None, Field(description="Where there are more: ask again with it as `cursor`.", examples=[None])
    ]


class RevocationsQuery(TypedDict):
    """The revocations to list."""

    kind: NotRequired[KindName]
    value: NotRequired[Annotated[str, Field(description="Only of this handle; needs its `kind`.", examples=["ada"])]]
    issuer: NotRequired[Annotated[str, Field(description="The issuer of the handle; left out: this service.")]]
    text: NotRequired[
        Annotated[
            str,
            Field(
                description="Only with this in the value, the reason, the actor or the address, in any case.",
                examples=["laptop"],
            ),
        ]
    ]
    batch: NotRequired[Annotated[str, Field(description="Only of this batch.", examples=["5f0c2b1e9a7d4c3b"])]]
    fold: NotRequired[Annotated[bool, Field(description="One row for a batch.", examples=[True])]]
    limit: NotRequired[Annotated[int, Field(description="So many rows at most.", ge=1, le=500, examples=[50])]]
    cursor: NotRequired[AtCursor]


RevocationId = Annotated[str, Field(description="Its `id`.", examples=["1795539600000-0-5f0c2b1e"])]


Batch = Annotated[str, Field(description="Its `batch`.", examples=["5f0c2b1e9a7d4c3b"])]


class Undo(TypedDict):
    """Why a revocation is undone."""

    reason: NotRequired[
        Annotated[str, Field(description="Why. It stands in the audit log.", examples=["laptop found again"])]
    ]


class UndoBatch(Undo):
    """Why a batch is undone, and where to go on."""

    cursor: NotRequired[AtCursor]


@routes.post("/revocations")
@admin_required
@operation(
    refuses={
        400: "Or the token is none of ours, and `reason` says why.",
        404: "`unknown_user`, `unknown_client`, `unknown_session`, `unknown_key`: the value names nobody here.",
        409: "`signing_key`: the key signs. `conflict`: no more keys can be revoked.",
    },
)
def revoke(body: NewRevocation) -> tuple[Revoked, Literal[201]] | tuple[Unchanged, Literal[200]]:
    """Take back everything under a handle, or one token that leaked.

    Revoking a token, a session or a key takes back everything under it, for good; revoking a subject, a client or an
    issuer takes back what was issued before a moment, and signing in after it works. `GET /admin/kinds` says which of
    the two a kind of an application's own does.
    """
    handle = _handle_of(body)
    cutoff_ms = None if body.issued_before is None else milliseconds(body.issued_before)
    if body.dry_run:
        return _preview(handle, cutoff_ms, even_if_unknown=body.even_if_unknown), 200
    receipt = service().accounts.revoke(
        handle,
        reason=body.reason,
        actor=actor(bearer.claims.subject),
        issued_before_ms=cutoff_ms,
        even_if_unknown=body.even_if_unknown,
    )
    if receipt.revocation is None:
        nothing: NothingToRevoke = {"revocation": None, "receipt": receipt_json(receipt)}
        return nothing, 200
    revoked: Revoked = {"revocation": revocation_json(receipt.revocation), "receipt": receipt_json(receipt)}
    return revoked, 201


@routes.get("/revocations")
@admin_required
@operation(refuses={400: "`invalid`: an unknown kind, a value that is none, or a cursor from elsewhere."})
def revocations(query: RevocationsQuery) -> Revocations:
    """The revocations in force, newest first; with a kind and a value, of exactly this handle.

    Of many thousands a request reads a part; a page that is short names the next one.
    """
    if "kind" in query:
        _require_known(query["kind"])
    if "value" in query:
        return _of_handle(query.get("kind"), query["value"], issuer=query.get("issuer"))
    try:
        page = service().stores.denylist.page(
            kind=query.get("kind"),
            matching=_matching(query),
            fold=query.get("fold", False),
            cursor=query.get("cursor"),
            limit=query.get("limit", PAGE_SIZE),
        )
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    return _listed(page)


@routes.get("/revocations/<revocation_id>")
@admin_required
@operation(refuses={404: _UNKNOWN_REVOCATION})
def revocation(revocation_id: RevocationId) -> OneRevocation:
    """One revocation that is in force."""
    return {"revocation": revocation_json(service().revocations.get(revocation_id))}


@routes.delete("/revocations/<revocation_id>")
@admin_required
@operation(
    refuses={
        400: "`invalid`: the reason is too long.",
        404: _UNKNOWN_REVOCATION,
        409: "`conflict`: it was merged with others of its handle. `client_closed`: the client is disabled or deleted.",
    },
)
def undo(revocation_id: RevocationId, query: Undo) -> Undone:
    """Take exactly this revocation back. Others of the same handle stay in force.

    Sessions that ended with an account that was disabled do not come back.
    """
    undone, is_disabled = service().accounts.undo(
        revocation_id, reason=query.get("reason", ""), actor=actor(bearer.claims.subject)
    )
    answer: Undone = {"undone": revocation_json(undone)}
    if is_disabled:
        answer["still_disabled"] = True
    return answer


@routes.delete("/batches/<batch>")
@admin_required
@operation(refuses={400: "`invalid`: the reason is too long, or the cursor is from elsewhere."})
def undo_batch(batch: Batch, query: UndoBatch) -> BatchUndone:
    """Take back everything that was revoked together, each once; others of the same handles stay in force.

    A request takes back five hundred at most.
    """
    try:
        undone, kept, next_cursor = service().accounts.undo_batch(
            batch, reason=query.get("reason", ""), actor=actor(bearer.claims.subject), cursor=query.get("cursor")
        )
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    return {"undone": undone, "kept": kept, "next_cursor": next_cursor}


def _matching(query: RevocationsQuery) -> Callable[[Revocation], bool]:
    text, batch = query.get("text", "").casefold(), query.get("batch")

    def matches(revocation: Revocation) -> bool:
        texts = (revocation.handle.value, revocation.reason, revocation.actor, revocation.address)
        return batch in (None, revocation.batch) and (not text or any(text in one.casefold() for one in texts))

    return matches


def _listed(page: Page) -> Revocations:
    def told(revocation: Revocation) -> ListedRevocation:
        listed = cast("ListedRevocation", revocation_json(revocation))
        if revocation.batch in page.batches:
            listed["stands_for"] = page.batches[revocation.batch]
        return listed

    return {"revocations": [told(revocation) for revocation in page.revocations], "next_cursor": page.next_cursor}


def _handle_of(body: NewRevocation) -> Handle:
    if body.token is None:
        return _handle(body.kind or "token", body.value or "", issuer=body.issuer)
    try:
        return Handle.token(service().verifier.verify_ignoring_expiry(body.token))
    except InvalidTokenError as error:
        raise Problem(400, f"This token is none that could be accepted: {error}", reason=error.reason) from error
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error


def _handle(kind: Kind, value: str, *, issuer: str | None) -> Handle:
    _require_known(kind)
    try:
        return Handle(kind, value, issuer=issuer or service().settings.issuer)
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error


def _require_known(kind: Kind) -> None:
    """Raise a Problem for a kind that the deny-list does not declare: a filter that names none would show nothing."""
    if kind not in KINDS and kind not in (known := service().stores.denylist.kinds()):
        raise Problem(400, f"Known kinds are {', '.join(known)}.", reason="invalid")


def _of_handle(kind: Kind | None, value: str, *, issuer: str | None) -> Revocations:
    if kind is None:
        raise Problem(400, "Give the kind of the value as well.", reason="invalid")
    in_force = service().revocations.of_handle(_handle(kind, value, issuer=issuer))
    return _listed(Page(in_force, None))


def _preview(handle: Handle, cutoff_ms: int | None, *, even_if_unknown: bool) -> Preview:
    service().accounts.check(handle, issued_before_ms=cutoff_ms, even_if_unknown=even_if_unknown)
    before_ms = service().stores.denylist.now_ms() + 1 if cutoff_ms is None else cutoff_ms
    sessions = service().sessions.reached_by(handle, issued_before_ms=before_ms)
    claims = bearer.claims
    is_unconditional = service().stores.denylist.is_unconditional(handle.kind)
    is_yours = handle in service().guard.handles_of(claims)
    return {
        "dry_run": True,
        "kind": handle.kind,
        "value": handle.value or None,
        "would_end": {"sessions": len(sessions), "subjects": len({session.subject for session in sessions})},
        # The administrator who asks would have to sign in again, and could not undo it with this token.
        "includes_you": is_yours and (is_unconditional or is_revoked(claims, before_ms)),
    }
