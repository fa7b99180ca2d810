"""The description of this API, for programs and for people."""

from functools import cache
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, jsonify

from app.openapi import operation
from app.openapi.document import document
from app.openapi.reference import reference
from app.routes.context import service
from app.routes.pages import page

routes = Blueprint("docs", __name__)


@routes.get("/openapi.json")
@operation(dict[str, Any])
def description() -> Response:
    """This API as OpenAPI 3.1, made of the code that answers it."""
    response = jsonify(_document())
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "no-cache"
    return response


@routes.get("/docs")
def docs() -> Response:
    """The same for people."""
    return page("docs.html", reference=reference(_document()))


def _document() -> dict[str, Any]:
    return _described(cast("Flask", current_app._get_current_object()), service().settings.issuer)  # type: ignore[attr-defined]  # werkzeug's way past its proxy


@cache
def _described(app: Flask, issuer: str) -> dict[str, Any]:
    """Once for each app: its routes do not change."""
    return document(app, issuer=issuer)
