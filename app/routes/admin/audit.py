"""Audit: the log of what was done."""

from typing import Annotated, NotRequired, cast

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.audit import MAX_PAGE, AuditFilter
from app.bearer import admin_required
from app.openapi import operation
from app.routes.context import service
from app.routes.formats import PAGE_SIZE, AtCursor, Cursor, GivenInstant, Instant

routes = Blueprint("audit", __name__)

#: How much of the deny-list's log a request copies at most; what is behind by more is copied in the background.
_BATCHES = 2


class AuditQuery(TypedDict):
    """The records to list; those that meet all of it."""

    actor: NotRequired[Annotated[str, Field(description="Only what this one did.", examples=["admin"])]]
    action: NotRequired[Annotated[str, Field(description="Only this.", examples=["user.change"])]]
    target: NotRequired[Annotated[str, Field(description="Only what concerns this.", examples=["subject:ada"])]]
    reason: NotRequired[
        Annotated[str, Field(description="Only with this in the reason, in any case.", examples=["stolen"])]
    ]
    address: NotRequired[Annotated[str, Field(description="Only from this address.", examples=["192.0.2.7"])]]
    text: NotRequired[
        Annotated[
            str,
            Field(
                description="Only with this in the actor, action, target, reason or address, in any case.",
                examples=["laptop"],
            ),
        ]
    ]
    since: NotRequired[Annotated[GivenInstant, Field(description="Only what was done at this instant or later.")]]
    until: NotRequired[Annotated[GivenInstant, Field(description="Only what was done before this instant.")]]
    limit: NotRequired[Annotated[int, Field(description="So many at most.", ge=1, le=MAX_PAGE, examples=[50])]]
    cursor: NotRequired[AtCursor]


class AuditRecordJson(TypedDict):
    """One thing that was done."""

    at: Instant
    actor: Annotated[str, Field(description="Who did it.", examples=["admin"])]
    action: Annotated[str, Field(description="What was done.", examples=["revocation.create"])]
    target: Annotated[str, Field(description="To whom or what.", examples=["subject:ada"])]
    reason: Annotated[str, Field(description="Why; empty where nobody said.", examples=["laptop stolen"])]
    address: Annotated[str, Field(description="From where.", examples=["192.0.2.7"])]
    revocation_id: Annotated[
        str | None, Field(description="The revocation that was made or undone.", examples=["1795539600000-0-5f0c2b1e"])
    ]


class AuditPage(TypedDict):
    """A page of the audit log."""

    records: list[AuditRecordJson]
    next_cursor: Cursor


@routes.get("/audit")
@admin_required
@operation(refuses={400: "`invalid`: a filter that does not exist, an instant that is none, a cursor from elsewhere."})
def audit_log(query: AuditQuery) -> AuditPage:
    """The acts of the audit log, newest first: actor, action, target, instant, reason and address.

    Revocations of every process stand in it, the command line's too. They are copied from the deny-list's log, in the
    order in which they are copied.
    """
    # The copy runs a second behind; who has just revoked something looks for it here.
    service().audit_copier.copy(most_batches=_BATCHES)
    wanted = AuditFilter.of(query)
    records, next_cursor = service().stores.audit.page(
        query.get("cursor"), limit=query.get("limit", PAGE_SIZE), wanted=wanted
    )
    return {"records": [cast("AuditRecordJson", record.members()) for record in records], "next_cursor": next_cursor}
