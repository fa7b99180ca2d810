"""Forward authentication: a proxy asks before it lets a request through."""

import io
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Final, NotRequired

from flask import Blueprint, Response, request
from pydantic import Field, PlainValidator
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import bearer
from app.openapi import Answer, operation
from revocation import Claims, ConfigurationError
from revocation.guard import checked_staleness

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

routes = Blueprint("verify", __name__)

#: What stands in the place of something that there is not. Some proxies pass a client's own header on where ours is
#: left out or empty.
NOTHING: Final = "-"

_METHODS: Final = ["GET", "HEAD", "OPTIONS"]

_ALLOWED: Final = Answer(
    None,
    "Let it through. Who it is stands in the headers; `-` where there is nothing to say.",
    headers={
        "X-Auth-Subject": "The `sub` of the token; `-` for a preflight, which has none.",
        "X-Auth-Client": "Its `client_id`.",
        "X-Auth-Scope": "Its scope.",
        "X-Auth-Session": "Its `sid`.",
    },
)


class Questions:
    """Reads what a proxy sends to `/verify` as a question about another request, and not as a request to this service.

    Such a question may have any method, ask for a WebSocket, and announce a body of any size: none of this is for this
    service to judge. GET stands for the methods that make no difference, and the body stays unread.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self._app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/verify" or path.startswith("/verify/"):
            environ = {name: value for name, value in environ.items() if name not in _OF_THE_OTHER}
            environ["wsgi.input"] = io.BytesIO()
            # No client may send credentials with TRACE (RFC 9110, section 9.3.8), so nobody has a question about it.
            if environ["REQUEST_METHOD"] not in (*_METHODS, "TRACE"):
                environ["REQUEST_METHOD"] = "GET"
        return self._app(environ, start_response)


_OF_THE_OTHER: Final = frozenset({"CONTENT_LENGTH", "CONTENT_TYPE", "HTTP_TRANSFER_ENCODING", "HTTP_UPGRADE"})


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
    {200: _ALLOWED},
    proof="bearer",
    refuses={
        400: "`invalid`: `max_staleness` is no number of seconds.",
        403: "`insufficient_scope`: it does not cover `scope`.",
    },
)
def verify(query: Dial) -> Response:
    """200 with headers that say who it is, or 401, 403 or 503 as a protected route would.

    The proxy may ask for a scope (`/verify?scope=reports:read`) and set the dial (`&max_staleness=0`). A bound above
    `REVOCATION_MAX_STALENESS` counts as that. Any method will do, and a body is not read. With OPTIONS, a preflight of
    CORS is let through without a token: browsers send none with it, and the guarded API answers it.
    """
    if _is_preflight():
        return _identity(None)
    bearer.require(scope=query.get("scope") or None, max_staleness=query.get("max_staleness"))
    return _identity(bearer.claims)


@routes.route("/verify/", methods=_METHODS, provide_automatic_options=False)
@routes.route("/verify/<path:original>", methods=_METHODS, provide_automatic_options=False)
@operation(
    {200: _ALLOWED}, proof="bearer", refuses={404: "The path begins with a slash of its own."}, ignores_query=True
)
def verify_original(original: Original = "") -> Response:  # noqa: ARG001 (the guarded path is not ours to judge)
    """The same for proxies that put the original path behind theirs, and keep the method.

    There the query is the client's own, who must not set the dial: it is not read.
    """
    if _is_preflight():
        return _identity(None)
    bearer.require()
    return _identity(bearer.claims)


def _is_preflight() -> bool:
    """Whether a browser asks which requests of another origin an API takes (Fetch, section 3.3.2).

    Only the method itself counts: a header such as X-Forwarded-Method could be the client's own.
    """
    asks = "Origin" in request.headers and "Access-Control-Request-Method" in request.headers
    return request.method == "OPTIONS" and asks


def _identity(claims: Claims | None) -> Response:
    response = Response()
    del response.headers["Content-Type"]  # there is no content
    subject, client, scope, session = (
        (claims.subject, claims.client_id, " ".join(sorted(claims.scope)), claims.session_id) if claims else (None,) * 4
    )
    response.headers["X-Auth-Subject"] = subject or NOTHING
    response.headers["X-Auth-Client"] = client or NOTHING
    response.headers["X-Auth-Scope"] = scope or NOTHING
    response.headers["X-Auth-Session"] = session or NOTHING
    response.headers["Cache-Control"] = "no-store"
    return response
