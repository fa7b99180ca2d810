"""Clients: the programs that ask for tokens of their own."""

from datetime import timedelta
from typing import Annotated, Final, NotRequired

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required, bearer
from app.clients import MAX_OVERLAP_SECONDS, OVERLAP_SECONDS, Client
from app.instants import milliseconds
from app.openapi import operation
from app.routes.context import actor, service
from app.routes.formats import (
    PAGE_SIZE,
    AtCursor,
    Cursor,
    Instant,
    ReceiptAnswer,
    ReceiptJson,
    Scope,
    paged,
    receipt_json,
)
from revocation.instants import rfc3339

routes = Blueprint("clients", __name__)

_UNKNOWN: Final = "`unknown_client`: there is no client of this id."


class NewClient(BaseModel):
    """A new client."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(description="For people.", examples=["billing"])
    scope: str = Field(default="", description="What its tokens may do, space-separated.", examples=["reports:read"])


class ChangedClient(BaseModel):
    """A change of a client."""

    model_config = ConfigDict(extra="forbid", strict=True)

    disabled: bool = Field(description="Whether it is refused.", examples=[True])


class NewSecret(BaseModel):
    """How a client gets its new secret."""

    model_config = ConfigDict(extra="forbid", strict=True)

    overlap_seconds: int = Field(
        default=OVERLAP_SECONDS,
        ge=0,
        le=MAX_OVERLAP_SECONDS,
        description="For how long the secret that it has is good as well; 0 if it leaked.",
        examples=[OVERLAP_SECONDS],
    )


RegisteredId = Annotated[
    str, Field(description="The id of a registered client.", examples=["client7s0k2m9q4x1v8b3n6d5f2g0h"])
]


class ClientCreated(TypedDict):
    """The client, and its secret."""

    client_id: RegisteredId
    client_secret: Annotated[str, Field(description="Shown here and never again.", examples=["kX2..."])]
    name: Annotated[str, Field(examples=["billing"])]
    scope: Scope


class ClientJson(TypedDict):
    """A client."""

    client_id: RegisteredId
    name: Annotated[str, Field(examples=["billing"])]
    scope: Scope
    disabled: Annotated[bool, Field(examples=[False])]
    created_at: Instant


class ClientChanged(ClientJson):
    """The client as it is now, and what taking its tokens back has reached."""

    receipt: Annotated[ReceiptJson | None, Field(description="Null where nothing was taken back.")]


class ClientsQuery(TypedDict):
    """Where the list goes on."""

    cursor: NotRequired[AtCursor]


class ClientsPage(TypedDict):
    """A page of clients."""

    clients: list[ClientJson]
    next_cursor: Cursor


@routes.get("/clients")
@admin_required
@operation(refuses={400: "`invalid`: a cursor from elsewhere."})
def clients(query: ClientsQuery) -> ClientsPage:
    """The registered clients, in the order of their ids."""
    found = service().stores.clients.page(after=query.get("cursor", ""), limit=PAGE_SIZE + 1)
    page, next_cursor = paged(found, lambda client: client.client_id)
    return {
        "clients": [_client_json(client) for client in page],
        "next_cursor": next_cursor,
    }


@routes.post("/clients")
@admin_required
@operation({201: ClientCreated})
def create_client(body: NewClient) -> Response:
    """A new client; its secret is shown here and never again."""
    client, secret = service().accounts.create_client(body.name, scope=body.scope, actor=actor(bearer.claims.subject))
    return _with_secret(client, secret, status=201)


@routes.patch("/clients/<client_id>")
@admin_required
@operation(refuses={404: _UNKNOWN})
def change_client(client_id: RegisteredId, body: ChangedClient) -> ClientChanged:
    """Refuse a client from now on and take back its tokens, or take it again."""
    client, receipt = service().accounts.change_client(
        client_id, disabled=body.disabled, actor=actor(bearer.claims.subject)
    )
    return {**_client_json(client), "receipt": None if receipt is None else receipt_json(receipt)}


@routes.post("/clients/<client_id>/secret")
@admin_required
@operation({200: ClientCreated}, refuses={404: _UNKNOWN})
def rotate_secret(client_id: RegisteredId, body: NewSecret | None) -> Response:
    """A new secret, shown here and never again; the one that the client has is good for a while.

    A secret that was replaced before is good no longer.
    """
    overlap = timedelta(seconds=(body or NewSecret()).overlap_seconds)
    client, secret = service().accounts.rotate_client_secret(
        client_id, overlap=overlap, actor=actor(bearer.claims.subject)
    )
    return _with_secret(client, secret, status=200)


@routes.delete("/clients/<client_id>")
@admin_required
@operation(refuses={404: _UNKNOWN})
def delete_client(client_id: RegisteredId) -> ReceiptAnswer:
    """Delete a client for good, and take back its tokens."""
    receipt = service().accounts.delete_client(client_id, actor=actor(bearer.claims.subject))
    return {"receipt": receipt_json(receipt)}


def _client_json(client: Client) -> ClientJson:
    return {
        "client_id": client.client_id,
        "name": client.name,
        "scope": client.scope,
        "disabled": client.disabled,
        "created_at": rfc3339(milliseconds(client.created_at)),
    }


def _with_secret(client: Client, secret: str, *, status: int) -> Response:
    answer: ClientCreated = {
        "client_id": client.client_id,
        "client_secret": secret,
        "name": client.name,
        "scope": client.scope,
    }
    response = jsonify(answer)
    response.status_code = status
    response.headers["Cache-Control"] = "no-store"
    return response
