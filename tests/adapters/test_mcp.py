"""GuardTokenVerifier: an MCP server answers as the SDK does, and 503 where nobody can say."""

import time
from typing import Any

import pytest
from mcp.server.auth.settings import AuthSettings
from mcp.server.mcpserver import MCPServer
from pydantic import AnyHttpUrl
from starlette.testclient import TestClient

from revocation.bearer import Bearer
from revocation.errors import DenylistUnavailableError
from revocation.mcp import GuardTokenVerifier, answering
from revocation.testing import Sandbox


@pytest.fixture
def sandbox() -> Sandbox:
    return Sandbox()


def app_of(sandbox: Sandbox) -> Any:
    settings = AuthSettings(
        issuer_url=AnyHttpUrl("https://auth.example"),
        resource_server_url=AnyHttpUrl("https://api.example/mcp"),
        required_scopes=["tools"],
        validate_token_resource=False,  # the guard's verifier checks the audience
    )
    server = MCPServer("made", token_verifier=GuardTokenVerifier(sandbox.guard), auth=settings)

    @server.tool()
    def add(a: int, b: int) -> int:
        return a + b

    return answering(server.streamable_http_app(stateless_http=True, json_response=True))


def call(client: TestClient, token: str | None) -> Any:
    headers = {"Accept": "application/json, text/event-stream"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    request = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "add", "arguments": {"a": 1, "b": 2}},
    }
    return client.post("/mcp", headers=headers, json=request)


def test_a_tool_is_called_with_a_token_in_force_only(sandbox: Sandbox) -> None:
    sandbox.clock.now = time.time()
    token = sandbox.mint(scope="tools")
    with TestClient(app_of(sandbox), base_url="http://127.0.0.1:8000") as client:
        answer = call(client, token)
        assert answer.status_code == 200, answer.text
        assert answer.json()["result"]["content"][0]["text"] == "3"

        assert call(client, sandbox.mint()).status_code == 403
        refused = call(client, None)
        assert refused.status_code == 401
        assert "resource_metadata" in refused.headers["www-authenticate"]

        sandbox.revoke(token)
        assert call(client, token).status_code == 401

        other = sandbox.mint(scope="tools")
        assert call(client, other).status_code == 200
        sandbox.denylist.down = True
        sandbox.clock.advance(2)
        away = call(client, other)
        assert (away.status_code, away.content) == (503, Bearer().answer(DenylistUnavailableError("away")).body)
        assert away.headers["retry-after"] == "1"
        assert call(client, None).status_code == 401
        assert client.get("/.well-known/oauth-protected-resource/mcp").status_code == 200
