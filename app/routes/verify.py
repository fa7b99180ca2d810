"""Forward authentication: a proxy asks before it lets a request through."""

from typing import Annotated, Final, NotRequired

from flask import Blueprint, Response
from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import bearer
from app.openapi import Answer, operation
from revocation import Claims, ConfigurationError
from revocation.guard import checked_staleness

routes = Blueprint("verify", __name__)

_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

_ALLOWED: Final = Answer(
    None,
    "Let it through. Who it is stands in the headers.",
    headers={
        "X-Auth-Subject": "The `sub` of the token.",
        "X-Auth-Client": "Its `client_id`; empty where it has none.",
        "X-Auth-Scope": "Its scope.",
        "X-Auth-Session": "Its `sid`; empty where it has none.",
    },
)


def _seconds(text: str) -> float:
    """A bound as the guard takes it."""
    try:
        return checked_staleness(float(text))
    except (ValueError, ConfigurationError) as error:
        raise PydanticCustomError("staleness", "max_staleness is a number of seconds, or inf.") from error


class Dial(TypedDict):
    """The demands that a proxy may make."""

    scope: NotRequired[Annotated[str, Field(description="What the token must cover.", examples=["reports:read"])]]
    max_staleness: NotRequired[
        Annotated[
            float,
            PlainValidator(_seconds, json_schema_input_type=str),
            Field(description="Seconds, or `inf`: how old what is known of revocations may be.", examples=["0"]),
        ]
    ]


Original = Annotated[str, Field(description="The guarded path. It is not read.", examples=["orders/7"])]


@routes.route("/verify", methods=_METHODS, provide_automatic_options=False)
@operation(
    {204: _ALLOWED},
    proof="bearer",
    refuses={
        400: "`invalid`: `max_staleness` is no number of seconds.",
        403: "`insufficient_scope`: it does not cover `scope`.",
    },
)
def verify(query: Dial) -> Response:
    """204 with headers that say who it is, or 401, 403 or 503 as a protected route would.

    The proxy may ask for a scope (`/verify?scope=reports:read`) and set the dial (`&max_staleness=0`). A bound above
    `REVOCATION_MAX_STALENESS` counts as that.
    """
    return _identity(bearer.require(scope=query.get("scope") or None, max_staleness=query.get("max_staleness")))


@routes.route("/verify/", methods=_METHODS, provide_automatic_options=False)
@routes.route("/verify/<path:original>", methods=_METHODS, provide_automatic_options=False)
@operation({204: _ALLOWED}, proof="bearer", refuses={404: "The path begins with a slash of its own."})
def verify_original(original: Original = "") -> Response:  # noqa: ARG001 (the guarded path is not ours to judge)
    """The same for proxies that put the original path behind theirs, and keep the method.

    There the query is the client's own, who must not set the dial: it is not read.
    """
    return _identity(bearer.require())


def _identity(claims: Claims) -> Response:
    response = Response(status=204)
    for name, value in (
        ("X-Auth-Subject", claims.subject),
        ("X-Auth-Client", claims.client_id),
        ("X-Auth-Scope", " ".join(sorted(claims.scope))),
        ("X-Auth-Session", claims.session_id),
    ):
        response.headers[name] = value or ""
    response.headers["Cache-Control"] = "no-store"
    return response
