"""The description of this API, for programs and for people."""

from functools import cache, lru_cache
from typing import Any, cast

from flask import Blueprint, Flask, Response, current_app, jsonify, make_response, request

from app.openapi import operation
from app.openapi.document import document
from app.openapi.reference import reference
from app.routes.context import service
from app.routes.pages import rendered, secured

routes = Blueprint("docs", __name__)


@routes.get("/openapi.json")
@operation(dict[str, Any])
def description() -> Response:
    """This API as OpenAPI 3.1, made of the code that answers it."""
    response = jsonify(_document(*_described()))
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Cache-Control"] = "no-cache"
    return response


@routes.get("/docs")
def docs() -> Response:
    """The same for people."""
    return secured(make_response(_page(*_described(), request.script_root)))


# Each is made once for each app, whose routes do not change: anybody may ask for the page, which takes 40 ms to make.


@cache
def _document(app: Flask, issuer: str) -> dict[str, Any]:
    return document(app, issuer=issuer)


@lru_cache(maxsize=4)
def _page(app: Flask, issuer: str, _script_root: str) -> str:
    """Its links begin with the path at which the service is mounted."""
    return rendered("docs.html", reference=reference(_document(app, issuer)))


def _described() -> tuple[Flask, str]:
    """The app, and its issuer."""
    return cast("Flask", current_app._get_current_object()), service().settings.issuer  # type: ignore[attr-defined]  # werkzeug's way past its proxy
