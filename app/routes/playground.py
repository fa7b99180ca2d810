"""The playground at `/`: what a token is, and what taking it back costs. It exists on the embedded store only."""

import math
import os
from typing import Annotated, Any

from flask import Blueprint, Response, jsonify, redirect, request
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app import demonstration
from app.bearer import bearer
from app.openapi import operation
from app.routes.context import actor, service
from app.routes.formats import ReceiptAnswer, Subject, receipt_json
from app.routes.pages import page
from revocation import Claims
from revocation.denylist import is_revoked
from revocation.handles import Kind

routes = Blueprint("playground", __name__)

#: Registered with the embedded store only.
demo = Blueprint("demo", __name__, url_prefix="/demo")


class Greeting(TypedDict):
    """The resource."""

    hello: Subject
    worker: Annotated[int, Field(description="The process that answered.", examples=[4711])]


class EntryJson(TypedDict):
    """The entry of the deny-list under one handle of the token."""

    kind: Kind
    key: Annotated[str, Field(description="In Redis.", examples=["{denylist}:subject:~9f86d081:demo"])]
    present: Annotated[bool, Field(description="Whether there is an entry.", examples=[True])]
    refuses: Annotated[bool, Field(description="Whether it concerns this token.", examples=[True])]
    expires_in_seconds: Annotated[float | None, Field(description="Null: no entry, or until undone.", examples=[899.5])]


class Entries(TypedDict):
    """One entry for each handle."""

    entries: list[EntryJson]


@routes.get("/")
def entrance() -> Any:
    """The playground; where there is none, the reference."""
    if not service().settings.is_embedded:
        return redirect(f"{request.script_root}/docs")
    return page(
        "playground.html",
        username=demonstration.USERNAME,
        password=demonstration.PASSWORD,
        bound_seconds=service().guard.max_staleness,
    )


@demo.get("/stateless")
@bearer.required(max_staleness=math.inf)
@operation(Greeting)
def stateless() -> Response:
    """A resource that asks nobody whether the token was revoked."""
    return _resource()


@demo.get("/bounded")
@bearer.required()
@operation(Greeting)
def bounded() -> Response:
    """A resource at the service's own `max_staleness`: decided from the worker's copy of the deny-list."""
    return _resource()


@demo.get("/strict")
@bearer.required(max_staleness=0)
@operation(Greeting)
def strict() -> Response:
    """A resource that asks Redis each time."""
    return _resource()


@demo.post("/revoke")
@bearer.required(max_staleness=0)
@operation(ReceiptAnswer)
def revoke() -> Response:
    """Revoke the token that this request carries: what `/oauth/revoke` does, but with a receipt."""
    claims = bearer.claims
    receipt = service().revocations.revoke_token(
        claims, reason="tried in the playground", actor=actor(claims.subject), action="token.revoke"
    )
    return _unkept({"receipt": receipt_json(receipt)})


@demo.get("/denylist")
@bearer.required(max_staleness=math.inf)
@operation(Entries)
def denylist() -> Response:
    """The entries that a check of this token asks Redis for. A token that was revoked may ask as well."""
    return _unkept({"entries": _entries(bearer.claims)})


def _entries(claims: Claims) -> list[dict[str, Any]]:
    """One per handle; `expires_in_seconds` is null where there is no entry, or where it stands until undone.

    An entry that is there may still not refuse this token: its cut-off may lie before the token was made.
    """
    store = service().stores.denylist
    names = [store.key(handle.name) for handle in claims.handles]

    def ask(client: Any) -> list[int]:
        pipeline = client.pipeline(transaction=False)
        for name in names:
            pipeline.pttl(name)
        answers: list[int] = pipeline.execute()
        return answers

    cutoffs = store.latest_cutoffs([[handle] for handle in claims.handles])
    return [
        {
            "kind": handle.kind,
            "key": name,
            # PTTL says -2 for a key that is not there, and -1 for one that does not expire.
            "present": left_ms != -2,  # noqa: PLR2004 (see above)
            "refuses": is_revoked(claims, cutoff),
            "expires_in_seconds": left_ms / 1000 if left_ms >= 0 else None,
        }
        for handle, name, cutoff, left_ms in zip(claims.handles, names, cutoffs, store.link.call(ask), strict=True)
    ]


def _resource() -> Response:
    return _unkept({"hello": bearer.claims.subject, "worker": os.getpid()})


def _unkept(body: dict[str, Any]) -> Response:
    response = jsonify(body)
    response.headers["Cache-Control"] = "no-store"
    return response
