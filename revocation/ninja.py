"""BearerAuth for Django Ninja: each operation, router or API names what it needs."""

from typing import Any

from revocation.bearer import Answer, Bearer
from revocation.claims import Claims
from revocation.django import require_token_once, response, token_of
from revocation.errors import RevocationError
from revocation.extras import extra
from revocation.guard import Decision, Guard

with extra("ninja", brings="ninja", needed_by="revocation.ninja"):
    from django.http import HttpRequest, HttpResponse
    from ninja import NinjaAPI
    from ninja.errors import HttpError
    from ninja.security import HttpBearer


class Refusal(HttpError):  # noqa: N818 (it is no error: it ends the request with an answer)
    """Ends the request with an answer."""

    def __init__(self, given: Answer) -> None:
        self.answer = given
        super().__init__(given.status, given.status_line)


def register(api: NinjaAPI) -> None:
    """Let an API send the answers of this module, whatever other handlers of exceptions it has.

    An API that is not registered sends their status alone.
    """
    api.add_exception_handler(Refusal, _answer)


class BearerAuth(HttpBearer):
    """Lets requests in whose token the guard accepts: `@api.get("/me", auth=BearerAuth(guard, scope="me"))`.

    `request.auth` is then the claims. Call `register(api)` once. Asynchronous operations take AsyncBearerAuth, which
    never holds the event loop.
    """

    def __init__(
        self, guard: Guard, *, scope: str | None = None, max_staleness: float | None = None, realm: str = "api"
    ) -> None:
        super().__init__()
        guard.require_bound(max_staleness)
        self.guard = guard
        self._scope = scope
        self._max_staleness = max_staleness
        self._bearer = Bearer(realm)

    def __call__(self, request: HttpRequest) -> Any:
        """The claims of the request's token."""
        return self.authenticate(request, self._token(request))

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        """The claims of a token."""
        return self._claims(request, self.guard.decide(token, max_staleness=self._max_staleness))

    def _token(self, request: HttpRequest) -> str:
        try:
            return token_of(request)
        except RevocationError as error:
            raise Refusal(self._bearer.answer(error)) from None

    def _claims(self, request: HttpRequest, decision: Decision) -> Claims:
        judged = self._bearer.judge(decision, self._scope)
        if isinstance(judged, Answer):
            raise Refusal(judged)
        try:
            require_token_once(request)
        except RevocationError as error:
            raise Refusal(self._bearer.answer(error)) from None
        return judged


class AsyncBearerAuth(BearerAuth):
    """The same for asynchronous operations."""

    async def __call__(self, request: HttpRequest) -> Claims:
        """The claims of the request's token."""
        return await self.authenticate(request, self._token(request))

    async def authenticate(self, request: HttpRequest, token: str) -> Claims:
        """The claims of a token."""
        return self._claims(request, await self.guard.decide_async(token, max_staleness=self._max_staleness))


def _answer(request: HttpRequest, refusal: Any) -> HttpResponse:
    return response(refusal.answer, request)
