"""The npm packages openid-client and oauth4webapi, unchanged, against a running service."""

import json
import subprocess
from typing import Any

import pytest

from tests.clients.conftest import NODE, Registered
from tests.support.service import Service


@pytest.fixture(params=["client_secret_basic", "client_secret_post"])
def method(request: pytest.FixtureRequest) -> str:
    chosen: str = request.param
    return chosen


@pytest.fixture(params=["openid_client.js", "oauth4webapi.js"])
def seen(
    request: pytest.FixtureRequest, node: str, service: Service, registered: Registered, method: str
) -> dict[str, Any]:
    """What the package made of the service's answers, from discovery to the end of a session."""
    known = {
        "issuer": service.url,
        "clientId": registered.client_id,
        "clientSecret": registered.client_secret,
        "session": service.login(),
        "method": method,
    }
    done = subprocess.run(
        [node, request.param],
        cwd=NODE,
        input=json.dumps(known),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return {"by": request.param, "at": service.url, "as": registered.client_id, **printed}


def test_the_package_goes_from_discovery_to_the_end_of_a_session(seen: dict[str, Any]) -> None:
    revoked = {"name": "WWWAuthenticateChallengeError", "challenge": "invalid_token", "status": 401}
    assert seen["issuer"] == seen["at"]
    # It counts down from when the answer came.
    left = seen["granted"].pop("expiresIn")
    assert 840 < left <= 900
    assert seen["granted"] == {"type": "bearer", "scope": "reports:read"}
    assert seen["used"] == 200
    assert seen["active"] is True
    assert seen["activeAfterRevocation"] == {"active": False}
    assert seen["usedAfterRevocation"] == revoked
    assert seen["tooMuchScope"] == {"name": "ResponseBodyError", "error": "invalid_scope", "status": 400}
    assert seen["wrongSecret"] == {"name": "WWWAuthenticateChallengeError", "status": 401}
    assert seen["rotated"] is True
    assert seen["usedAfterRefresh"] == 200
    assert seen["usedAfterLogout"] == revoked
    assert seen["refreshedAfterLogout"] == {"name": "ResponseBodyError", "error": "invalid_grant", "status": 400}
    if seen["by"] == "oauth4webapi.js":
        assert seen["claims"] == {"sub": seen["as"], "client_id": seen["as"], "scope": "reports:read"}
