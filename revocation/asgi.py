"""BearerMiddleware for ASGI: Starlette, Litestar, Quart, or anything else that uvicorn serves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any, Final, cast

from revocation.bearer import (
    LONGEST_FORM_BYTES,
    Answer,
    Bearer,
    is_preflight,
    is_short_form,
    require_no_token,
    server_timing,
    token_in,
    too_long_a_form,
)
from revocation.claims import Claims
from revocation.errors import RevocationError
from revocation.guard import Guard

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
#: Frameworks have types of their own for the three, which are all the same things.
App = Callable[[Any, Any, Any], Awaitable[None]]

_CLAIMS: Final = "revocation.claims"


class BearerMiddleware:
    """Lets requests and WebSockets through whose token the guard accepts and whose scope covers every word of `scope`.

    All others it answers itself: with a problem, or by closing the WebSocket with 4401, 4403 or 1013. It stands around
    a whole application or around one route; `is_open` says which paths need no token. Around a whole application it
    starts the guard's follower with the application, and stops it with the application.
    """

    def __init__(
        self,
        app: App,
        guard: Guard,
        *,
        scope: str | None = None,
        max_staleness: float | None = None,
        is_open: Callable[[str], bool] | None = None,
        realm: str = "api",
    ) -> None:
        guard.require_bound(max_staleness)
        self.app = app
        self.guard = guard
        self._scope = scope
        self._max_staleness = max_staleness
        self._is_open = is_open
        self._bearer = Bearer(realm)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
            return
        headers = headers_of(scope)
        if (self._is_open is not None and self._is_open(scope["path"])) or is_preflight(
            scope.get("method", ""), headers.get(b"access-control-request-method")
        ):
            await self.app(scope, receive, send)
            return
        try:
            token = token_in(headers.get(b"authorization", ""), scope["query_string"].decode("latin-1"))
        except RevocationError as error:
            await answer(self._bearer.answer(error), scope, receive, send)
            return
        decision = await self.guard.decide_async(token, max_staleness=self._max_staleness)
        judged = self._bearer.judge(decision, self._scope)
        if isinstance(judged, Answer):
            await answer(judged, scope, receive, send)
            return
        # Nothing of the body is read for those who are not let in.
        if says_short_form(headers):
            try:
                receive = await _searched(receive)
            except RevocationError as error:
                await answer(self._bearer.answer(error), scope, receive, send)
                return
        timing = (b"server-timing", server_timing(decision).encode())

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), timing]}
            await send(message)

        await self.app({**scope, _CLAIMS: judged}, receive, sent)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def received() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self.guard.start()
            return message

        async def sent(message: Message) -> None:
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.shutdown.failed"):
                # The follower gives its lease back to Redis, and the loop does not wait for it.
                await asyncio.to_thread(self.guard.stop)
            await send(message)

        await self.app(scope, received, sent)


def claims_of(scope: Mapping[str, object]) -> Claims:
    """The claims of a connection's token. Raises LookupError where no BearerMiddleware let it in."""
    claims = cast("Claims | None", scope.get(_CLAIMS))
    if claims is None:
        raise LookupError("the guard accepted no token for this request: no BearerMiddleware is around it")
    return claims


def headers_of(scope: Scope) -> dict[bytes, str]:
    """The headers of a connection by their names in lower case; those of one name are joined, as WSGI joins them."""
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        found[name] = f"{found[name]},{text}" if name in found else text
    return found


def says_short_form(headers: Mapping[bytes, str]) -> bool:
    """Whether the body of a connection with these headers is a form that is searched for a token."""
    return is_short_form(
        headers.get(b"content-type", ""), headers.get(b"content-length", ""), headers.get(b"transfer-encoding", "")
    )


async def answer(given: Answer, scope: Scope, receive: Receive, send: Send) -> None:
    """Send an answer, or close the WebSocket with its code."""
    if scope["type"] == "websocket":
        # A WebSocket has to be open to be closed with a code, and browsers want one of their subprotocols to be chosen.
        await receive()
        subprotocol = next(iter(scope.get("subprotocols") or ()), None)
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        await send({"type": "websocket.close", "code": given.close_code, "reason": given.status_line})
        return
    headers = [(name.lower().encode(), value.encode()) for name, value in given.headers]
    headers.append((b"content-length", str(len(given.body)).encode()))
    await send({"type": "http.response.start", "status": given.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else given.body})


async def _searched(receive: Receive) -> Receive:
    """The messages of a short form once more; InvalidRequestError where it holds a token."""
    messages: list[Message] = []
    length = 0
    while not messages or messages[-1].get("more_body"):
        messages.append(await receive())
        length += len(messages[-1].get("body", b""))
        if length > LONGEST_FORM_BYTES:
            raise too_long_a_form()
    require_no_token(b"".join(message.get("body", b"") for message in messages))
    again = iter(messages)

    async def replayed() -> Message:
        for message in again:
            return message
        return await receive()

    return replayed
