"""`python -m app audit export`."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from app.audit import Actor
from app.commands.audit import audit
from revocation import Handle
from tests.app.api import Api


@pytest.fixture(scope="module")
def filled(api: Api) -> Api:
    api.service.accounts.create_user("ada", password="correct horse battery", scope="", actor=Actor("eve"))
    api.service.stores.denylist.revoke(Handle("subject", "ada", issuer="https://auth.example"), actor="operator bob")
    return api


def export(api: Api, *arguments: str) -> list[dict[str, Any]]:
    done = CliRunner().invoke(audit, ["export", *arguments], obj=api.settings, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_every_record_is_a_line_of_json_the_oldest_first_and_the_newest_revocations_too(filled: Api) -> None:
    lines = export(filled)

    assert [(line["actor"], line["action"], line["target"]) for line in lines] == [
        ("eve", "user.create", "ada"),
        ("operator bob", "revocation.create", "subject:ada"),
    ]
    assert all(
        line.keys() == {"id", "at", "actor", "action", "target", "reason", "address", "revocation_id"} for line in lines
    )
    assert export(filled, "--after", str(lines[0]["id"])) == lines[1:]


def test_an_export_takes_filters(filled: Api) -> None:
    assert [line["actor"] for line in export(filled, "--action", "user.create")] == ["eve"]
    assert [line["actor"] for line in export(filled, "--target", "subject:ada")] == ["operator bob"]
    assert export(filled, "--actor", "nobody") == []
    assert [line["actor"] for line in export(filled, "--reason", "SCOPE")] == ["eve"]
    assert [line["actor"] for line in export(filled, "--text", "bob")] == ["operator bob"]
    assert export(filled, "--address", "192.0.2.7") == []
    assert len(export(filled, "--since", "2020-01-01")) == 2
    assert export(filled, "--until", "2020-01-01T00:00:00+01:00") == []


def test_an_instant_that_is_none_is_refused(filled: Api, tmp_path: Path) -> None:
    done = CliRunner().invoke(audit, ["export", "--since", "yesterday"], obj=filled.settings)

    assert done.exit_code == 2
    assert "is no instant such as 2026-11-24" in done.output
