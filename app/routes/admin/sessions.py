"""Sessions: the logins of a user that are alive."""

from flask import Blueprint
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required
from app.openapi import operation
from app.routes.context import service
from app.routes.formats import UNKNOWN_USER, SessionJson, Username, session_json
from app.users import UserNotFoundError

routes = Blueprint("sessions", __name__)


class SessionsQuery(TypedDict):
    """The user of the sessions."""

    subject: Username


class Sessions(TypedDict):
    """The living sessions of a user."""

    sessions: list[SessionJson]


@routes.get("/sessions")
@admin_required
@operation(refuses={404: UNKNOWN_USER})
def sessions(query: SessionsQuery) -> Sessions:
    """The living sessions of a user."""
    subject = query["subject"]
    if service().stores.users.get(subject) is None:
        raise UserNotFoundError
    return {"sessions": [session_json(session) for session in service().sessions.of_subject(subject)]}
