"""BearerMiddleware for Django: every view needs a token, unless it says otherwise.

The guard is the setting REVOCATION_GUARD: a Guard, or the dotted path of one. REVOCATION_REALM is the realm of the
challenges.
"""

import inspect
from collections.abc import Awaitable, Callable
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

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
_MET: Final = "revocation_requirement_met"
_CLAIMS: Final = "revocation_claims"
_TIMING: Final = "revocation_timing"

_bearer_of = lru_cache(Bearer)


class _Requirement(NamedTuple):
    scope: str | None = None
    max_staleness: float | None = None


def required(*, scope: str | None = None, max_staleness: float | None = None) -> Callable[[V], V]:
    """Mark a view that needs every word of `scope`, or has a bound of its own (in seconds).

    It may stand on a function, on a method of a class, and in `method_decorator`. The middleware sees the mark of a
    view that a URL leads to; anywhere else the view itself checks. Raises ConfigurationError on a class.
    """
    configured_guard().require_bound(max_staleness)
    needed = _Requirement(scope, max_staleness)

    def decorate(view: V) -> V:
        # What async and sync code may call is told apart as Django does, by marks as well.
        if iscoroutinefunction(view):

            async def awaiting(*args: Any, **kwargs: Any) -> Any:
                request = _request_among(args)
                if not _is_met(request, needed):
                    refusal = await _ruled_async(request, needed)
                    if refusal is not None:
                        return refusal
                return await view(*args, **kwargs)

            return _marked(cast("V", wraps(view)(awaiting)), needed)

        def guarded(*args: Any, **kwargs: Any) -> Any:
            request = _request_among(args)
            refusal = None if _is_met(request, needed) else _ruled(request, needed)
            if refusal is not None:
                return _awaitable(refusal) if _is_awaited(view, args) else refusal
            return view(*args, **kwargs)

        return _marked(cast("V", wraps(view)(guarded)), needed)

    return lambda view: decorate(_no_class(view))


def token_not_required(view: V) -> V:
    """Mark a view that everybody may call. Raises ConfigurationError on a class."""
    return _marked(_no_class(view), None)


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
        configured_guard()
        self.process_view: Callable[..., Any] = self._judge
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)
            self.process_view = self._judge_async

    def __call__(self, request: HttpRequest) -> "HttpResponseBase | Awaitable[HttpResponseBase]":
        """Serve one request."""
        answered = self._get_response(request)
        return _awaited(request, answered) if inspect.isawaitable(answered) else _timed(request, answered)

    def _judge(self, request: HttpRequest, view: Callable[..., Any], *_: object) -> HttpResponse | None:
        needed = _requirement(view)
        return None if needed is None else _ruled(request, needed)

    async def _judge_async(self, request: HttpRequest, view: Callable[..., Any], *_: object) -> HttpResponse | None:
        needed = _requirement(view)
        return None if needed is None else await _ruled_async(request, needed)


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
    """The token of a request. Raises MissingTokenError, and InvalidRequestError where the query has a second one."""
    return token_in(request.META.get("HTTP_AUTHORIZATION", ""), request.META.get("QUERY_STRING", ""))


def require_token_once(request: HttpRequest) -> None:
    """Raise InvalidRequestError where a form has a second token; ask this once the first one is accepted.

    Nothing of the body is read for those who are not let in.
    """
    meta = request.META
    headers = ("CONTENT_TYPE", "CONTENT_LENGTH", "HTTP_TRANSFER_ENCODING")
    if is_short_form(*(meta.get(name, "") for name in headers)):
        require_no_token(request.body)


def response(given: Answer, request: HttpRequest) -> HttpResponse:
    """An answer as Django sends it."""
    headers = dict(given.headers) | {"Content-Length": str(len(given.body))}
    return HttpResponse(b"" if request.method == "HEAD" else given.body, status=given.status, headers=headers)


def _ruled(request: HttpRequest, needed: _Requirement) -> HttpResponse | None:
    """The answer to a request that does not meet a requirement; None for one that does, and for a preflight."""
    token = _token(request)
    if not isinstance(token, str):
        return token
    return _noted(request, configured_guard().decide(token, max_staleness=needed.max_staleness), needed)


async def _ruled_async(request: HttpRequest, needed: _Requirement) -> HttpResponse | None:
    token = _token(request)
    if not isinstance(token, str):
        return token
    decision = await configured_guard().decide_async(token, max_staleness=needed.max_staleness)
    return _noted(request, decision, needed)


def _token(request: HttpRequest) -> str | HttpResponse | None:
    """The token; the answer where there is none; None where there need not be one."""
    if is_preflight_request(request):
        return None
    try:
        return token_of(request)
    except RevocationError as error:
        return response(configured_bearer().answer(error), request)


def _noted(request: HttpRequest, decision: Decision, needed: _Requirement) -> HttpResponse | None:
    judged = configured_bearer().judge(decision, needed.scope)
    if isinstance(judged, Answer):
        return response(judged, request)
    try:
        require_token_once(request)
    except RevocationError as error:
        return response(configured_bearer().answer(error), request)
    setattr(request, _CLAIMS, judged)
    setattr(request, _TIMING, server_timing(decision))
    setattr(request, _MET, needed)
    return None


def _is_met(request: HttpRequest, needed: _Requirement) -> bool:
    return getattr(request, _MET, None) == needed


def _request_among(args: tuple[Any, ...]) -> HttpRequest:
    """The request that a view was called with: behind `self` in a method, and within that of a REST framework."""
    for arg in args[:2]:
        request = getattr(arg, "_request", arg)
        if isinstance(request, HttpRequest):
            return request
    raise ConfigurationError("@required stands on what was called without a request: put it on a view")


def _is_awaited(view: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether a function that is not asynchronous stands in for one: `dispatch` of an asynchronous class."""
    bound = getattr(view, "func", view)
    return bool(getattr(getattr(bound, "__self__", args[0]), "view_is_async", False))


async def _awaitable(refusal: HttpResponse) -> HttpResponse:
    return refusal


def _no_class(view: V) -> V:
    if isinstance(view, type):
        raise ConfigurationError(
            f"Django does not look at marks of a class: put the decorator on a method of {view.__name__}, or "
            '@method_decorator(..., name="dispatch") on the class'
        )
    return view


def _marked(view: V, requirement: _Requirement | None) -> V:
    setattr(view, _REQUIREMENT, requirement)
    return view


def _requirement(view: Callable[..., Any]) -> _Requirement | None:
    requirement: _Requirement | None = getattr(view, _REQUIREMENT, _Requirement())
    return requirement


async def _awaited(request: HttpRequest, answered: "Awaitable[HttpResponseBase]") -> "HttpResponseBase":
    return _timed(request, await answered)


def _timed(request: HttpRequest, answered: "HttpResponseBase") -> "HttpResponseBase":
    timing = getattr(request, _TIMING, None)
    if timing is not None:
        before = answered.headers.get("Server-Timing")
        answered.headers["Server-Timing"] = f"{before}, {timing}" if before else timing
    return answered
