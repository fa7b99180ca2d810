"""Examples: the code of docs/frameworks.md as it stands there, with a guard of the test's own."""

import ast
import asyncio
import contextlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

from revocation import Guard
from tests.documents import FRAMEWORKS, blocks

#: Each example by its heading, and how it is served.
WSGI: Final = ("Django REST framework", "Django Ninja", "flask-jwt-extended", "WSGI")
ASGI: Final = ("FastAPI", "Django", "ASGI", "MCP", "Litestar", "Quart")
ALL: Final = (*WSGI, *ASGI, "aiohttp")

#: Asks an example's `/me` with a token, and returns the status.
Ask = Callable[[str], int]


def run(name: str, guard: Guard) -> dict[str, Any]:
    """What the code under a heading defines, where `api.auth` is this guard and its deny-list."""
    [code] = blocks("python", under=name, of=FRAMEWORKS)
    # The code's annotations are looked up in its module.
    module = types.ModuleType(f"example_{name.replace(' ', '_')}")
    auth = types.ModuleType("api.auth")
    vars(auth).update(guard=guard, denylist=guard.denylist)
    sys.modules |= {"api": types.ModuleType("api"), "api.auth": auth, module.__name__: module}
    exec(compile(code, FRAMEWORKS.name, "exec"), vars(module))
    return vars(module)


@contextlib.contextmanager
def served(name: str, guard: Guard) -> Iterator[tuple[Ask, dict[str, Any]]]:
    """The way to ask an example, and what it defines."""
    with contextlib.ExitStack() as stack:
        if name.startswith("Django"):
            configure_django()
            stack.enter_context(django_settings(REVOCATION_GUARD=guard))
        made = run(name, guard)
        if name == "aiohttp":
            yield stack.enter_context(_aiohttp(made["app"])), made
            return
        app = stack.enter_context(_django(name, made)) if name.startswith("Django") else made["app"]
        yield stack.enter_context(_asgi(app, name) if name in ASGI else _wsgi(app)), made


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


@contextlib.contextmanager
def _wsgi(app: Any) -> Iterator[Ask]:
    from werkzeug.test import Client

    client = Client(app)
    yield lambda token: client.get("/me", headers=_bearer(token)).status_code


@contextlib.contextmanager
def _asgi(app: Any, name: str) -> Iterator[Ask]:
    from starlette.testclient import TestClient

    def initialize(token: str) -> int:
        headers = {**_bearer(token), "Accept": "application/json, text/event-stream"}
        about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
        request = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": about}
        return client.post("/mcp", headers=headers, json=request).status_code

    # Django speaks no lifespan, so its client is not entered.
    with contextlib.ExitStack() as stack:
        client = TestClient(app, base_url="http://127.0.0.1:8000")
        if name != "Django":
            stack.enter_context(client)
        yield initialize if name == "MCP" else lambda token: client.get("/me", headers=_bearer(token)).status_code


@contextlib.contextmanager
def _aiohttp(app: Any) -> Iterator[Ask]:
    from aiohttp.test_utils import TestClient, TestServer

    with asyncio.Runner() as runner:

        async def opened() -> "TestClient[Any, Any]":
            client = TestClient(TestServer(app))
            await client.start_server()
            return client

        async def asked(token: str) -> int:
            async with client.get("/me", headers=_bearer(token)) as answer:
                return answer.status

        client = runner.run(opened())
        try:
            yield lambda token: runner.run(asked(token))
        finally:
            runner.run(client.close())


def configure_django() -> None:
    """The settings of this process, which Django REST framework reads when it is imported."""
    import django
    from django.conf import settings

    if not settings.configured:
        [code] = blocks("python", under="Django REST framework", of=FRAMEWORKS)
        [rest_framework] = [
            ast.literal_eval(node.value)
            for node in ast.parse(code).body
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "REST_FRAMEWORK"
        ]
        apps = ["django.contrib.auth", "django.contrib.contenttypes", "rest_framework"]
        settings.configure(
            ALLOWED_HOSTS=["*"], SECRET_KEY="made up", INSTALLED_APPS=apps, REST_FRAMEWORK=rest_framework
        )
        django.setup()


def django_settings(**settings: Any) -> "contextlib.AbstractContextManager[Any]":
    from django.test.utils import override_settings

    overridden: contextlib.AbstractContextManager[Any] = override_settings(**settings)
    return overridden


@contextlib.contextmanager
def _django(name: str, made: dict[str, Any]) -> Iterator[Any]:
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.urls import path

    urls = types.ModuleType("urls")
    match name:
        case "Django":
            route = path("me", made["me"])
        case "Django REST framework":
            route = path("me", made["Me"].as_view())
        case _:
            route = path("", made["api"].urls)
    vars(urls)["urlpatterns"] = [route]
    own = {setting: value for setting, value in made.items() if setting.isupper()}
    with django_settings(ROOT_URLCONF=urls, **own):
        yield get_asgi_application() if name in ASGI else get_wsgi_application()
