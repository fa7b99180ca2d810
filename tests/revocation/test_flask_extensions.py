"""BearerAuth under what people build with Flask: the answers are the same bytes, in production as in tests."""

from collections.abc import Callable
from functools import partial
from typing import Any

import flask_restful
import flask_restful.fields
import flask_restx
import flask_smorest
import pytest
from apiflask import APIFlask
from apiflask import fields as apiflask_fields
from flask import Blueprint, Flask
from flask.views import MethodView
from flask_cors import CORS
from flask_openapi3.openapi import OpenAPI

from revocation.flask import BearerAuth, describe
from revocation.testing import Sandbox


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def plain(auth: BearerAuth) -> Flask:
    app = Flask("made")

    @app.get("/guarded")
    @auth.required(scope="read", max_staleness=0)
    def guarded() -> dict[str, str]:
        return {"sub": auth.claims.subject}

    @app.get("/inside")
    def inside() -> dict[str, str]:
        auth.require(scope="read", max_staleness=0)
        return {"sub": auth.claims.subject}

    return app


def restx(auth: BearerAuth) -> Flask:
    app = Flask("made")
    api = flask_restx.Api(app)
    model = api.model("Caller", {"sub": flask_restx.fields.String})

    class Guarded(flask_restx.Resource):  # type: ignore[misc]  # the extension has no types
        @api.marshal_with(model)  # type: ignore[untyped-decorator]  # likewise
        @auth.required(scope="read", max_staleness=0)
        def get(self) -> dict[str, str]:
            return {"sub": auth.claims.subject}

    class Inside(flask_restx.Resource):  # type: ignore[misc]  # likewise
        def get(self) -> dict[str, str]:
            auth.require(scope="read", max_staleness=0)
            return {"sub": auth.claims.subject}

    api.add_resource(Guarded, "/guarded")
    api.add_resource(Inside, "/inside")
    return app


def restful(auth: BearerAuth) -> Flask:
    app = Flask("made")
    api = flask_restful.Api(app)

    class Guarded(flask_restful.Resource):  # type: ignore[misc]  # the extension has no types
        @flask_restful.marshal_with({"sub": flask_restful.fields.String})  # type: ignore[untyped-decorator]  # likewise
        @auth.required(scope="read", max_staleness=0)
        def get(self) -> dict[str, str]:
            return {"sub": auth.claims.subject}

    class Inside(flask_restful.Resource):  # type: ignore[misc]  # likewise
        def get(self) -> dict[str, str]:
            auth.require(scope="read", max_staleness=0)
            return {"sub": auth.claims.subject}

    api.add_resource(Guarded, "/guarded")
    api.add_resource(Inside, "/inside")
    return app


def caught(auth: BearerAuth) -> Flask:
    app = Flask("made")
    pages = Blueprint("pages", __name__)

    @pages.errorhandler(Exception)
    def everything(error: Exception) -> tuple[str, int]:
        return f"something went wrong: {type(error)}", 500

    @pages.get("/guarded")
    @auth.required(scope="read", max_staleness=0)
    def guarded() -> dict[str, str]:
        return {"sub": auth.claims.subject}

    @pages.get("/inside")
    def inside() -> dict[str, str]:
        auth.require(scope="read", max_staleness=0)
        return {"sub": auth.claims.subject}

    app.register_blueprint(pages)
    return app


def protected(auth: BearerAuth) -> Flask:
    app = Flask("made")
    pages = Blueprint("pages", __name__)
    auth.protect(pages, scope="read", max_staleness=0)

    @pages.errorhandler(Exception)
    def everything(error: Exception) -> tuple[str, int]:
        return str(error), 500

    @pages.get("/guarded")
    @pages.get("/inside", endpoint="inside")
    def guarded() -> dict[str, str]:
        return {"sub": auth.claims.subject}

    app.register_blueprint(pages)
    return app


def smorest(auth: BearerAuth) -> Flask:
    app = Flask("made")
    app.config |= {"API_TITLE": "made", "API_VERSION": "1", "OPENAPI_VERSION": "3.1.0"}
    api = flask_smorest.Api(app)
    pages = flask_smorest.Blueprint("pages", __name__)

    @pages.route("/guarded")
    class Guarded(MethodView):
        @pages.response(200)  # type: ignore[untyped-decorator]  # the extension has no types
        @auth.required(scope="read", max_staleness=0)
        def get(self) -> dict[str, str]:
            return {"sub": auth.claims.subject}

    @pages.route("/inside")  # type: ignore[untyped-decorator]  # likewise
    @pages.response(200)  # type: ignore[untyped-decorator]  # likewise
    def inside() -> dict[str, str]:
        auth.require(scope="read", max_staleness=0)
        return {"sub": auth.claims.subject}

    api.register_blueprint(pages)
    return app


def apiflask(auth: BearerAuth) -> Flask:
    app = APIFlask("made")

    @app.get("/guarded")
    @app.output({"sub": apiflask_fields.String()})
    @auth.required(scope="read", max_staleness=0)
    def guarded() -> dict[str, str]:
        return {"sub": auth.claims.subject}

    @app.get("/inside")
    def inside() -> dict[str, str]:
        auth.require(scope="read", max_staleness=0)
        return {"sub": auth.claims.subject}

    return app


def openapi3(auth: BearerAuth) -> Flask:
    app = OpenAPI("made")

    @app.get("/guarded")
    @auth.required(scope="read", max_staleness=0)
    def guarded() -> dict[str, str]:
        return {"sub": auth.claims.subject}

    @app.get("/inside")
    def inside() -> dict[str, str]:
        auth.require(scope="read", max_staleness=0)
        return {"sub": auth.claims.subject}

    return app


APPS = [plain, restx, restful, caught, protected, smorest, apiflask, openapi3]


def answers(app: Flask, sandbox: Sandbox, path: str) -> list[tuple[int, bytes, dict[str, str]]]:
    """Status, body and what matters of the headers, for every kind of answer."""
    client = app.test_client()
    revoked = sandbox.mint("eve", scope="read")
    sandbox.revoke(revoked)
    tokens = [None, "nonsense", revoked, sandbox.mint("ada"), sandbox.mint("ada", scope="read")]
    requests: list[dict[str, str]] = [{} if token is None else {"Authorization": f"Bearer {token}"} for token in tokens]
    found = [client.get(path, headers=headers) for headers in requests]
    with sandbox.redis_down():
        found.append(client.get(path, headers=requests[-1]))
    names = ("WWW-Authenticate", "Retry-After", "Cache-Control", "Content-Type", "Content-Length")
    return [
        (
            answer.status_code,
            answer.data if answer.status_code != 200 else answer.data.replace(b" ", b"").strip(),
            {name: ", ".join(answer.headers.getlist(name)) for name in names if answer.status_code != 200},
        )
        for answer in found
    ]


@pytest.mark.parametrize("path", ["/guarded", "/inside"])
@pytest.mark.parametrize("testing", [False, True])
@pytest.mark.parametrize("make", APPS[1:])
def test_every_extension_gives_the_answers_of_flask_alone(
    sandbox: Sandbox, make: Callable[[BearerAuth], Flask], testing: bool, path: str
) -> None:
    found = []
    for how in (plain, make):
        auth = BearerAuth(sandbox.guard)
        app = how(auth)
        auth.init_app(app)
        app.testing = testing
        found.append(answers(app, sandbox, path))
    assert [status for status, _, _ in found[0]] == [401, 401, 401, 403, 200, 503]
    assert found[1] == found[0]


def test_what_others_add_to_an_answer_stays(sandbox: Sandbox) -> None:
    auth = BearerAuth(sandbox.guard)
    app = restx(auth)
    auth.init_app(app)
    CORS(app, origins=["https://pages.example"], send_wildcard=False)
    answer = app.test_client().get("/guarded", headers={"Origin": "https://pages.example"})
    assert answer.status_code == 401
    assert answer.headers["Access-Control-Allow-Origin"] == "https://pages.example"
    assert answer.headers.getlist("WWW-Authenticate") == ['Bearer realm="api"']


# What an OpenAPI document says


def documented(make: Callable[[BearerAuth], Flask], auth: BearerAuth) -> tuple[Flask, dict[str, Any]]:
    app = make(auth)
    if isinstance(app, APIFlask):
        app.spec_processor(partial(describe, app))
    elif isinstance(app, OpenAPI):
        describe(app, app.api_doc)
    else:
        spec = app.extensions["flask-smorest"]["apis"][""]["ext_obj"].spec
        spec.options = describe(app, spec.to_dict())
        return app, spec.to_dict()
    path = "/openapi.json" if isinstance(app, APIFlask) else "/openapi/openapi.json"
    document: dict[str, Any] = app.test_client().get(path).get_json()
    return app, document


@pytest.mark.parametrize("make", [smorest, apiflask, openapi3])
def test_a_document_says_which_operations_need_a_token(sandbox: Sandbox, make: Callable[[BearerAuth], Flask]) -> None:
    auth = BearerAuth(sandbox.guard)
    _, document = documented(make, auth)
    [scheme] = document["paths"]["/guarded"]["get"]["security"]
    assert list(scheme) == ["bearer"]
    assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
    assert "security" not in document["paths"]["/inside"]["get"]


def test_a_document_knows_blueprints_methods_and_routes_for_anybody(sandbox: Sandbox) -> None:
    app, auth = Flask("made"), BearerAuth(sandbox.guard)
    pages = Blueprint("pages", __name__, url_prefix="/pages")
    auth.protect(pages, scope="read write")
    pages.get("/<int:number>")(str)
    app.register_blueprint(pages)

    class Items(MethodView):
        def get(self) -> str:
            return ""

        @auth.optional()
        def post(self) -> str:
            return ""

    app.add_url_rule("/items/<uuid:id>", view_func=Items.as_view("items"))
    paths: dict[str, Any] = {"/pages/{number}": {"get": {}}, "/items/{id}": {"get": {}, "post": {}}}
    for version, scopes in (("3.0.3", []), ("3.1.0", ["read", "write"])):
        describe(app, {"openapi": version, "paths": paths})
        assert paths["/pages/{number}"]["get"] == {"security": [{"bearer": scopes}]}
        assert paths["/items/{id}"] == {"get": {}, "post": {"security": [{"bearer": []}, {}]}}
