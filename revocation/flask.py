"""BearerAuth: protects Flask routes with a Guard, and turns errors into the challenges of RFC 6750."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from revocation.bearer import FIELD, STATUS, Bearer, holds_token, second_token, server_timing, token_in
from revocation.claims import Claims
from revocation.errors import ConfigurationError, InsufficientScopeError, RevocationError
from revocation.extras import extra
from revocation.guard import Decision, Guard, Refused, checked_staleness

with extra("flask", brings="flask", needed_by="revocation.flask"):
    from flask import Flask, Request, Response, current_app, g, request

P = ParamSpec("P")
R = TypeVar("R")

_EXTENSION = "revocation"
_REQUIREMENT = "revocation_requirement"


@dataclass(frozen=True, slots=True)
class Requirement:
    """The conditions of an `@auth.required`; `max_staleness` is None where the guard's own applies."""

    scope: str | None
    max_staleness: float | None


def requirement(view: Callable[..., object]) -> Requirement | None:
    """The requirement of a view, for programs that document an app; None where `@auth.required` does not guard it."""
    required: Requirement | None = vars(view).get(_REQUIREMENT)
    return required


class BearerAuth:
    """Lets requests whose token the guard accepts into routes marked `@auth.required(...)`, and gives views the claims.

    BearerAuth reads no key of the app's configuration; the guard brings its own. Several apps may share one BearerAuth.
    """

    def __init__(self, guard: Guard | None = None, *, realm: str = "api") -> None:
        self._guard = guard
        self._longest_bound = 0.0
        self._bearer = Bearer(realm)

    def init_app(self, app: Flask, *, guard: Guard | None = None) -> None:
        """Register the guard, the error responses and the `Server-Timing` header with an app.

        The error responses also serve callbacks of other extensions that call `guard.check`. Raises ConfigurationError
        where the app has a BearerAuth already, and where neither this call nor the constructor gives a guard.
        """
        if _EXTENSION in app.extensions:
            raise ConfigurationError("this app has a BearerAuth already: import it instead of making another")
        chosen = guard or self._guard
        if chosen is None:
            raise ConfigurationError("give the guard to BearerAuth(guard) or to init_app(app, guard=guard)")
        if chosen.follower is not None and self._longest_bound > chosen.follower.longest_seconds:
            raise ConfigurationError(
                f"a route asks for max_staleness={self._longest_bound:g}, longer than the longest bound of the guard's "
                f"follower ({chosen.follower.longest_seconds:g} s): build Guard(..., bounds=[{self._longest_bound:g}])"
            )
        app.extensions[_EXTENSION] = chosen
        for error in STATUS:
            app.register_error_handler(error, self.response)
        app.after_request(_add_server_timing)

    @property
    def guard(self) -> Guard:
        """The guard of the current app."""
        guard: Guard | None = current_app.extensions.get(_EXTENSION)
        if guard is None:
            raise ConfigurationError("this app has no BearerAuth: call auth.init_app(app)")
        return guard

    @property
    def claims(self) -> Claims:
        """The claims of the current request's token. Raises LookupError where the guard accepted none."""
        claims: Claims | None = g.get("revocation_claims")
        if claims is None:
            raise LookupError("the guard accepted no token for this request: the route lacks @auth.required")
        return claims

    def required(
        self, *, scope: str | None = None, max_staleness: float | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Let in only requests whose token is in force and covers every word of `scope`.

        `max_staleness` overrides the guard's for this route (in seconds; with 0 the guard always asks Redis, with inf
        it never does).
        """
        if max_staleness is not None and checked_staleness(max_staleness) < math.inf:
            self._longest_bound = max(self._longest_bound, max_staleness)

        def decorate(view: Callable[P, R]) -> Callable[P, R]:
            is_async = inspect.iscoroutinefunction(view)

            @wraps(view)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                self.require(scope=scope, max_staleness=max_staleness)
                if is_async:
                    answer: R = current_app.ensure_sync(view)(*args, **kwargs)
                    return answer
                return view(*args, **kwargs)

            vars(guarded)[_REQUIREMENT] = Requirement(scope, max_staleness)
            return guarded

        return decorate

    def require(self, *, scope: str | None = None, max_staleness: float | None = None) -> Claims:
        """Check the same inside a view, for conditions that only the view knows, and return the claims."""
        token = bearer_token()
        # Every attribute of g goes through a proxy, and on this path the proxy is a large part of the cost.
        context: Any = g._get_current_object()
        decision = context.revocation_decision = self.guard.decide(token, max_staleness=max_staleness)
        if isinstance(decision, Refused):
            raise decision.error
        claims = decision.claims
        if scope is not None and not claims.scope.issuperset(scope.split()):
            raise InsufficientScopeError(scope)
        context.revocation_claims = claims
        return claims

    def response(self, error: RevocationError) -> Response:
        """The response to an error: RFC 9457 problem details with an RFC 6750 challenge, or with a `Retry-After`."""
        answer = self._bearer.answer(error)
        return Response(answer.body, answer.status, headers=answer.headers)

    def challenge(self, error: RevocationError) -> str:
        """The `WWW-Authenticate` value of an error (RFC 6750, section 3)."""
        return self._bearer.challenge(error)

    def challenge_without_error(self) -> str:
        """The `WWW-Authenticate` value for a request that carried no token."""
        return self._bearer.challenge_without_error()


def bearer_token() -> str:
    """The token of the current request (RFC 6750, section 2.1).

    The token is read from the Authorization header only. Raises MissingTokenError where the header has none, and
    InvalidRequestError where the query or the form carries a second token.
    """
    current: Request = request._get_current_object()  # type: ignore[attr-defined]  # werkzeug's way past its proxy
    environ = current.environ
    token = token_in(environ.get("HTTP_AUTHORIZATION", ""))
    if holds_token(environ.get("QUERY_STRING", "")) or (environ.get("CONTENT_TYPE") and _has_form_token(current)):
        raise second_token()
    return token


def _has_form_token(current: Request) -> bool:
    return current.mimetype == "application/x-www-form-urlencoded" and FIELD in current.form


def _add_server_timing(response: Response) -> Response:
    context: Any = g._get_current_object()
    decision: Decision | None = context.get("revocation_decision")
    if decision is not None:
        response.headers.add("Server-Timing", server_timing(decision))
    return response
