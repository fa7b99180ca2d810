"""A requirement is never dropped: wherever its mark stands, it is checked, or the program is told that it cannot be."""

import io
import types
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView

from revocation import ConfigurationError
from revocation.flask import BearerAuth
from revocation.testing import Sandbox
from tests.adapters.examples import configure_django, django_settings

#: The status of a path for a token.
Ask = Callable[[str, str], int]


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def undocumented(view: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator that does not say what it decorates, as many are written."""

    def inner(*args: Any, **kwargs: Any) -> Any:
        return view(*args, **kwargs)

    return inner


@pytest.fixture(params=["wsgi", "asgi"])
def django(sandbox: Sandbox, request: pytest.FixtureRequest) -> Iterator[Callable[..., Ask]]:
    """Serves views under the middleware."""
    configure_django()
    from django.core.asgi import get_asgi_application
    from django.core.wsgi import get_wsgi_application
    from django.urls import path
    from starlette.testclient import TestClient
    from werkzeug.test import Client

    urls = types.ModuleType("urls")
    middleware = ["revocation.django.BearerMiddleware"]
    with django_settings(ROOT_URLCONF=urls, MIDDLEWARE=middleware, REVOCATION_GUARD=sandbox.guard):

        def serving(**views: Any) -> Ask:
            vars(urls)["urlpatterns"] = [path(name, view) for name, view in views.items()]
            made: Any = get_wsgi_application() if request.param == "wsgi" else get_asgi_application()
            client: Any = Client(made) if request.param == "wsgi" else TestClient(made)

            def ask(name: str, token: str) -> int:
                status: int = client.get(f"/{name}", headers={"Authorization": f"Bearer {token}"}).status_code
                return status

            return ask

        yield serving


def test_django_checks_a_requirement_on_whatever_part_of_a_view_it_stands(
    sandbox: Sandbox, django: Callable[..., Ask]
) -> None:
    from django.http import HttpResponse
    from django.utils.decorators import method_decorator
    from django.views import View

    from revocation.django import claims_of, required, token_not_required

    needs_admin = required(scope="admin")

    def view(request: Any) -> HttpResponse:
        return HttpResponse(claims_of(request).subject)

    async def view_async(request: Any) -> HttpResponse:
        return view(request)

    class OnMethod(View):
        @needs_admin
        def get(self, request: Any) -> HttpResponse:
            return view(request)

    class OnAsyncMethod(View):
        @needs_admin
        async def get(self, request: Any) -> HttpResponse:
            return view(request)

    class OnDispatch(View):
        @needs_admin
        def dispatch(self, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(*args, **kwargs)

        def get(self, request: Any) -> HttpResponse:
            return view(request)

    class OnAsyncDispatch(OnDispatch):
        dispatch = undocumented(OnDispatch.dispatch)

        async def get(self, request: Any) -> HttpResponse:
            return view(request)

    @method_decorator(needs_admin, name="dispatch")
    class OnClass(View):
        def get(self, request: Any) -> HttpResponse:
            return view(request)

    class ByMethodDecorator(View):
        @method_decorator([undocumented, needs_admin])  # type: ignore[untyped-decorator]  # its stubs say nothing
        async def get(self, request: Any) -> HttpResponse:
            return view(request)

    class DispatchUnderAnother(View):
        @method_decorator([undocumented, needs_admin])  # type: ignore[untyped-decorator]  # its stubs say nothing
        def dispatch(self, *args: Any, **kwargs: Any) -> Any:
            return super().dispatch(*args, **kwargs)

        async def get(self, request: Any) -> HttpResponse:
            return view(request)

    views = {
        "function": needs_admin(view),
        "async": needs_admin(view_async),
        "under": undocumented(needs_admin(view)),
        "twice": required()(needs_admin(view)),
        "open": token_not_required(needs_admin(view)),
        **{
            made.__name__: made.as_view()
            for made in (
                OnMethod, OnAsyncMethod, OnDispatch, OnAsyncDispatch, OnClass, ByMethodDecorator, DispatchUnderAnother
            )
        },
    }  # fmt: skip
    ask = django(**views, unmarked=view)
    plain, admin = sandbox.mint("ada", scope="me"), sandbox.mint("eve", scope="admin me")

    assert {name: ask(name, plain) for name in views} == dict.fromkeys(views, 403)
    assert {name: ask(name, admin) for name in views} == dict.fromkeys(views, 200)
    # Marking one view does not mark the function that another is made of.
    assert ask("unmarked", plain) == 200
    sandbox.revoke(admin)
    assert {name: ask(name, admin) for name in views} == dict.fromkeys(views, 401)


def test_django_looks_at_no_mark_of_a_class_and_says_so(sandbox: Sandbox, django: Callable[..., Ask]) -> None:
    from django.views import View

    from revocation.django import required, token_not_required

    for decorate in (required(scope="admin"), token_not_required):
        with pytest.raises(ConfigurationError, match=r"on a method of View, or @method_decorator\(\.\.\., name="):
            decorate(View)
    with pytest.raises(ConfigurationError, match="without a request"):
        required()(lambda *_: None)("no request")


@pytest.mark.parametrize(("token", "encoding", "is_read"), [("bad", "", 0), ("good", "", 10), ("good", "chunked", 0)])
def test_django_reads_a_short_form_of_those_who_are_let_in_alone(
    sandbox: Sandbox, token: str, encoding: str, is_read: int
) -> None:
    configure_django()
    from django.core.handlers.wsgi import WSGIRequest
    from django.http import HttpResponse

    from revocation.django import BearerMiddleware

    body = io.BytesIO(b"a=12345678&b=1")
    environ = {
        "REQUEST_METHOD": "POST",
        "HTTP_AUTHORIZATION": f"Bearer {sandbox.mint() if token == 'good' else token}",
        "CONTENT_TYPE": "application/x-www-form-urlencoded",
        "CONTENT_LENGTH": "10",
        "HTTP_TRANSFER_ENCODING": encoding,
        "wsgi.input": body,
    }
    with django_settings(REVOCATION_GUARD=sandbox.guard):
        answer = BearerMiddleware(lambda _: HttpResponse()).process_view(WSGIRequest(environ), lambda _: None)

    assert (answer is None, body.tell()) == (token == "good", is_read)


def test_django_rest_framework_checks_a_requirement_on_a_method(sandbox: Sandbox, django: Callable[..., Ask]) -> None:
    from rest_framework.decorators import api_view
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from revocation.django import required

    class OnMethod(APIView):
        authentication_classes = ()
        permission_classes = ()

        @required(scope="admin")
        def get(self, request: Any) -> Response:
            return Response("in")

    ask = django(method=OnMethod.as_view(), function=api_view(["GET"])(required(scope="admin")(lambda _: Response())))
    tokens = sandbox.mint(scope="me"), sandbox.mint(scope="admin")
    assert [ask("method", token) for token in tokens] == [403, 200]
    assert [ask("function", token) for token in tokens] == [403, 200]


def test_the_scope_of_a_rest_framework_view_that_nobody_looks_at_is_a_mistake(
    sandbox: Sandbox, django: Callable[..., Ask], caplog: pytest.LogCaptureFixture
) -> None:
    from rest_framework.permissions import AllowAny
    from rest_framework.response import Response
    from rest_framework.views import APIView

    from revocation.rest_framework import BearerAuthentication, TokenRequired

    class Admin(APIView):
        scope = "admin"
        authentication_classes = (BearerAuthentication,)
        permission_classes = (AllowAny,)

        def get(self, _: Any) -> Response:
            return Response("in")

    class Composed(Admin):
        permission_classes = (AllowAny & TokenRequired,)

    ask = django(dropped=Admin.as_view(), composed=Composed.as_view())
    tokens = sandbox.mint(scope="me"), sandbox.mint(scope="admin")
    assert [ask("composed", token) for token in tokens] == [403, 200]
    assert ask("dropped", tokens[1]) == 500
    assert "Admin has a scope, and no TokenRequired among its permission_classes" in caplog.text


@pytest.mark.parametrize("kind", ["BearerAuth", "AsyncBearerAuth"])
def test_ninja_awaits_what_has_to_be_awaited(sandbox: Sandbox, django: Callable[..., Ask], kind: str) -> None:
    from ninja import NinjaAPI

    import revocation.ninja

    api = NinjaAPI(urls_namespace=kind)
    revocation.ninja.register(api)
    auth = getattr(revocation.ninja, kind)(sandbox.guard, scope="admin")

    async def later(request: Any) -> str:
        return str(request.auth.subject)

    api.get("/now", auth=auth)(lambda request: request.auth.subject)
    api.get("/later", auth=auth)(later)
    from django.urls import include

    ask = django(**{"": include((api.urls[0], kind))})
    tokens = sandbox.mint(scope="me"), sandbox.mint(scope="admin")
    for name in ("now", "later"):
        assert [ask(name, token) for token in tokens] == [403, 200]


# Flask


@pytest.fixture
def auth(sandbox: Sandbox) -> BearerAuth:
    return BearerAuth(sandbox.guard)


def test_flask_checks_a_requirement_on_whatever_part_of_a_view_it_stands(sandbox: Sandbox, auth: BearerAuth) -> None:
    app = Flask("made")
    needs_admin = auth.required(scope="admin")

    def view() -> str:
        return auth.claims.subject

    class OnMethod(MethodView):
        @needs_admin
        def get(self) -> str:
            return auth.claims.subject

    class ByDecorators(MethodView):
        decorators = [needs_admin]  # noqa: RUF012 (as Flask writes it)

        def get(self) -> str:
            return auth.claims.subject

    views = {
        "under": undocumented(needs_admin(view)),
        "method": OnMethod.as_view("method"),
        "decorators": ByDecorators.as_view("decorators"),
    }
    for name, made in views.items():
        app.add_url_rule(f"/{name}", name, made)
    auth.init_app(app)

    client = app.test_client()
    for scope, status in (("me", 403), ("admin", 200)):
        headers = {"Authorization": f"Bearer {sandbox.mint(scope=scope)}"}
        assert {name: client.get(f"/{name}", headers=headers).status_code for name in views} == dict.fromkeys(
            views, status
        )


def test_flask_looks_at_no_mark_of_a_class_and_says_so(auth: BearerAuth) -> None:
    for decorate in (auth.required(), auth.optional()):
        with pytest.raises(ConfigurationError, match="decorators = "):
            decorate(MethodView)


@pytest.mark.parametrize("at", ["app", "blueprint"])
def test_a_requirement_above_the_route_of_flask_is_refused(auth: BearerAuth, at: str) -> None:
    app, blueprint = Flask("made"), Blueprint("part", "part")

    @auth.required(scope="admin")
    @(app if at == "app" else blueprint).get("/x")
    def view() -> str:
        return "in"

    auth.init_app(app)
    app.register_blueprint(blueprint)
    del view
    app.testing = True
    with pytest.raises(ConfigurationError, match=r"of view is not looked at: .* below @app\.route"):
        app.test_client().get("/anything")


def test_one_function_may_be_an_open_view_and_a_guarded_one(sandbox: Sandbox, auth: BearerAuth) -> None:
    app = Flask("made")

    def view() -> str:
        return "in"

    app.add_url_rule("/open", "open", view)
    app.add_url_rule("/closed", "closed", auth.required()(view))
    auth.init_app(app)
    client = app.test_client()
    assert [client.get(path).status_code for path in ("/open", "/closed")] == [200, 401]
