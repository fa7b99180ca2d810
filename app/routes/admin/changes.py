"""Changes: revocations and undoings as they happen."""

from typing import Annotated, NotRequired, cast

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required
from app.openapi import operation
from app.problems import Problem
from app.routes.context import service
from app.routes.formats import Instant, RevocationJson
from revocation.formats import change_json

routes = Blueprint("changes", __name__)


class ChangesQuery(TypedDict):
    """Where to go on."""

    cursor: NotRequired[Annotated[str, Field(description="The last `next_cursor`; left out: the end of the log.")]]


class ChangeJson(TypedDict):
    """A revocation, or the undoing of one."""

    undone: Annotated[bool, Field(description="Whether it was undone here; else it was made.")]
    revocation_id: Annotated[str, Field(examples=["1795539600000-0-5f0c2b1e"])]
    revocation: Annotated[RevocationJson | None, Field(description="Null where the log has forgotten an undone one.")]
    at: Instant
    actor: Annotated[str, Field(description="Who did it.", examples=["admin"])]
    reason: Annotated[str, Field(examples=["laptop stolen"])]


class Changes(TypedDict):
    """The changes since the cursor, at most 100, oldest first."""

    changes: list[ChangeJson]
    next_cursor: Annotated[str, Field(description="Give it as `cursor` the next time.", examples=["1795539600000-0"])]


@routes.get("/changes")
@admin_required
@operation(refuses={400: "`invalid`: a cursor that did not come from here."})
def changes(query: ChangesQuery) -> Changes:
    """Revocations and undoings after a cursor, oldest first.

    Without a cursor the answer has no changes yet, and says where to go on. Asked every second or two, it shows
    revocations as they happen.
    """
    try:
        read, cursor = service().stores.denylist.changes(after=query.get("cursor"))
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    found = cast("list[ChangeJson]", [change_json(change) for change in read])
    return {"changes": found, "next_cursor": cursor}
