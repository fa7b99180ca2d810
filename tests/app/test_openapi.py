"""`/openapi.json` names every route, and says of it what the code says."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.audit import AuditRecord
from app.openapi.document import document, routes
from app.routes import demo
from app.routes.admin.audit import AuditRecordJson
from app.routes.formats import ReceiptJson, RevocationJson
from revocation import Handle, MemoryDenylist, formats
from tests.app.api import Api

#: Pages and files, for browsers.
NOT_DESCRIBED = {"pages.static", "playground.entrance", "console.console", "docs.docs"}


@pytest.fixture
def described(api: Api) -> dict[str, Any]:
    found: dict[str, Any] = api.get("/openapi.json").get_json()
    return found


def test_every_route_is_described_or_is_a_page(api: Api) -> None:
    described = {route.rule.endpoint for route in routes(api.app)}
    assert {rule.endpoint for rule in api.app.url_map.iter_rules()} - described == NOT_DESCRIBED


def test_what_only_the_embedded_store_has_is_described_there(api: Api) -> None:
    assert "demo" not in api.app.blueprints
    api.app._got_first_request = False  # or Flask refuses what comes late
    api.app.register_blueprint(demo.routes)
    endpoints = {rule.endpoint for rule in api.app.url_map.iter_rules() if rule.endpoint.startswith("demo.")}
    assert endpoints
    assert endpoints <= {route.rule.endpoint for route in routes(api.app)}
    assert "/demo/strict" in document(api.app, issuer="https://auth.example")["paths"]


def test_what_the_library_and_the_audit_log_make_has_the_members_that_are_described() -> None:
    receipt = MemoryDenylist().revoke(Handle("subject", "ada", issuer="https://auth.example"))
    assert receipt.revocation is not None
    record = AuditRecord(1, datetime.now(UTC), "ada", "user.create", "bob", "", "", None)
    assert formats.revocation_json(receipt.revocation).keys() == RevocationJson.__annotations__.keys()
    assert formats.receipt_json(receipt).keys() == ReceiptJson.__annotations__.keys()
    assert record.members().keys() == AuditRecordJson.__annotations__.keys()


def test_operations_have_names_of_their_own(described: dict[str, Any]) -> None:
    names = [operation["operationId"] for path in described["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    def references(part: Any) -> set[str]:
        if isinstance(part, dict):
            own = {part["$ref"]} if isinstance(part.get("$ref"), str) else set()
            return own.union(*(references(one) for one in part.values()))
        return set().union(*(references(one) for one in part)) if isinstance(part, list) else set()

    named = {f"#/components/schemas/{name}" for name in described["components"]["schemas"]}
    assert references(described) == named


def test_scope_and_dial_are_those_of_the_code(described: dict[str, Any]) -> None:
    operation = described["paths"]["/admin/revocations"]["post"]
    assert operation["security"] == [{"bearer": ["revocation:admin"]}]
    assert operation["x-max-staleness"] == 0
    assert described["paths"]["/api/reports"]["get"]["security"] == [{"bearer": ["reports:read"]}]
    assert "x-max-staleness" not in described["paths"]["/api/me"]["get"]


def test_everybody_may_read_it_from_anywhere(api: Api) -> None:
    answer = api.get("/openapi.json")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.get_json()["openapi"] == "3.1.0"


def test_the_page_in_markdown_names_every_path_and_method() -> None:
    import re

    from app.openapi.__main__ import described, markdown

    titles = re.findall(r"^### ([A-Z, ]+) (/\S*)$", markdown(), re.MULTILINE)
    named = {(path, method.lower()) for methods, path in titles for method in methods.split(", ")}
    assert named == {(path, method) for path, operations in described()["paths"].items() for method in operations}


def test_the_page_names_every_path(api: Api, described: dict[str, Any]) -> None:
    page = api.get("/docs")
    assert page.status_code == 200
    assert [path for path in described["paths"] if path not in page.text] == []
