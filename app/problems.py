"""Problems: every error of the service as RFC 9457 problem details. The OAuth endpoints have a format of their own."""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Annotated, Any, Final, NotRequired, TypeVar

from flask import Flask, Request, Response, request
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12
from werkzeug.exceptions import BadRequest, HTTPException

from app.database import DatabaseUnavailableError, InvalidValueError
from app.debts import OwedError
from revocation import ConflictError

_log = logging.getLogger(__name__)

#: What a request may send. Nobody reads a longer body.
MAX_BODY_BYTES: Final = 64 * 1024

M = TypeVar("M", bound=BaseModel)


class FieldProblem(TypedDict):
    """The problem with one field."""

    field: Annotated[str, Field(description="Its path, with dots.", examples=["username"])]
    problem: Annotated[str, Field(examples=["Field required"])]


class ProblemJson(TypedDict):
    """Problem details (RFC 9457)."""

    type: Annotated[str, Field(examples=["about:blank"])]
    title: Annotated[str, Field(description="The name of the status.", examples=["Unauthorized"])]
    status: Annotated[int, Field(ge=400, le=599, examples=[401])]
    detail: Annotated[str, Field(description="What is wrong, for people.", examples=["The token has been revoked."])]
    reason: NotRequired[Annotated[str, Field(description="What a program decides by.", examples=["revoked"])]]
    errors: NotRequired[Annotated[list[FieldProblem], Field(description="With `invalid`: what is wrong where.")]]


class Problem(Exception):  # noqa: N818 (the RFC's word)
    """Ends the request with this answer."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        reason: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: list[FieldProblem] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason
        self.headers = dict(headers or {})
        self.errors = errors

    def response(self) -> Response:
        """The problem as an answer."""
        body: ProblemJson = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.reason:
            body["reason"] = self.reason
        if self.errors:
            body["errors"] = self.errors
        return Response(
            json.dumps(body),
            self.status,
            mimetype="application/problem+json",
            headers={"Cache-Control": "no-store", **self.headers},
        )


class BrokenBodyRequest(Request):
    """A request whose body may break off or be no HTTP: the client's mistake, and nothing of it gets into a log."""

    def get_data(self, *args: Any, **kwargs: Any) -> Any:
        """The body, as Flask reads it. Raises BadRequest where the client sent a broken one."""
        with _clients_mistake():
            return super().get_data(*args, **kwargs)

    def _load_form_data(self) -> None:
        with _clients_mistake():
            super()._load_form_data()


@contextlib.contextmanager
def _clients_mistake() -> Iterator[None]:
    try:
        yield
    except HTTPException:
        raise
    except Exception:  # noqa: BLE001  # every server has its own exceptions for this; gunicorn's quote the body
        raise BadRequest("The body of the request could not be read.") from None


def register(app: Flask) -> None:
    """Answer every error as a problem. An unforeseen error is logged, and its answer tells nothing of it."""
    app.request_class = BrokenBodyRequest
    app.register_error_handler(Problem, lambda problem: problem.response())
    app.register_error_handler(HTTPException, from_http)
    app.register_error_handler(InvalidValueError, lambda error: Problem(400, str(error), reason="invalid").response())
    app.register_error_handler(ConflictError, lambda error: Problem(409, str(error), reason="conflict").response())
    app.register_error_handler(OwedError, _owed)
    app.register_error_handler(DatabaseUnavailableError, _unavailable)
    app.register_error_handler(Exception, unforeseen)


def read_json(model: type[M]) -> M:
    """The request's JSON body, checked. Never repeats what was sent: it may be a password."""
    if request.mimetype != "application/json":
        raise Problem(415, "Send a JSON object with Content-Type: application/json.", reason="content_type")
    try:
        return model.model_validate_json(request.get_data(cache=False))
    except ValidationError as error:
        errors: list[FieldProblem] = [
            {"field": ".".join(map(str, problem["loc"])) or "body", "problem": problem["msg"]}
            for problem in error.errors(include_input=False, include_url=False, include_context=False)
        ]
        raise Problem(400, "The body is not what this endpoint takes.", reason="invalid", errors=errors) from error


def from_http(error: HTTPException) -> Response:
    """An error of HTTP itself, with those of its headers that mean something to the client."""
    headers = {
        name: value
        for name, value in error.get_headers()
        if name.lower() in ("allow", "retry-after", "location", "www-authenticate")
    }
    problem = Problem(error.code or 500, error.description or "", headers=headers)
    return error.response if isinstance(error.response, Response) else problem.response()


def _unavailable(error: Exception) -> Response:
    _log.warning("A store does not answer.", exc_info=error)
    return Problem(
        503, "A store of this service does not answer. Try again.", reason="unavailable", headers={"Retry-After": "1"}
    ).response()


def _owed(error: OwedError) -> Response:
    _log.warning("The tokens of an account that has changed are not taken back yet: %s", error.__cause__)
    headers = {"Retry-After": str(error.retry_after_seconds)}
    return Problem(503, str(error), reason=error.slug, headers=headers).response()


def unforeseen(error: Exception) -> Response:
    """The answer to a mistake of this service, which is logged."""
    _log.error("An error that nobody foresaw.", exc_info=error)
    return Problem(500, "Something went wrong here. It has been logged.").response()
