"""Kinds: by what can be revoked."""

from typing import Annotated

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required
from app.openapi import operation
from app.routes.context import service
from app.routes.formats import KindName
from revocation.handles import KINDS

routes = Blueprint("kinds", __name__)


class KindJson(TypedDict):
    """A kind of handle."""

    kind: KindName
    built_in: Annotated[bool, Field(description="False: an application's own, which the deny-list declares.")]
    unconditional: Annotated[
        bool, Field(description="Whether revoking one takes back everything under it, or what is older than a moment.")
    ]


class Kinds(TypedDict):
    """Everything by which can be revoked now."""

    kinds: list[KindJson]


@routes.get("/kinds")
@admin_required
@operation()
def kinds() -> Kinds:
    """The kinds of handles by which can be revoked: the built-in ones, and those that the deny-list declares."""
    denylist = service().stores.denylist
    names = denylist.kinds()
    return {
        "kinds": [
            {"kind": kind, "built_in": kind in KINDS, "unconditional": denylist.is_unconditional(kind)}
            for kind in names
        ]
    }
