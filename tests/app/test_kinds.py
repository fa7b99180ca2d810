"""Kinds of an application's own at the service: listed, revoked by, filtered by, and never taken for others."""

from collections.abc import Iterator

import pytest

from tests.app.api import Api, prepared, settings_for
from tests.support.servers import Server

ISSUER = "https://other.example"


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    told = "org=org_id device*=cnf.jkt"
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("kinds"), REVOCATION_HANDLES=told)) as api:
        yield api


@pytest.fixture(scope="module")
def admin(api: Api) -> str:
    return api.admin()


def test_the_service_says_by_what_can_be_revoked(api: Api, admin: str) -> None:
    kinds = api.get("/admin/kinds", token=admin).get_json()["kinds"]
    assert [(each["kind"], each["unconditional"]) for each in kinds if not each["built_in"]] == [
        ("device", True),
        ("org", False),
    ]
    assert [each["kind"] for each in kinds if each["built_in"] and each["unconditional"]] == ["token", "session", "key"]
    assert api.get("/admin/kinds", token=api.login().access_token).status_code == 403


def test_an_organisation_is_revoked_listed_and_undone(api: Api, admin: str) -> None:
    body = {"kind": "org", "value": "acme", "issuer": ISSUER, "reason": "contract ended"}

    preview = api.post("/admin/revocations", token=admin, json={**body, "dry_run": True}).get_json()
    assert (preview["would_end"], preview["includes_you"]) == ({"sessions": 0, "subjects": 0}, False)
    answer = api.post("/admin/revocations", token=admin, json=body)

    assert answer.status_code == 201
    made = answer.get_json()["revocation"]
    assert (made["kind"], made["value"], made["issued_before"] is None) == ("org", "acme", False)
    assert api.get("/admin/revocations?kind=org", token=admin).get_json()["revocations"] == [made]
    of_handle = f"/admin/revocations?kind=org&value=acme&issuer={ISSUER}"
    assert api.get(of_handle, token=admin).get_json()["revocations"] == [made]
    assert api.delete(f"/admin/revocations/{made['id']}", token=admin).status_code == 200
    assert api.get("/admin/revocations?kind=org", token=admin).get_json()["revocations"] == []


def test_a_device_is_revoked_for_good_and_takes_no_cutoff(api: Api, admin: str) -> None:
    body = {"kind": "device", "value": "phone", "issuer": ISSUER, "reason": "lost"}
    cut = {**body, "issued_before": "2026-01-01T00:00:00Z"}
    for dry_run in (True, False):
        refused = api.post("/admin/revocations", token=admin, json={**cut, "dry_run": dry_run})
        assert refused.status_code == 400
        assert "unconditional" in refused.text
    assert api.post("/admin/revocations", token=admin, json=body).get_json()["revocation"]["issued_before"] is None


@pytest.mark.parametrize("kind", ["team", "head", "everything"])
def test_a_kind_that_nobody_declared_is_told_and_not_taken_for_an_empty_list(api: Api, admin: str, kind: str) -> None:
    body = {"kind": kind, "value": "red", "issuer": ISSUER, "reason": "x"}
    for answer in (
        api.post("/admin/revocations", token=admin, json=body),
        api.post("/admin/revocations", token=admin, json={**body, "dry_run": True}),
        api.get(f"/admin/revocations?kind={kind}", token=admin),
        api.get(f"/admin/revocations?kind={kind}&value=red", token=admin),
    ):
        assert (answer.status_code, answer.get_json()["reason"]) == (400, "invalid")
        assert "Known kinds are token, session, subject, client, key, issuer, device, org." in answer.text
    assert api.get("/admin/revocations?kind=Org", token=admin).status_code == 400
