"""BearerMiddleware for Django: every view needs a token, unless it says otherwise.

The guard is the setting REVOCATION_GUARD: a Guard, or the dotted path of one. REVOCATION_REALM is the realm of the
challenges.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, TypeVar

from revocation.bearer import (
    Answer,
    Bearer,
    is_preflight,
    is_short_form,
    require_no_token,
    server_timing,
    token_in,
)
from revocation.claims import Claims
from revocation.errors import ConfigurationError, RevocationError
from revocation.extras import extra
from revocation.guard import Decision, Guard

with extra("django", brings="django", needed_by="revocation.django"):
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.utils.module_loading import import_string

if TYPE_CHECKING:
    from django.http.response import HttpResponseBase

V = TypeVar("V", bound=Callable[..., Any])

_REQUIREMENT: Final = "revocation_requirement"
_CLAIMS: Final = "revocation_claims"
_TIMING: Final = "revocation_timing"

_bearer_of = lru_cache(Bearer)


def required(*, scope: str | None = None, max_staleness: float | None = None) -> Callable[[V], V]:
    """Mark a view that needs every word of `scope`, or has a bound of its own (in seconds)."""
    configured_guard().require_bound(max_staleness)
    return lambda view: _marked(view, (scope, max_staleness))


def token_not_required(view: V) -> V:
    """Mark a view that everybody may call."""
    return _marked(view, None)


def claims_of(request: HttpRequest) -> Claims:
    """The claims of a request's token. Raises LookupError where the guard accepted none."""
    claims: Claims | None = getattr(request, _CLAIMS, None)
    if claims is None:
        raise LookupError("the guard accepted no token for this request: BearerMiddleware is not in MIDDLEWARE")
    return claims


class BearerMiddleware:
    """Lets requests through whose token the guard accepts, synchronous and asynchronous ones; answers all others."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._guard = configured_guard()
        self._bearer = configured_bearer()
        self.process_view: Callable[..., Any] = self._judge
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self.process_view = self._judge_async

    def __call__(self, request: HttpRequest) -> "HttpResponseBase | Awaitable[HttpResponseBase]":
        """Serve one request."""
        answered = self._get_response(request)
        return _awaited(request, answered) if inspect.isawaitable(answered) else _timed(request, answered)

    def _judge(self, request: HttpRequest, view: Callable[..., Any], *_: object) -> HttpResponse | None:
        scope, max_staleness = _requirement(view) or (None, None)
        token = self._token(request, view)
        if not isinstance(token, str):
            return token
        return self._ruled(request, self._guard.decide(token, max_staleness=max_staleness), scope)

    async def _judge_async(self, request: HttpRequest, view: Callable[..., Any], *_: object) -> HttpResponse | None:
        scope, max_staleness = _requirement(view) or (None, None)
        token = self._token(request, view)
        if not isinstance(token, str):
            return token
        return self._ruled(request, await self._guard.decide_async(token, max_staleness=max_staleness), scope)

    def _token(self, request: HttpRequest, view: Callable[..., Any]) -> str | HttpResponse | None:
        """The token; the answer where there is none; None where there need not be one."""
        if _requirement(view) is None or is_preflight_request(request):
            return None
        try:
            return token_of(request)
        except RevocationError as error:
            return response(self._bearer.answer(error), request)

    def _ruled(self, request: HttpRequest, decision: Decision, scope: str | None) -> HttpResponse | None:
        judged = self._bearer.judge(decision, scope)
        if isinstance(judged, Answer):
            return response(judged, request)
        setattr(request, _CLAIMS, judged)
        setattr(request, _TIMING, server_timing(decision))
        return None


# What revocation.rest_framework and revocation.ninja share with it


def configured_guard() -> Guard:
    """The guard of the settings. Raises ConfigurationError where there is none."""
    named: object = getattr(settings, "REVOCATION_GUARD", None)
    guard = import_string(named) if isinstance(named, str) else named
    if not isinstance(guard, Guard):
        raise ConfigurationError('set REVOCATION_GUARD to a Guard, or to the path of one, such as "api.auth.guard"')
    return guard


def configured_bearer() -> Bearer:
    """The answers of the realm of the settings."""
    return _bearer_of(getattr(settings, "REVOCATION_REALM", "api"))


def is_preflight_request(request: HttpRequest) -> bool:
    """Whether a browser asks what it may send."""
    return is_preflight(request.method or "", request.headers.get("Access-Control-Request-Method"))


def token_of(request: HttpRequest) -> str:
    """The token of a request. Raises MissingTokenError, and InvalidRequestError where there is a second one."""
    meta = request.META
    token = token_in(meta.get("HTTP_AUTHORIZATION", ""), meta.get("QUERY_STRING", ""))
    if is_short_form(meta.get("CONTENT_TYPE", ""), meta.get("CONTENT_LENGTH", "")):
        require_no_token(request.body)
    return token


def response(given: Answer, request: HttpRequest) -> HttpResponse:
    """An answer as Django sends it."""
    headers = dict(given.headers) | {"Content-Length": str(len(given.body))}
    return HttpResponse(b"" if request.method == "HEAD" else given.body, status=given.status, headers=headers)


def _marked(view: V, requirement: tuple[str | None, float | None] | None) -> V:
    # What `as_view` makes of a class is a function, and methods of a class are not looked at.
    setattr(view, _REQUIREMENT, requirement)
    return view


def _requirement(view: Callable[..., Any]) -> tuple[str | None, float | None] | None:
    requirement: tuple[str | None, float | None] | None = getattr(view, _REQUIREMENT, (None, None))
    return requirement


async def _awaited(request: HttpRequest, answered: "Awaitable[HttpResponseBase]") -> "HttpResponseBase":
    return _timed(request, await answered)


def _timed(request: HttpRequest, answered: "HttpResponseBase") -> "HttpResponseBase":
    timing = getattr(request, _TIMING, None)
    if timing is not None:
        before = answered.headers.get("Server-Timing")
        answered.headers["Server-Timing"] = f"{before}, {timing}" if before else timing
    return answered
