"""Refusals: the errors that routes share, each said once: when it comes, what it looks like, its headers."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.openapi.operation import Operation
from app.problems import ProblemJson
from revocation.flask import Requirement

OAuthErrorCode = Literal[
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "temporarily_unavailable",
    "server_error",
]


class OAuthErrorJson(TypedDict):
    """An error of an OAuth endpoint (RFC 6749, section 5.2)."""

    error: Annotated[OAuthErrorCode, Field(description="What a program decides by.", examples=["invalid_grant"])]
    error_description: Annotated[
        str, Field(description="What is wrong, for people.", examples=["This refresh token gives no tokens any more."])
    ]


PROBLEM: Final = (ProblemJson, "application/problem+json")
OAUTH_ERROR: Final = (OAuthErrorJson, "application/json")

#: The scheme names of the components.
BEARER: Final = "bearer"
CLIENT: Final = "client"

_RETRY_AFTER: Final = {"description": "Seconds after which to come again.", "schema": {"type": "integer", "minimum": 1}}

_HEADERS: Final[Mapping[int, tuple[str, dict[str, Any]]]] = {
    401: ("WWW-Authenticate", {"description": "The challenge (RFC 6750, section 3).", "schema": {"type": "string"}}),
    403: ("WWW-Authenticate", {"description": "The challenge, with the scope.", "schema": {"type": "string"}}),
    429: ("Retry-After", _RETRY_AFTER),
    503: ("Retry-After", _RETRY_AFTER),
}

SERVER_TIMING: Final = {
    "description": 'What the decision cost, such as `verify;dur=0.021, revocation;dur=0.004;desc="follower"`: '
    "milliseconds, and who was asked about revocations, `follower`, `redis` or `none`.",
    "schema": {"type": "string", "pattern": "^verify;dur="},
}


def refusals(told: Operation, required: Requirement | None) -> dict[int, str]:
    """When an operation refuses, by status, in words."""
    texts: dict[int, list[str]] = {}

    def when(status: int, text: str) -> None:
        texts.setdefault(status, []).append(text)

    if not told.ignores_query:
        when(400, "`invalid`: a parameter in the query that is not there, or is there twice.")
    if told.body is not None:
        when(400, "`invalid`: the body is not what this takes; `errors` names the fields.")
        when(415, "`content_type`: send JSON with `Content-Type: application/json`.")
    if told.form is not None:
        when(400, "`invalid_request`: a parameter is missing, there twice, or not form-encoded.")
        when(503, "`temporarily_unavailable`: nothing has changed. Send the same request again.")
    if told.body is not None or told.form is not None:
        when(413, "The body is longer than 64 KiB.")
    if required is not None:
        when(400, "`invalid_request`: the token is sent twice. It belongs into the `Authorization` header alone.")
        when(401, "`missing_token`, or why it is not good: `expired`, `revoked`, `signature`, `audience`, ...")
        if required.scope is not None:
            when(403, f"`insufficient_scope`: the token lacks `{required.scope}`.")
        when(503, "`denylist_unavailable`, `unavailable`: it could not be decided. Never means revoked; try again.")
    for status, text in told.refuses.items():
        when(status, text)
    return {status: " ".join(dict.fromkeys(said)) for status, said in sorted(texts.items())}


def headers(status: int, required: Requirement | None) -> dict[str, Any]:
    """The headers that a refusal always has. A 403 about something else than a token has no challenge."""
    if status not in _HEADERS or (status == HTTPStatus.FORBIDDEN and required is None):
        return {}
    name, header = _HEADERS[status]
    return {name: {**header, "required": True}}
