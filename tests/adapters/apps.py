"""The same API in each framework: what the scenarios ask, on the servers that people use.

Each function makes one application from the environment. Its handlers of errors turn every exception into a 500, as
many applications do: the answers of an adapter must not depend on them.
"""

import os
import types
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from revocation import Guard, Key, KeySet, RedisDenylist, TokenVerifier, connect
from tests.support.tokens import AUDIENCE, ISSUER

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How old the knowledge of routes without a bound of their own may be, and that of `/long`.
BOUND: Final = 0.5
LONG: Final = 60.0


class Route(NamedTuple):
    """What a route needs."""

    scope: str | None = None
    max_staleness: float | None = None


ROUTES: Final = {
    "/me": Route(scope="me"),
    "/any": Route(),
    "/both": Route(scope="me reports:read"),
    "/strict": Route(max_staleness=0),
    "/long": Route(max_staleness=LONG),
    "/stateless": Route(max_staleness=float("inf")),
}
METHODS: Final = ["GET", "HEAD", "POST", "OPTIONS"]


def guard_of(url: str, namespace: str, secrets: "Iterable[str]") -> Guard:
    """The guard of every application; also that of a test, which asks it the same."""
    keys = KeySet([Key.from_secret(bytes.fromhex(secret)) for secret in secrets])
    verifier = TokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE, iat_tolerance_seconds=0)
    denylist = RedisDenylist(connect(url, timeout_seconds=0.2), namespace=namespace)
    return Guard(verifier, denylist, max_staleness=BOUND, bounds=[LONG])


def _guard() -> Guard:
    return guard_of(os.environ["TABLE_URL"], os.environ["TABLE_NAMESPACE"], os.environ["TABLE_SECRETS"].split())


def flask() -> Any:
    from flask import Flask

    from revocation.flask import BearerAuth

    auth = BearerAuth(_guard())
    app = Flask("table")

    def make(name: str, route: Route) -> None:
        def view() -> str:
            return auth.claims.subject

        guarded = auth.required(scope=route.scope, max_staleness=route.max_staleness)(view)
        app.add_url_rule(name, name, guarded, methods=["GET", "HEAD", "POST"])

    for name, route in ROUTES.items():
        make(name, route)
    app.get("/open")(lambda: "open")
    app.register_error_handler(Exception, lambda _: ("broken", 500))
    auth.init_app(app)
    return app


def wsgi() -> Any:
    from revocation.wsgi import BearerMiddleware, claims_of

    guard = _guard()

    def view(environ: Any, start_response: Any) -> Any:
        body = b"open" if environ["PATH_INFO"] == "/open" else b""
        if environ["REQUEST_METHOD"] != "OPTIONS" and not body:
            body = claims_of(environ).subject.encode()
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    wrapped = {name: BearerMiddleware(view, guard, **route._asdict()) for name, route in ROUTES.items()}
    wrapped["/open"] = BearerMiddleware(view, guard, is_open=lambda path: path == "/open")
    return lambda environ, start_response: wrapped[environ["PATH_INFO"]](environ, start_response)


def asgi() -> Any:
    from starlette.applications import Starlette
    from starlette.middleware import Middleware
    from starlette.requests import Request
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route as StarletteRoute
    from starlette.routing import WebSocketRoute
    from starlette.websockets import WebSocket

    from revocation.asgi import BearerMiddleware, claims_of

    guard = _guard()

    async def view(request: Request) -> PlainTextResponse:
        await request.body()
        return PlainTextResponse("" if request.method == "OPTIONS" else claims_of(request.scope).subject)

    async def unguarded(_: Request) -> PlainTextResponse:
        return PlainTextResponse("open")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(claims_of(websocket.scope).subject)
        await websocket.close()

    async def broken(_: Request, __: Exception) -> PlainTextResponse:
        return PlainTextResponse("broken", 500)

    def around(route: Route) -> list[Middleware]:
        return [Middleware(BearerMiddleware, guard=guard, **route._asdict())]

    routes: list[Any] = [
        StarletteRoute(name, view, methods=METHODS, middleware=around(route)) for name, route in ROUTES.items()
    ]
    routes += [WebSocketRoute(f"/ws{name}", socket, middleware=around(route)) for name, route in ROUTES.items()]
    routes.append(StarletteRoute("/open", unguarded))
    inner = Starlette(routes=routes, exception_handlers={Exception: broken})
    return BearerMiddleware(inner, guard, is_open=lambda _: True)


def fastapi() -> Any:
    from typing import Annotated

    from fastapi import FastAPI, HTTPException, Request, Security, WebSocket
    from fastapi.responses import PlainTextResponse

    from revocation import Claims
    from revocation.fastapi import BearerAuth

    auth = BearerAuth(_guard())
    app = FastAPI(lifespan=auth.lifespan)

    async def broken(_: Request, __: Exception) -> PlainTextResponse:
        return PlainTextResponse("broken", 500)

    for kind in (Exception, HTTPException):
        app.add_exception_handler(kind, broken)

    def make(name: str, route: Route) -> None:
        # A scope may be asked for in FastAPI's own way, or in the library's.
        in_its_own_way = Security(auth, scopes=(route.scope or "").split())
        conditions = {name: value for name, value in route._asdict().items() if value is not None}
        needed = in_its_own_way if name == "/both" else auth.required(**conditions)

        async def view(claims: Annotated[Claims, needed]) -> str:
            return claims.subject

        async def socket(websocket: WebSocket, claims: Annotated[Claims, needed]) -> None:
            await websocket.accept()
            await websocket.send_text(claims.subject)
            await websocket.close()

        app.api_route(name, methods=["GET", "HEAD", "POST"], response_class=PlainTextResponse)(view)
        app.websocket(f"/ws{name}")(socket)
        app.options(name, response_class=PlainTextResponse)(lambda: "")

    for name, route in ROUTES.items():
        make(name, route)
    app.get("/open", response_class=PlainTextResponse)(lambda: "open")
    return app


def _django(patterns: list[Any], **settings_: Any) -> None:
    import django
    from django.conf import settings

    urls = types.ModuleType("urls")
    vars(urls)["urlpatterns"] = patterns
    settings.configure(
        ALLOWED_HOSTS=["*"], SECRET_KEY="made up", ROOT_URLCONF=urls, REVOCATION_GUARD=_guard(), **settings_
    )
    django.setup()


def _django_views(*, is_async: bool) -> list[Any]:
    from django.http import HttpRequest, HttpResponse
    from django.urls import path

    from revocation.django import claims_of, required, token_not_required

    def make(route: Route) -> Any:
        def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse("" if request.method == "OPTIONS" else claims_of(request).subject)

        async def view_async(request: HttpRequest) -> HttpResponse:
            return view(request)

        return required(**route._asdict())(view_async if is_async else view)

    patterns = [path(name[1:], make(route)) for name, route in ROUTES.items()]
    return [*patterns, path("open", token_not_required(lambda _: HttpResponse("open")))]


_DJANGO_MIDDLEWARE: Final = ["django.middleware.common.CommonMiddleware", "revocation.django.BearerMiddleware"]


def django() -> Any:
    patterns: list[Any] = []
    _django(patterns, MIDDLEWARE=_DJANGO_MIDDLEWARE)
    patterns += _django_views(is_async=False)
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def django_async() -> Any:
    patterns: list[Any] = []
    _django(patterns, MIDDLEWARE=_DJANGO_MIDDLEWARE)
    patterns += _django_views(is_async=True)
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def broken_answer(*_: Any) -> Any:
    """The handler of exceptions of a project that knows only one answer."""
    from django.http import HttpResponse

    return HttpResponse("broken", status=500)


def rest_framework() -> Any:
    patterns: list[Any] = []
    _django(
        patterns,
        INSTALLED_APPS=["rest_framework"],
        REST_FRAMEWORK={
            "DEFAULT_AUTHENTICATION_CLASSES": ["revocation.rest_framework.BearerAuthentication"],
            "DEFAULT_PERMISSION_CLASSES": ["revocation.rest_framework.TokenRequired"],
            "EXCEPTION_HANDLER": "tests.adapters.apps.broken_answer",
            "UNAUTHENTICATED_USER": None,
        },
    )
    from django.core.wsgi import get_wsgi_application
    from django.http import HttpResponse
    from django.urls import path
    from rest_framework.request import Request
    from rest_framework.views import APIView

    class View(APIView):
        scope: str | None = None
        max_staleness: float | None = None

        def get(self, request: Request) -> HttpResponse:
            return HttpResponse(request.user.username)

        post = get

        def options(self, request: Request) -> HttpResponse:
            return HttpResponse("")

    class OpenView(APIView):
        permission_classes = ()
        authentication_classes = ()

        def get(self, request: Request) -> HttpResponse:
            return HttpResponse("open")

    patterns += [path(name[1:], View.as_view(**route._asdict())) for name, route in ROUTES.items()]
    patterns.append(path("open", OpenView.as_view()))
    return get_wsgi_application()


def _ninja(*, is_async: bool) -> None:
    patterns: list[Any] = []
    _django(patterns)
    from django.conf import settings
    from django.http import HttpRequest, HttpResponse
    from django.urls import path
    from ninja import NinjaAPI

    from revocation.ninja import AsyncBearerAuth, BearerAuth, register

    api = NinjaAPI()
    register(api)
    api.add_exception_handler(Exception, broken_answer)

    def preflight(request: HttpRequest) -> HttpResponse:
        return HttpResponse("")

    def unguarded(request: HttpRequest) -> HttpResponse:
        return HttpResponse("open")

    def make(name: str, route: Route) -> None:
        def view(request: HttpRequest) -> HttpResponse:
            return HttpResponse(request.auth.subject)

        async def view_async(request: HttpRequest) -> HttpResponse:
            return view(request)

        kind = AsyncBearerAuth if is_async else BearerAuth
        auth = kind(settings.REVOCATION_GUARD, **route._asdict())
        api.api_operation(["GET", "HEAD", "POST"], name, auth=auth)(view_async if is_async else view)
        api.api_operation(["OPTIONS"], name)(preflight)

    for name, route in ROUTES.items():
        make(name, route)
    api.get("/open")(unguarded)
    patterns.append(path("", api.urls))


def ninja() -> Any:
    _ninja(is_async=False)
    from django.core.wsgi import get_wsgi_application

    return get_wsgi_application()


def ninja_async() -> Any:
    _ninja(is_async=True)
    from django.core.asgi import get_asgi_application

    return get_asgi_application()


def litestar() -> Any:
    from litestar import Litestar, MediaType, Request, Response, route
    from litestar.handlers import get
    from litestar.middleware import DefineMiddleware

    from revocation.asgi import BearerMiddleware, claims_of

    guard = _guard()
    around: Any = BearerMiddleware  # its types for ASGI are of its own

    def broken(_: "Request[Any, Any, Any]", __: Exception) -> "Response[str]":
        return Response("broken", status_code=500)

    def make(name: str, needed: Route) -> Any:
        @route(
            name,
            http_method=["GET", "HEAD", "POST", "OPTIONS"],
            middleware=[DefineMiddleware(around, guard=guard, **needed._asdict())],
            media_type=MediaType.TEXT,
            status_code=200,
        )
        async def view(request: "Request[Any, Any, Any]") -> str:
            return "" if request.method == "OPTIONS" else claims_of(request.scope).subject

        return view

    @get("/open", media_type=MediaType.TEXT)
    async def unguarded() -> str:
        return "open"

    routes = [make(name, needed) for name, needed in ROUTES.items()]
    return Litestar([*routes, unguarded], exception_handlers={Exception: broken})


def quart() -> Any:
    from quart import Quart, request

    from revocation.asgi import BearerMiddleware, claims_of

    guard = _guard()
    app = Quart("table")
    inner = app.asgi_app
    wrapped = {name: BearerMiddleware(inner, guard, **route._asdict()) for name, route in ROUTES.items()}

    async def chosen(scope: Any, receive: Any, send: Any) -> None:
        await wrapped.get(scope.get("path", ""), inner)(scope, receive, send)

    async def view() -> str:
        return claims_of(request.scope).subject

    async def unguarded() -> str:
        return "open"

    for name in ROUTES:
        app.add_url_rule(name, name, view, methods=["GET", "HEAD", "POST"])
    app.add_url_rule("/open", "open", unguarded)
    app.asgi_app = chosen  # type: ignore[method-assign]  # as its documentation says
    app.register_error_handler(Exception, lambda _: ("broken", 500))
    return app


def aiohttp(_: object = None) -> Any:
    from aiohttp import web

    from tests.adapters.examples import run

    required = run("aiohttp", _guard())["required"]

    async def view(request: web.Request) -> web.Response:
        return web.Response(text=request["claims"].subject)

    async def preflight(_: web.Request) -> web.Response:
        return web.Response()

    async def unguarded(_: web.Request) -> web.Response:
        return web.Response(text="open")

    app = web.Application()
    for name, route in ROUTES.items():
        guarded = required(**route._asdict())(view)
        app.router.add_get(name, guarded)
        app.router.add_post(name, guarded)
        app.router.add_options(name, preflight)
    app.router.add_get("/open", unguarded)
    return app
