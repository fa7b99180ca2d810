"""The command beside a running service: `make run` in one terminal, `revocation` in the other."""

from pathlib import Path

import pytest

from revocation import connect
from revocation.cli import exits
from tests.support.command import Terminal
from tests.support.denylists import until
from tests.support.servers import binary, plain
from tests.support.service import serving


def test_a_token_is_checked_revoked_and_brought_back_beside_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    binary("valkey")
    # The service shares an environment with the command, and does not refuse the settings of the command.
    with serving(tmp_path, REVOCATION_KEYS_DIR="elsewhere", REVOCATION_SESSION_LIFETIME="100") as service:
        # The service's own settings say whose tokens they are; the issuer follows from APP_BIND.
        terminal = Terminal(
            monkeypatch,
            capsys,
            REVOCATION_ISSUER=service.url,
            REVOCATION_AUDIENCE=service.url,
            REVOCATION_TIMEOUT=service.env["REVOCATION_TIMEOUT"],
        )
        beside = ("--data-dir", service.env["APP_DATA_DIR"])
        store = plain(connect(f"embedded:{service.env['APP_DATA_DIR']}", timeout_seconds=5))
        service.wait_until_followed(store)
        token = service.login()["access_token"]
        trust = ("--iat-tolerance", "0")

        assert terminal(*beside, "check", *trust, stdin=token).code == exits.OK

        made = terminal(*beside, "revoke", "--kind", "session", "--reason", "laptop stolen", "--json", stdin=token).json
        assert made["receipt"]["enforced"]
        assert made["receipt"]["followers"] == {"confirmed": 2, "total": 2}
        assert service.get("/api/me", token=token).status_code == 401
        refused = terminal(*beside, "check", *trust, stdin=token)
        assert refused.code == exits.REFUSED
        assert "laptop stolen" in refused.out

        assert terminal(*beside, "undo", made["revocation"]["id"]).code == exits.OK
        until(lambda: service.get("/api/me", token=token).status_code == 200)

        well = terminal(*beside, "doctor", "--strict", "--json")
        assert well.code == exits.OK, well.out
        store.config_set("maxmemory-policy", "allkeys-lru")
        store.close()
        ill = terminal(*beside, "doctor")
        assert ill.code == exits.REFUSED
        assert "CONFIG SET maxmemory-policy noeviction" in ill.out
