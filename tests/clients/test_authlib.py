"""Authlib, unchanged, against a running service."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from authlib.integrations.requests_client import OAuth2Session, OAuthError
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

from app.clients import FIRST_PARTY
from tests.clients.conftest import Registered
from tests.support.service import Service

SessionFor = Callable[..., Any]


@pytest.fixture(scope="module")
def metadata(service: Service) -> dict[str, Any]:
    document: dict[str, Any] = service.get("/.well-known/oauth-authorization-server").json()
    return document


@pytest.fixture
def session_for(metadata: dict[str, Any]) -> Iterator[SessionFor]:
    """Makes sessions that know the service from its metadata."""
    opened = []

    def make(client_id: str, client_secret: str | None = None, **options: Any) -> Any:
        session = OAuth2Session(client_id, client_secret, token_endpoint=metadata["token_endpoint"], **options)
        opened.append(session)
        return session

    yield make
    for session in opened:
        session.close()


def test_it_finds_nothing_wrong_with_the_metadata(metadata: dict[str, Any]) -> None:
    AuthorizationServerMetadata(metadata).validate()


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_a_client_gets_a_token_uses_it_and_takes_it_back(
    service: Service, registered: Registered, metadata: dict[str, Any], session_for: SessionFor, method: str
) -> None:
    session = session_for(
        registered.client_id,
        registered.client_secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        scope="reports:read",
    )
    token = session.fetch_token(grant_type="client_credentials")
    assert token["token_type"] == "Bearer"
    assert token["scope"] == "reports:read"
    assert session.get(f"{service.url}/api/reports").status_code == 200

    introspected = session.introspect_token(metadata["introspection_endpoint"], token["access_token"]).json()
    assert introspected["active"] is True
    assert introspected["client_id"] == registered.client_id

    revoked = session.revoke_token(metadata["revocation_endpoint"], token["access_token"], "access_token")
    assert revoked.status_code == 200
    assert session.get(f"{service.url}/api/reports").status_code == 401
    again = session.introspect_token(metadata["introspection_endpoint"], token["access_token"]).json()
    assert again == {"active": False}


def test_a_session_is_refreshed_and_revoked_as_the_public_client(
    service: Service, metadata: dict[str, Any], session_for: SessionFor
) -> None:
    session = session_for(
        FIRST_PARTY,
        token=service.login(),
        token_endpoint_auth_method="none",
        revocation_endpoint_auth_method="none",
    )
    first = dict(session.token)
    second = session.refresh_token()
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    assert session.get(f"{service.url}/api/me").status_code == 200

    answer = session.revoke_token(metadata["revocation_endpoint"], second["refresh_token"], "refresh_token")
    assert answer.status_code == 200
    assert session.get(f"{service.url}/api/me").status_code == 401
    with pytest.raises(OAuthError) as refused:
        session.refresh_token()
    assert refused.value.error == "invalid_grant"


def test_a_session_of_its_own_accord_refreshes_a_token_that_has_expired(
    service: Service, session_for: SessionFor
) -> None:
    stale = {**service.login(), "expires_at": 1}
    kept: list[dict[str, Any]] = []

    def keep(token: dict[str, Any], *, refresh_token: str) -> None:
        assert refresh_token == stale["refresh_token"]
        kept.append(token)

    session = session_for(
        FIRST_PARTY,
        token=stale,
        token_endpoint_auth_method="none",
        update_token=keep,
    )
    assert session.get(f"{service.url}/api/me").json()["sub"] == "admin"
    assert [token["refresh_token"] != stale["refresh_token"] for token in kept] == [True]


@pytest.mark.parametrize(
    ("secret", "scope", "error"),
    [("wrong", "reports:read", "invalid_client"), (None, "everything", "invalid_scope")],
    ids=["wrong secret", "too much scope"],
)
def test_it_understands_a_refusal(
    registered: Registered, session_for: SessionFor, secret: str | None, scope: str, error: str
) -> None:
    session = session_for(registered.client_id, secret or registered.client_secret, scope=scope)
    with pytest.raises(OAuthError) as refused:
        session.fetch_token(grant_type="client_credentials")
    assert refused.value.error == error
    assert refused.value.description
