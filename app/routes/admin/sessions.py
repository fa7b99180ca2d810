"""Sessions: the logins of a user that are alive."""

from flask import Blueprint
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required
from app.openapi import operation
from app.routes.context import service
from app.routes.formats import (
    INVALID_CURSOR,
    PAGE_SIZE,
    UNKNOWN_USER,
    AtSession,
    Cursor,
    SessionJson,
    Username,
    session_json,
)
from app.users import UserNotFoundError

routes = Blueprint("sessions", __name__)


class SessionsQuery(AtSession):
    """The user of the sessions."""

    subject: Username


class Sessions(TypedDict):
    """A page of the living sessions of a user."""

    sessions: list[SessionJson]
    next_cursor: Cursor


@routes.get("/sessions")
@admin_required
@operation(refuses={400: INVALID_CURSOR, 404: UNKNOWN_USER})
def sessions(query: SessionsQuery) -> Sessions:
    """The living sessions of a user, the last used first."""
    subject = query["subject"]
    if service().stores.users.get(subject) is None:
        raise UserNotFoundError
    page = service().sessions.page(subject, cursor=query.get("cursor"), limit=PAGE_SIZE)
    return {"sessions": [session_json(session) for session in page.sessions], "next_cursor": page.next_cursor}
