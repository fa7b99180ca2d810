"""GuardTokenVerifier for the MCP SDK: tools behind tokens that can be revoked."""

from contextvars import ContextVar
from typing import Final

from revocation.asgi import App, Message, Receive, Scope, Send, answer
from revocation.bearer import Answer, Bearer
from revocation.errors import DenylistUnavailableError
from revocation.extras import extra
from revocation.guard import Guard, Refused

with extra("mcp", brings="mcp", needed_by="revocation.mcp"):
    from mcp.server.auth.provider import AccessToken, TokenVerifier

#: The answer to the request at hand where nobody could say whether its token is revoked.
_unavailable: ContextVar[list[Answer] | None] = ContextVar("revocation_unavailable", default=None)

_UNAUTHORIZED: Final = 401


class GuardTokenVerifier(TokenVerifier):
    """What MCPServer takes as its `token_verifier`.

    The SDK answers 401 and 403 itself, with the address of the resource's metadata in the challenge. It knows no answer
    to a deny-list that cannot be asked: serve `answering(server.streamable_http_app())`, so that this is 503.
    """

    def __init__(self, guard: Guard, *, max_staleness: float | None = None) -> None:
        guard.require_bound(max_staleness)
        self._guard = guard
        self._max_staleness = max_staleness
        self._bearer = Bearer()

    async def verify_token(self, token: str) -> AccessToken | None:
        """What the SDK needs to know of a token that the guard accepts; None for any other."""
        decision = await self._guard.decide_async(token, max_staleness=self._max_staleness)
        if isinstance(decision, Refused):
            answers = _unavailable.get()
            if isinstance(decision.error, DenylistUnavailableError) and answers is not None:
                answers.append(self._bearer.answer(decision.error, decision))
            return None
        claims = decision.claims
        return AccessToken(
            token=token,
            client_id=claims.client_id or claims.subject,
            scopes=sorted(claims.scope),
            expires_at=int(claims.expires_at),
            subject=claims.subject,
            claims={"iss": claims.issuer},
        )


def answering(app: App) -> App:
    """The application, with 503 instead of 401 where nobody could say whether the token is revoked."""

    async def served(scope: Scope, receive: Receive, send: Send) -> None:
        answers: list[Answer] = []
        _unavailable.set(answers)

        is_replaced = False

        async def sent(message: Message) -> None:
            nonlocal is_replaced
            if message["type"] == "http.response.start" and message["status"] == _UNAUTHORIZED and answers:
                is_replaced = True
                await answer(answers[0], scope, receive, send)
            elif not is_replaced:
                await send(message)

        await app(scope, receive, sent)

    return served
