"""oauthlib's own writing and reading of messages, sent by requests, against a running service."""

from typing import Any

import pytest
import requests
from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError, InvalidScopeError, LegacyApplicationClient

from app.clients import FIRST_PARTY
from tests.clients.conftest import Registered
from tests.support.service import Service


@pytest.fixture(autouse=True)
def _http_on_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


def _sent(url: str, headers: dict[str, str], body: str, auth: tuple[str, str] | None = None) -> requests.Response:
    return requests.post(url, data=body, headers=headers, auth=auth, timeout=20)


def test_a_client_gets_a_token_uses_it_and_takes_it_back(service: Service, registered: Registered) -> None:
    client: Any = BackendApplicationClient(registered.client_id)
    basic = (registered.client_id, registered.client_secret)
    url, headers, body = client.prepare_token_request(f"{service.url}/oauth/token", scope="reports:read")
    answer = _sent(url, headers, body, basic)
    token = client.parse_request_body_response(answer.text, scope="reports:read")
    assert not token.scope_changed

    url, bearer, _ = client.add_token(f"{service.url}/api/reports", headers={})
    assert requests.get(url, headers=bearer, timeout=20).status_code == 200

    endpoint, headers, body = client.prepare_token_revocation_request(
        f"{service.url}/oauth/revoke", token["access_token"], token_type_hint="access_token"
    )
    assert _sent(endpoint, headers, body, basic).status_code == 200
    assert requests.get(url, headers=bearer, timeout=20).status_code == 401


def test_the_secret_may_stand_in_the_body(service: Service, registered: Registered) -> None:
    client: Any = BackendApplicationClient(registered.client_id)
    body = client.prepare_request_body(client_secret=registered.client_secret, include_client_id=True)
    answer = _sent(f"{service.url}/oauth/token", {"Content-Type": "application/x-www-form-urlencoded"}, body)
    assert client.parse_request_body_response(answer.text)["scope"] == ["reports:read", "reports:write"]


def test_a_session_is_refreshed_and_revoked_as_the_public_client(service: Service) -> None:
    client: Any = LegacyApplicationClient(FIRST_PARTY, token=service.login())
    url, headers, body = client.prepare_refresh_token_request(f"{service.url}/oauth/token", client_id=FIRST_PARTY)
    refreshed = client.parse_request_body_response(_sent(url, headers, body).text)
    assert refreshed["refresh_token"] == client.refresh_token

    url, headers, body = client.prepare_token_revocation_request(
        f"{service.url}/oauth/revoke", client.refresh_token, token_type_hint="refresh_token", client_id=FIRST_PARTY
    )
    assert _sent(url, headers, body).status_code == 200
    url, headers, body = client.prepare_refresh_token_request(f"{service.url}/oauth/token", client_id=FIRST_PARTY)
    with pytest.raises(InvalidGrantError):
        client.parse_request_body_response(_sent(url, headers, body).text)


def test_it_understands_a_refusal(service: Service, registered: Registered) -> None:
    client: Any = BackendApplicationClient(registered.client_id)
    url, headers, body = client.prepare_token_request(f"{service.url}/oauth/token", scope="everything")
    answer = _sent(url, headers, body, (registered.client_id, registered.client_secret))
    with pytest.raises(InvalidScopeError):
        client.parse_request_body_response(answer.text)
