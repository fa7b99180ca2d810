"""BearerAuth for FastAPI: a dependency that shows its padlock in the OpenAPI document."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from revocation.asgi import answer, headers_of, says_short_form
from revocation.bearer import (
    FIELD,
    LONGEST_FORM_BYTES,
    Answer,
    Bearer,
    require_no_token,
    second_token,
    server_timing,
    token_in,
    too_long_a_form,
)
from revocation.claims import Claims
from revocation.errors import RevocationError
from revocation.extras import extra
from revocation.guard import Guard

with extra("fastapi", brings="fastapi", needed_by="revocation.fastapi"):
    from fastapi import Request, Response, Security, WebSocket
    from fastapi.openapi.models import HTTPBearer
    from fastapi.security import SecurityScopes
    from fastapi.security.base import SecurityBase
    from starlette.requests import HTTPConnection

#: Where Starlette keeps the handlers of the application that serves a connection.
_HANDLERS = "starlette.exception_handlers"


class Refusal(Exception):  # noqa: N818 (it is no error: it ends the request with an answer)
    """Ends the request with this answer."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        super().__init__(answer.status_line)


class BearerAuth(SecurityBase):
    """Lets requests and WebSockets in whose token the guard accepts, and gives the route its claims.

    `claims: Annotated[Claims, Depends(auth)]`, or with conditions of the route's own
    `Annotated[Claims, auth.required(scope="me", max_staleness=0)]`, or with scopes in FastAPI's way
    `Security(auth, scopes=["me"])`. All others get the answer of RFC 6750, whatever handlers of exceptions the
    application has; a WebSocket is closed with 4401, 4403 or 1013.
    """

    def __init__(self, guard: Guard, *, max_staleness: float | None = None, realm: str = "api") -> None:
        guard.require_bound(max_staleness)
        self.guard = guard
        self.model = HTTPBearer(bearerFormat="JWT")
        self.scheme_name = "bearer"
        self._max_staleness = max_staleness
        self._realm = realm
        self._bearer = Bearer(realm)

    def required(self, *, scope: str = "", max_staleness: float | None = None) -> Any:
        """The dependency of a route that needs every word of `scope`, or has a bound of its own (in seconds)."""
        auth = self if max_staleness is None else BearerAuth(self.guard, max_staleness=max_staleness, realm=self._realm)
        return Security(auth, scopes=scope.split())

    @contextlib.asynccontextmanager
    async def lifespan(self, _app: object) -> AsyncIterator[None]:
        """Starts the guard's follower with the application, and stops it: `FastAPI(lifespan=auth.lifespan)`."""
        self.guard.start()
        try:
            yield
        finally:
            await asyncio.to_thread(self.guard.stop)

    async def __call__(self, connection: HTTPConnection, security_scopes: SecurityScopes, response: Response) -> Claims:
        """The claims of the request's token."""
        headers = headers_of(connection.scope)
        try:
            token = token_in(headers.get(b"authorization", ""), connection.scope["query_string"].decode("latin-1"))
        except RevocationError as error:
            raise _prepared(connection, self._bearer.answer(error)) from None
        decision = await self.guard.decide_async(token, max_staleness=self._max_staleness)
        judged = self._bearer.judge(decision, security_scopes.scope_str or None)
        if isinstance(judged, Answer):
            raise _prepared(connection, judged)
        # Nothing of the body is read here for those who are not let in.
        if isinstance(connection, Request) and says_short_form(headers):
            try:
                await _search(connection)
            except RevocationError as error:
                raise _prepared(connection, self._bearer.answer(error)) from None
        response.headers.append("Server-Timing", server_timing(decision))
        return judged


async def _search(request: Request) -> None:
    """Raise InvalidRequestError where a form holds a token. FastAPI may have read it already."""
    form = bytearray()
    try:
        async for part in request.stream():
            form += part
            if len(form) > LONGEST_FORM_BYTES:
                raise too_long_a_form()
    except RuntimeError:
        if FIELD in await request.form():
            raise second_token() from None
    else:
        # The route reads it from where `Request.body` keeps it, which would have read on without an end.
        request._body = bytes(form)  # noqa: SLF001
        require_no_token(request._body)  # noqa: SLF001


def _prepared(connection: HTTPConnection, given: Answer) -> Refusal:
    """What to raise, once this connection's application knows how to answer it.

    Starlette takes the handler of the nearest class, so that no handler of the application's own gets it.
    """
    handlers: dict[Any, Any] = connection.scope[_HANDLERS][0]
    handlers.setdefault(Refusal, _answer)
    return Refusal(given)


async def _answer(connection: Request | WebSocket, refusal: Refusal) -> Response | None:
    if isinstance(connection, WebSocket):
        await answer(refusal.answer, connection.scope, connection.receive, connection.send)
        return None
    given = refusal.answer
    return Response(given.body, given.status, headers=dict(given.headers))
