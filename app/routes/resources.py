"""Two resources of a web API, as a consumer would protect theirs."""

from typing import Annotated

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import bearer
from app.openapi import operation
from app.routes.formats import ClientId, Scope, SessionId, Subject

routes = Blueprint("resources", __name__, url_prefix="/api")


class Me(TypedDict):
    """The subject and the client that the token speaks for."""

    sub: Subject
    client_id: ClientId | None
    session_id: SessionId | None
    scope: Scope


class Report(TypedDict):
    """One of the reports."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["Quarterly figures"])]


class Reports(TypedDict):
    """The reports."""

    reports: list[Report]


@routes.get("/me")
@bearer.required()
@operation()
def me() -> Me:
    """The subject and the client that the token speaks for."""
    claims = bearer.claims
    return {
        "sub": claims.subject,
        "client_id": claims.client_id,
        "session_id": claims.session_id,
        "scope": " ".join(sorted(claims.scope)),
    }


@routes.get("/reports")
@bearer.required(scope="reports:read")
@operation()
def reports() -> Reports:
    """Something that not every token may see."""
    return {"reports": [{"id": 1, "title": "Quarterly figures"}, {"id": 2, "title": "Audit of access"}]}
