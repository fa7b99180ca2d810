"""BearerMiddleware for ASGI and BearerAuth for FastAPI, where a request is not all: WebSockets, lifespans, bodies."""

import asyncio
import contextlib
import io
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Form, Security
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect
from werkzeug.test import run_wsgi_app

from revocation import Claims, ConfigurationError, wsgi
from revocation.asgi import BearerMiddleware, claims_of
from revocation.fastapi import BearerAuth
from revocation.testing import Sandbox


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def starlette_app(sandbox: Sandbox) -> Any:
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text(claims_of(websocket.scope).subject)
        await websocket.close()

    inner = Starlette(routes=[WebSocketRoute("/ws", socket)])
    return BearerMiddleware(inner, sandbox.guard, scope="me")


def fastapi_app(sandbox: Sandbox) -> Any:
    auth = BearerAuth(sandbox.guard)
    app = FastAPI()

    @app.websocket("/ws")
    async def socket(websocket: WebSocket, claims: Annotated[Claims, auth.required(scope="me")]) -> None:
        await websocket.accept()
        await websocket.send_text(claims.subject)
        await websocket.close()

    return app


@pytest.mark.parametrize("make", [starlette_app, fastapi_app])
def test_a_websocket_is_let_in_or_closed_with_a_code_that_says_why(sandbox: Sandbox, make: Any) -> None:
    client = TestClient(make(sandbox))
    good, revoked = sandbox.mint(scope="me"), sandbox.mint(scope="me")
    sandbox.revoke(revoked)

    def code(headers: dict[str, str], query: str = "") -> int:
        with (
            pytest.raises(WebSocketDisconnect) as caught,
            client.websocket_connect(f"/ws{query}", headers=headers) as ws,
        ):
            ws.receive_text()
        return int(caught.value.code)

    with client.websocket_connect("/ws", headers=bearer(good)) as ws:
        assert ws.receive_text() == "ada"
    assert code({}) == 4401
    assert code(bearer("x")) == 4401
    assert code(bearer(revoked)) == 4401
    assert code(bearer(sandbox.mint())) == 4403
    assert code(bearer(good), "?access_token=x") == 4400
    sandbox.clock.advance(2)
    with sandbox.redis_down():
        sandbox.clock.advance(2)
        assert code(bearer(good)) == 1013


def test_a_browser_that_named_subprotocols_gets_the_code_too(sandbox: Sandbox) -> None:
    client = TestClient(starlette_app(sandbox))

    with client.websocket_connect("/ws", subprotocols=["chat", "other"]) as ws:
        assert ws.accepted_subprotocol == "chat"
        with pytest.raises(WebSocketDisconnect):
            ws.receive_text()


def test_the_follower_lives_as_long_as_the_application(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    monkeypatch.setattr(sandbox.follower, "start", lambda: happened.append("start"))
    monkeypatch.setattr(sandbox.follower, "stop", lambda: happened.append("stop"))

    @contextlib.asynccontextmanager
    async def lifespan(_: Any) -> Any:
        happened.append("up")
        yield
        happened.append("down")

    with TestClient(BearerMiddleware(Starlette(lifespan=lifespan), sandbox.guard)):
        assert happened == ["start", "up"]
    assert happened == ["start", "up", "down", "stop"]

    happened.clear()
    with TestClient(FastAPI(lifespan=BearerAuth(sandbox.guard).lifespan)):
        assert happened == ["start"]
    assert happened == ["start", "stop"]


def test_the_application_reads_the_body_that_was_searched(sandbox: Sandbox) -> None:
    async def echo(request: Request) -> PlainTextResponse:
        body = b"".join([chunk async for chunk in request.stream()])
        return PlainTextResponse(f"{body.decode()} of {claims_of(request.scope).subject}")

    app = BearerMiddleware(Starlette(routes=[Route("/", echo, methods=["POST"])]), sandbox.guard)
    client = TestClient(app)

    for body in ("a=1", "a=" + "b" * 100_000, "a=" + "b" * 65_534, ""):
        headers = {**bearer(sandbox.mint()), "Content-Type": "application/x-www-form-urlencoded"}
        assert client.post("/", content=body, headers=headers).text == f"{body} of ada"


def test_a_streamed_answer_gets_through_as_it_is(sandbox: Sandbox) -> None:
    def numbers() -> Iterator[str]:
        yield from ("1", "2", "3")

    async def stream(_: Request) -> StreamingResponse:
        return StreamingResponse(numbers(), headers={"Server-Timing": "db;dur=1"})

    client = TestClient(BearerMiddleware(Starlette(routes=[Route("/", stream)]), sandbox.guard))
    answer = client.get("/", headers=bearer(sandbox.mint()))

    assert answer.text == "123"
    db, verify, _ = answer.headers["server-timing"].split(", ")
    assert db == "db;dur=1"
    assert verify.startswith("verify;dur=")


def test_claims_without_a_middleware_are_a_mistake() -> None:
    with pytest.raises(LookupError):
        claims_of({"type": "http"})


def test_a_bound_that_the_guard_would_not_decide_with_is_refused_when_made(sandbox: Sandbox) -> None:
    auth = BearerAuth(sandbox.guard)

    for make in (
        lambda: auth.required(max_staleness=61),
        lambda: BearerMiddleware(starlette_app(sandbox), sandbox.guard, max_staleness=61),
    ):
        with pytest.raises(ConfigurationError, match="max_staleness=61"):
            make()
    auth.required(max_staleness=float("inf"))


def test_the_openapi_document_shows_the_padlock_and_the_scopes(sandbox: Sandbox) -> None:
    auth = BearerAuth(sandbox.guard)
    app = FastAPI()
    app.get("/me")(_route(auth.required(scope="me")))
    app.get("/both")(_route(Security(auth, scopes=["me", "reports:read"])))

    document = app.openapi()

    assert document["components"]["securitySchemes"] == {
        "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
    }
    assert document["paths"]["/me"]["get"]["security"] == [{"bearer": ["me"]}]
    assert document["paths"]["/both"]["get"]["security"] == [{"bearer": ["me", "reports:read"]}]
    assert "parameters" not in document["paths"]["/me"]["get"]


def _route(dependency: Any) -> Any:
    async def view(claims: Annotated[Claims, dependency]) -> str:
        return claims.subject

    return view


def test_scopes_of_a_router_and_of_its_routes_are_needed_together(sandbox: Sandbox) -> None:
    auth = BearerAuth(sandbox.guard)
    router = APIRouter(dependencies=[Security(auth, scopes=["me"])])
    router.get("/both")(_route(Security(auth, scopes=["reports:read"])))
    app = FastAPI()
    app.include_router(router)
    client = TestClient(app)

    assert client.get("/both", headers=bearer(sandbox.mint(scope="reports:read"))).status_code == 403
    assert client.get("/both", headers=bearer(sandbox.mint(scope="reports:read me"))).status_code == 200


def test_an_application_within_another_answers_too(sandbox: Sandbox) -> None:
    inner, outer = FastAPI(), FastAPI()
    inner.get("/me")(_route(Depends(BearerAuth(sandbox.guard))))
    outer.mount("/v1", inner)

    answer = TestClient(outer).get("/v1/me")

    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="api"')


def test_a_form_that_fastapi_reads_itself_is_searched_and_still_there(sandbox: Sandbox) -> None:
    auth = BearerAuth(sandbox.guard)
    app = FastAPI()

    @app.post("/form")
    async def form(name: Annotated[str, Form()], claims: Annotated[Claims, Depends(auth)]) -> str:
        return f"{name} of {claims.subject}"

    client = TestClient(app)
    headers = bearer(sandbox.mint())

    assert client.post("/form", headers=headers, data={"name": "x"}).json() == "x of ada"
    assert client.post("/form", headers=headers, data={"name": "x", "access_token": "y"}).status_code == 400


# Nobody keeps a body of unknown length for those who are not let in


def served_form(make: str, sandbox: Sandbox) -> Any:
    if make == "asgi":

        async def read(request: Request) -> PlainTextResponse:
            return PlainTextResponse(str(len(await request.body())))

        return BearerMiddleware(Starlette(routes=[Route("/", read, methods=["POST"])]), sandbox.guard)
    app = FastAPI()

    @app.post("/", dependencies=[Depends(BearerAuth(sandbox.guard))])
    async def read_too(request: Request) -> int:
        return len(await request.body())

    return app


@pytest.mark.parametrize("make", ["asgi", "fastapi"])
@pytest.mark.parametrize(
    ("token", "encoding", "then"),
    [
        pytest.param("nonsense", "", (401, 0), id="a bad token"),
        pytest.param("nonsense", "chunked", (401, 0), id="a bad token and chunks"),
        pytest.param("good", "", (400, 2), id="longer than it said"),
        pytest.param("good", "chunked", (200, 50), id="as long as it likes"),
    ],
)
def test_a_form_that_is_longer_than_it_says_is_not_kept(
    sandbox: Sandbox, make: str, token: str, encoding: str, then: tuple[int, int]
) -> None:
    app, sent, received = served_form(make, sandbox), [], 0

    async def receive() -> dict[str, Any]:
        nonlocal received
        received += 1
        return {"type": "http.request", "body": b"x" * 40_000, "more_body": received < 50}

    async def send(message: Any) -> None:
        sent.append(message)

    token = sandbox.mint() if token == "good" else token
    headers = [
        (b"authorization", f"Bearer {token}".encode()),
        (b"content-type", b"application/x-www-form-urlencoded"),
        (b"content-length", b"10"),
        *([(b"transfer-encoding", encoding.encode())] if encoding else []),
    ]
    scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
    asyncio.run(app(scope, receive, send))

    assert (sent[0]["status"], received) == then


def test_wsgi_reads_no_body_of_those_who_are_not_let_in_and_none_in_chunks(sandbox: Sandbox) -> None:
    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["wsgi.input"].read()]

    app = wsgi.BearerMiddleware(application, sandbox.guard)

    def ask(token: str, **more: str) -> tuple[str, int, bytes]:
        body = io.BytesIO(b"a=12345678&b=1")
        environ: Any = {
            "REQUEST_METHOD": "POST",
            "HTTP_AUTHORIZATION": f"Bearer {token}",
            "CONTENT_TYPE": "application/x-www-form-urlencoded",
            "CONTENT_LENGTH": "10",
            "wsgi.input": body,
            **more,
        }
        parts, status, _ = run_wsgi_app(app, environ)
        return status[:3], body.tell(), b"".join(parts)

    assert ask("nonsense")[:2] == ("401", 0)
    assert ask(sandbox.mint()) == ("200", 10, b"a=12345678")
    assert ask(sandbox.mint(), HTTP_TRANSFER_ENCODING="chunked") == ("200", 14, b"a=12345678&b=1")
