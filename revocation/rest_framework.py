"""BearerAuthentication and TokenRequired for Django REST framework; the guard is that of `revocation.django`."""

from typing import Any

from revocation.bearer import Answer, server_timing
from revocation.claims import Claims
from revocation.django import (
    configured_bearer,
    configured_guard,
    is_preflight_request,
    require_token_once,
    response,
    token_of,
)
from revocation.errors import ConfigurationError, MissingTokenError, RevocationError
from revocation.extras import extra
from revocation.guard import Accepted

with extra("rest-framework", brings="rest_framework", needed_by="revocation.rest_framework"):
    from rest_framework.authentication import BaseAuthentication
    from rest_framework.exceptions import APIException
    from rest_framework.permissions import BasePermission
    from rest_framework.request import Request


class TokenUser:
    """Who calls, where there is no table of users: `request.user` of a request with a token."""

    is_authenticated = True
    is_anonymous = False
    is_active = True

    def __init__(self, claims: Claims) -> None:
        self.claims = claims
        self.pk = self.username = claims.subject

    def __str__(self) -> str:
        return self.username


class Refusal(APIException):
    """Ends the request with an answer, whatever handler of exceptions the project has."""

    def __init__(self, given: Answer) -> None:
        self.answer = given
        super().__init__(given.status_line)
        self.status_code = given.status


class BearerAuthentication(BaseAuthentication):
    """`request.auth` is the claims of the request's token, and `request.user` whom `get_user` makes of them.

    A request without a token is anonymous, and TokenRequired refuses it. A view may have a bound of its own, its
    attribute `max_staleness` (in seconds).
    """

    def authenticate(self, request: Request) -> tuple[Any, Claims] | None:
        """The user and the claims; None without a token."""
        _require_permission(_view(request))
        bearer = configured_bearer()
        try:
            token = token_of(request)
        except MissingTokenError:
            return None
        except RevocationError as error:
            raise _refusal(request, bearer.answer(error)) from None
        guard, bound = configured_guard(), getattr(_view(request), "max_staleness", None)
        guard.require_bound(bound)
        decision = guard.decide(token, max_staleness=bound)
        judged = bearer.judge(decision, None)
        if isinstance(judged, Answer):
            raise _refusal(request, judged)
        try:
            require_token_once(request)
        except RevocationError as error:
            raise _refusal(request, bearer.answer(error)) from None
        request.revocation_decision = decision
        _view(request).headers["Server-Timing"] = server_timing(decision)
        return self.get_user(judged), judged

    def authenticate_header(self, request: Request) -> str:
        """The challenge of the answers that other permissions give."""
        return configured_bearer().challenge_without_error()

    def get_user(self, claims: Claims) -> Any:
        """Whom the token stands for; a subclass may look into the project's table of users."""
        return TokenUser(claims)


class TokenRequired(BasePermission):
    """Lets requests in that BearerAuthentication knows, and whose scope covers every word of the view's `scope`."""

    def has_permission(self, request: Request, view: Any) -> bool:
        """True, or the end of the request with its answer."""
        if is_preflight_request(request):
            return True
        bearer = configured_bearer()
        decision = getattr(request, "revocation_decision", None)
        if not isinstance(request.auth, Claims) or not isinstance(decision, Accepted):
            missing = MissingTokenError("Send a bearer token in the Authorization header.")
            raise _refusal(request, bearer.answer(missing))
        judged = bearer.judge(decision, getattr(view, "scope", None))
        if isinstance(judged, Answer):
            raise _refusal(request, judged)
        return True


def _view(request: Request) -> Any:
    return request.parser_context["view"]


def _require_permission(view: Any) -> None:
    """Raise ConfigurationError for a view whose scope nobody looks at."""
    if getattr(view, "scope", None) is None:
        return
    pending = view.get_permissions()
    while pending:
        permission = pending.pop()
        if isinstance(permission, TokenRequired):
            return
        # Permissions that are put together with `&`, `|` and `~` hold their parts.
        pending += [vars(permission)[part] for part in ("op1", "op2") if part in vars(permission)]
    raise ConfigurationError(
        f"{type(view).__name__} has a scope, and no TokenRequired among its permission_classes that looks at it"
    )


def _refusal(request: Request, given: Answer) -> Refusal:
    """What to raise, once the view of this request knows how to answer it."""
    view = _view(request)
    handler = view.get_exception_handler()

    def handle(error: Exception, context: Any) -> Any:
        return response(error.answer, request) if isinstance(error, Refusal) else handler(error, context)

    view.get_exception_handler = lambda: handle
    view.headers.pop("Server-Timing", None)
    return Refusal(given)
