"""BearerAuth: protects Flask routes with a Guard, and answers what it refuses."""

import inspect
import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Final, NoReturn, ParamSpec, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from flask import Blueprint, Flask, Request, Response, current_app, got_request_exception
from werkzeug.exceptions import HTTPException

from revocation.bearer import STATUS, Bearer, server_timing
from revocation.claims import Claims
from revocation.denylist import Receipt
from revocation.errors import ConfigurationError, ConflictError, MissingTokenError, RevocationError
from revocation.flask.cookies import TokenCookies
from revocation.flask.requests import claims_of, current_request, token_of
from revocation.flask.requirement import Requirement
from revocation.guard import Decision, Guard, Refused, require_followed
from revocation.handles import Handle

P = ParamSpec("P")
R = TypeVar("R")

_EXTENSION: Final = "revocation"

#: The errors that are answers; all others are mistakes of the programmer.
_ANSWERED: Final = tuple(STATUS)


class BearerAuth:
    """Lets requests whose token the guard accepts into routes marked `@auth.required(...)`, and gives views the claims.

    BearerAuth reads no key of the app's configuration; the guard brings its own. Several apps may share one BearerAuth.
    Tokens are read from the Authorization header, and where `cookies` are given, from them as well. `roles_claim` names
    the claim that holds the caller's roles, a list or a text: `roles`, or a path such as `realm_access.roles`.
    """

    def __init__(
        self,
        guard: Guard | None = None,
        *,
        realm: str = "api",
        roles_claim: str = "roles",
        cookies: TokenCookies | None = None,
    ) -> None:
        self._guard = guard
        self._bearer = Bearer(realm)
        self._roles_claim = roles_claim
        self._cookies = cookies
        #: The longest bound of a route, and the shortest of those that the followers of all apps have their leases for.
        self._longest_bound = 0.0
        self._followed = math.inf
        #: What the decorators made of each view.
        self._made_of: WeakKeyDictionary[Callable[..., Any], WeakSet[Callable[..., Any]]] = WeakKeyDictionary()
        self._looked_at: WeakSet[Flask] = WeakSet()

    def init_app(self, app: Flask, *, guard: Guard | None = None) -> None:
        """Register the guard, the error responses and the `Server-Timing` header with an app.

        The error responses also serve what views raise that call `guard.check` or revoke something; handlers of the
        app's own for these errors take precedence. Raises ConfigurationError where the app has a BearerAuth already,
        where neither this call nor the constructor gives a guard, and where a route asks for a longer bound than the
        guard's follower serves.
        """
        if _EXTENSION in app.extensions:
            raise ConfigurationError("this app has a BearerAuth already: import it instead of making another")
        chosen = guard or self._guard
        if chosen is None:
            raise ConfigurationError("give the guard to BearerAuth(guard) or to init_app(app, guard=guard)")
        if chosen.follower is not None:
            followed = chosen.follower.longest_seconds
            self._followed = min(followed, self._followed)
            require_followed(self._longest_bound, longest_seconds=self._followed)
        app.extensions[_EXTENSION] = chosen
        app.before_request(self._require_no_dropped)
        if RevocationError not in app.error_handler_spec[None][None]:
            app.register_error_handler(RevocationError, self._answered)
        app.after_request(self._finished)
        got_request_exception.connect(_forget_what_was_handled, app)

    @property
    def guard(self) -> Guard:
        """The guard of the current app."""
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # werkzeug's way past its proxy
        guard: Guard | None = app.extensions.get(_EXTENSION)
        if guard is None:
            raise ConfigurationError("this app has no BearerAuth: call auth.init_app(app)")
        return guard

    @property
    def claims(self) -> Claims:
        """The claims of the current request's token. Raises LookupError where the guard accepted none."""
        claims = claims_of(current_request())
        if claims is None:
            raise LookupError("the guard accepted no token for this request: the route lacks @auth.required")
        return claims

    @property
    def claims_if_any(self) -> Claims | None:
        """The same for a route marked `@auth.optional(...)`; None for a request without a token."""
        return claims_of(current_request())

    # Protecting

    def required(
        self, *, scope: str | None = None, max_staleness: float | None = None, roles: str | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Let in only requests whose token is in force, covers every word of `scope` and holds one of the `roles`.

        `max_staleness` overrides the guard's for this route (in seconds; with 0 the guard always asks Redis, with inf
        it never does). Raises ConfigurationError where no follower serves so long a bound.
        """
        return self._protecting(Requirement(scope, max_staleness, roles))

    def optional(
        self, *, scope: str | None = None, max_staleness: float | None = None, roles: str | None = None
    ) -> Callable[[Callable[P, R]], Callable[P, R]]:
        """Let in requests without any token as well; a token that is sent must be as good as for `required`."""
        return self._protecting(Requirement(scope, max_staleness, roles, is_optional=True))

    def protect(
        self,
        blueprint: Blueprint,
        *,
        scope: str | None = None,
        max_staleness: float | None = None,
        roles: str | None = None,
    ) -> None:
        """Require the same for every route of a blueprint; call it before the app registers the blueprint.

        What Flask answers to OPTIONS by itself needs no token: browsers send none with a preflight.
        """
        required = self._checked(Requirement(scope, max_staleness, roles))

        def check() -> None:
            if not _is_answered_by_flask(current_request()):
                self._admit(required)

        blueprint.before_request(check)
        required.mark(blueprint)

    def require(
        self,
        *,
        scope: str | None = None,
        max_staleness: float | None = None,
        roles: str | None = None,
        token: str | None = None,
    ) -> None:
        """Check the same inside a view or as a `before_request`, for conditions that only the request knows.

        `token` is one that the caller has read from elsewhere. What is not let in raises the error of the guard, which
        becomes the same response, unless the view handles it.
        """
        current = current_request()
        if _is_answered_by_flask(current):
            return
        try:
            self._let_in(current, Requirement(scope, max_staleness, roles), token)
        except RevocationError as error:
            current.revocation_error = error
            raise

    def _protecting(self, required: Requirement) -> Callable[[Callable[P, R]], Callable[P, R]]:
        self._checked(required)

        def decorate(view: Callable[P, R]) -> Callable[P, R]:
            if isinstance(view, type):
                raise ConfigurationError(
                    f"Flask makes its views from {view.__name__} itself: say `decorators = [auth.required(...)]` in "
                    "the class, or put the decorator on its methods"
                )
            is_async = inspect.iscoroutinefunction(view)

            @wraps(view)
            def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
                self._admit(required)
                if is_async:
                    answer: R = current_app.ensure_sync(view)(*args, **kwargs)
                    return answer
                return view(*args, **kwargs)

            required.mark(guarded)
            if inspect.isfunction(view):
                self._made_of.setdefault(view, WeakSet()).add(guarded)
            return guarded

        return decorate

    def _require_no_dropped(self) -> None:
        """Refuse to serve an app with a view whose requirement stands above its route, where Flask does not see it.

        This is looked for at an app's first request, since blueprints bring their routes when they are registered.
        """
        app: Flask = current_app._get_current_object()  # type: ignore[attr-defined]  # werkzeug's way past its proxy
        if app in self._looked_at:
            return
        views = {view for view in app.view_functions.values() if inspect.isfunction(view)}
        for view in views:
            made = self._made_of.get(view)
            if made is not None and views.isdisjoint(made):
                raise ConfigurationError(
                    f"the requirement of {view.__name__} is not looked at: write @auth.required(...) below @app.route"
                )
        self._looked_at.add(app)

    def _checked(self, required: Requirement) -> Requirement:
        require_followed(required.finite_bound, longest_seconds=self._followed)
        self._longest_bound = max(self._longest_bound, required.finite_bound)
        return required

    # Deciding

    def _let_in(self, current: Any, required: Requirement, token: str | None = None) -> None:
        """Decide about the token of a request, and note the claims; raises the error of what is not let in."""
        if token is None:
            try:
                token = self._token_of(current)
            except MissingTokenError:
                if required.is_optional:
                    return
                raise
        decision = current.revocation_decision = self.guard.decide(token, max_staleness=required.max_staleness)
        if isinstance(decision, Refused):
            raise decision.error
        claims = decision.claims
        if required.asks_more and (lacking := required.refuses(claims, roles_claim=self._roles_claim)) is not None:
            raise lacking
        current.revocation_claims = claims

    def _token_of(self, current: Request) -> str:
        if self._cookies is not None and not current.environ.get("HTTP_AUTHORIZATION"):
            return self._cookies.token_of(current)
        return token_of(current)

    def _admit(self, required: Requirement) -> None:
        """Let the request in, or answer it here: what an error handler would make of the error is not asked."""
        current = current_request()
        try:
            self._let_in(current, required)
        except _ANSWERED as error:
            self._refuse(current, error)

    def _refuse(self, current: Any, error: RevocationError) -> NoReturn:
        if _has_handler_of_its_own(current, error, beside=self._answered):
            raise error
        current.revocation_refusal = self.response(error)
        # Flask hands an exception that is a response to no handler.
        raise HTTPException(response=current.revocation_refusal) from error

    # Answering

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

    def _answered(self, error: RevocationError) -> Response:
        if isinstance(error, _ANSWERED):
            return self.response(error)
        raise error

    def _finished(self, response: Response) -> Response:
        current = current_request()
        noted = vars(current)
        refusal = noted.get("revocation_refusal")
        if refusal is None and response.status_code == 500 and "revocation_error" in noted:  # noqa: PLR2004
            refusal = self.response(noted["revocation_error"])
        if refusal is not None and response is not refusal:
            _become(response, refusal)
        decision: Decision | None = noted.get("revocation_decision")
        if decision is not None:
            response.headers.add("Server-Timing", server_timing(decision))
        return response

    # Revoking

    def log_out(self, *, reason: str = "logged out", wait_seconds: float | None = None) -> Receipt:
        """Take back every token of the current request's session, or its token alone where it names no session.

        This process refuses them when this returns; the receipt says who else does. Raises ConflictError where the
        token names neither, and DenylistUnavailableError.
        """
        claims = self.claims
        if claims.session_id is None and claims.token_id is None:
            raise ConflictError("This token names neither a session nor itself: revoke its subject.")
        handle = Handle.token(claims) if claims.session_id is None else Handle.session(claims)
        return self.guard.denylist.revoke(handle, reason=reason, actor=claims.subject, wait_seconds=wait_seconds)


def _forget_what_was_handled(_app: Flask, *, exception: BaseException, **_: object) -> None:
    """A view that handled what `require` raised, and fails at something else, has failed."""
    noted = vars(current_request())
    if noted.get("revocation_error") is not exception:
        noted.pop("revocation_error", None)


def _is_answered_by_flask(current: Request) -> bool:
    """Whether Flask answers this OPTIONS request by itself: no view runs, and a preflight of CORS carries no token."""
    return current.method == "OPTIONS" and bool(getattr(current.url_rule, "provide_automatic_options", False))


def _has_handler_of_its_own(current: Request, error: RevocationError, *, beside: Callable[..., object]) -> bool:
    """Whether the app or a blueprint of this request handles such errors by name, and not only every exception."""
    kinds = [kind for kind in type(error).__mro__ if issubclass(kind, RevocationError)]
    handlers = current_app.error_handler_spec
    return any(
        handlers.get(name, {}).get(None, {}).get(kind, beside) != beside
        for name in (*current.blueprints, None)
        for kind in kinds
    )


def _become(response: Response, refusal: Response) -> None:
    """Let a response that something made of a refusal be the refusal again; headers of others, such as CORS, stay."""
    response.status_code = refusal.status_code
    response.set_data(refusal.get_data())
    for name in ("WWW-Authenticate", "Retry-After"):
        response.headers.pop(name, None)
    for name, value in refusal.headers.items():
        response.headers[name] = value
