"""Audit: the log of what was done."""

from typing import Annotated, NotRequired

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.audit import AuditRecord
from app.bearer import admin_required
from app.instants import milliseconds, rfc3339
from app.openapi import operation
from app.routes.context import service
from app.routes.formats import PAGE_SIZE, AtCursor, Cursor, Instant

routes = Blueprint("audit", __name__)


class PageQuery(TypedDict):
    """Where a list goes on."""

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
        str | None, Field(description="The revocation that came of it.", examples=["1795539600000-0-5f0c2b1e"])
    ]


class AuditPage(TypedDict):
    """A page of the audit log."""

    records: list[AuditRecordJson]
    next_cursor: Cursor


@routes.get("/audit")
@admin_required
@operation(refuses={400: "`invalid`: a cursor from elsewhere."})
def audit_log(query: PageQuery) -> AuditPage:
    """The acts of the audit log, newest first: actor, action, target, instant, reason and address."""
    records, next_cursor = service().stores.audit.page(query.get("cursor"), limit=PAGE_SIZE)
    return {"records": [_record_json(record) for record in records], "next_cursor": next_cursor}


def _record_json(record: AuditRecord) -> AuditRecordJson:
    return {
        "at": rfc3339(milliseconds(record.at)),
        "actor": record.actor,
        "action": record.action,
        "target": record.target,
        "reason": record.reason,
        "address": record.address,
        "revocation_id": record.revocation_id,
    }
