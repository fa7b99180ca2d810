"""BearerMiddleware for WSGI: Bottle, Falcon, Pyramid, or anything else that gunicorn serves."""

import io
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

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
from revocation.errors import RevocationError
from revocation.guard import Guard

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CLAIMS: Final = "revocation.claims"


class BearerMiddleware:
    """Lets requests through whose token the guard accepts and whose scope covers every word of `scope`.

    All others it answers itself. It stands around a whole application or around a part of it; `is_open` says which
    paths (`PATH_INFO`) need no token.
    """

    def __init__(
        self,
        app: "WSGIApplication",
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

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Serve one request."""
        if (self._is_open is not None and self._is_open(environ.get("PATH_INFO", ""))) or is_preflight(
            environ["REQUEST_METHOD"], environ.get("HTTP_ACCESS_CONTROL_REQUEST_METHOD")
        ):
            return self.app(environ, start_response)
        try:
            token = token_in(environ.get("HTTP_AUTHORIZATION", ""), environ.get("QUERY_STRING", ""))
        except RevocationError as error:
            return _answer(self._bearer.answer(error), environ, start_response)
        decision = self.guard.decide(token, max_staleness=self._max_staleness)
        judged = self._bearer.judge(decision, self._scope)
        if isinstance(judged, Answer):
            return _answer(judged, environ, start_response)
        # Nothing of the body is read for those who are not let in.
        if is_short_form(
            environ.get("CONTENT_TYPE", ""),
            environ.get("CONTENT_LENGTH", ""),
            environ.get("HTTP_TRANSFER_ENCODING", ""),
        ):
            try:
                require_no_token(_read_again(environ))
            except RevocationError as error:
                return _answer(self._bearer.answer(error), environ, start_response)
        timing = server_timing(decision)

        def started(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], object]:
            return start_response(status, [*headers, ("Server-Timing", timing)], exc_info)

        environ[_CLAIMS] = judged
        return self.app(environ, started)


def claims_of(environ: "WSGIEnvironment") -> Claims:
    """The claims of a request's token. Raises LookupError where no BearerMiddleware let it in."""
    claims: Claims | None = environ.get(_CLAIMS)
    if claims is None:
        raise LookupError("the guard accepted no token for this request: no BearerMiddleware is around it")
    return claims


def _answer(given: Answer, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    start_response(given.status_line, [*given.headers, ("Content-Length", str(len(given.body)))])
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [given.body]


def _read_again(environ: "WSGIEnvironment") -> bytes:
    """The body, which the application reads once more."""
    body: bytes = environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))
    environ["wsgi.input"] = io.BytesIO(body)
    return body
