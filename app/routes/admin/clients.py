"""Clients: the programs that ask for tokens of their own."""

from typing import Annotated

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required, bearer
from app.openapi import operation
from app.routes.context import actor, service
from app.routes.formats import ClientId, Scope

routes = Blueprint("clients", __name__)


class NewClient(BaseModel):
    """A new client."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="For people.", examples=["billing"])
    scope: str = Field(default="", description="What its tokens may do, space-separated.", examples=["reports:read"])


class ClientCreated(TypedDict):
    """The client, and its secret."""

    client_id: Annotated[ClientId, Field(examples=["client7s0k2m9q4x1v8b3n6d5f2g0h"])]
    client_secret: Annotated[str, Field(description="Shown here and never again.", examples=["kX2..."])]
    name: Annotated[str, Field(examples=["billing"])]
    scope: Scope


@routes.post("/clients")
@admin_required
@operation({201: ClientCreated})
def create_client(body: NewClient) -> Response:
    """A new client; its secret is shown here and never again."""
    client, secret = service().accounts.create_client(body.name, scope=body.scope, actor=actor(bearer.claims.subject))
    answer: ClientCreated = {
        "client_id": client.client_id,
        "client_secret": secret,
        "name": client.name,
        "scope": client.scope,
    }
    response = jsonify(answer)
    response.status_code = 201
    response.headers["Cache-Control"] = "no-store"
    return response
