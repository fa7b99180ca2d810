"""For those who run it: liveness, readiness, metrics, the lines of the log."""

import json
import logging
import mmap
import re
from pathlib import Path

import pytest

from app import readiness
from app.logs import JsonFormatter
from tests.app.api import Api, another, prepared, settings_for
from tests.support.replicas import PRIMARY_OPTIONS, replica_of
from tests.support.servers import Server, StartServer

INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")


def sample(api: Api, line: str) -> float:
    """A metric's value; 0 where it was never counted."""
    for found in api.get("/metrics").text.splitlines():
        if found.startswith(line + " "):
            return float(found.rpartition(" ")[2])
    return 0.0


def test_health_says_what_is_known_of_the_denylist(api: Api) -> None:
    for path in ("/healthz", "/readyz"):
        answer = api.get(path)
        assert answer.status_code == 200
        body = answer.get_json()
        assert body["status"] == "ok"
        head = api.service.stores.denylist.head()
        assert body["denylist"]["status"] == "ok"
        assert body["denylist"]["epoch"] == head.epoch
        assert INSTANT.fullmatch(body["denylist"]["opened_at"])


def test_a_lost_denylist_is_a_field_of_health_and_no_reason_to_leave(start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with prepared(settings_for(server, tmp_path)) as api:
        server.client().flushall()
        emptied = {path: api.get(path) for path in ("/healthz", "/readyz")}
        server.kill()
        gone = {path: api.get(path) for path in ("/healthz", "/readyz")}

    for answers, status in ((emptied, "empty"), (gone, "unavailable")):
        for answer in answers.values():
            assert (answer.status_code, answer.get_json()["denylist"]["status"]) == (200, status)


def test_a_primary_without_the_replicas_that_must_confirm_is_no_healthy_denylist(
    start_server: StartServer, tmp_path: Path
) -> None:
    """It reads as before, and every strict check is 503."""
    primary = start_server("redis", *PRIMARY_OPTIONS)
    settings = settings_for(primary, tmp_path, REVOCATION_MIN_REPLICAS="1", REVOCATION_TIMEOUT="4")
    with replica_of(primary) as replica, prepared(settings) as api:
        admin = api.admin()
        well = api.get("/healthz").get_json()["denylist"]["status"]
        warnings = api.get("/admin/health", token=admin).get_json()["warnings"]
        (needed,) = [each["what"] + each["why"] for each in warnings if "replicas" in each["what"]]
        replica.fall_behind()
        ill = api.get("/healthz").get_json()["denylist"]["status"]
        assert api.me(admin) == 503

    assert (well, ill) == ("ok", "unavailable")
    assert "each of them is needed" in needed


def test_a_server_that_is_told_to_stop_is_not_ready_but_alive_and_serves(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.get("/readyz").status_code == 200

    monkeypatch.setattr(readiness, "_draining", mmap.mmap(-1, 1))
    readiness.drain()

    answer = api.get("/readyz")
    assert (answer.status_code, answer.get_json()["status"]) == (503, "draining")
    assert api.get("/healthz").status_code == 200
    assert api.me(api.login().access_token) == 200


def test_every_request_and_every_decision_is_counted(api: Api) -> None:
    names = {
        "request": 'app_http_requests_total{method="GET",route="/api/me",status="200"}',
        "unknown": 'app_http_requests_total{method="GET",route="unknown",status="404"}',
        "odd": 'app_http_requests_total{method="other",route="unknown",status="404"}',
        "sign-in": 'app_sign_ins_total{outcome="accepted"}',
        "refused": 'app_sign_ins_total{outcome="refused"}',
        "refresh": 'app_refreshes_total{outcome="accepted"}',
        "reuse": 'app_refreshes_total{outcome="reuse"}',
        "accepted": 'revocation_decisions_total{outcome="accepted",source="redis"}',
        "revoked": 'revocation_decisions_total{outcome="revoked",source="redis"}',
        "expired": 'revocation_decisions_total{outcome="expired",source="none"}',
        "invalid": 'revocation_decisions_total{outcome="invalid",source="none"}',
        "duration": 'app_http_request_duration_seconds_count{route="/api/me"}',
        "revocation": 'revocation_revocations_total{kind="session"}',
    }
    api.service.audit_copier.copy()
    before = {name: sample(api, line) for name, line in names.items()}

    login = api.login()
    api.me(login.access_token)
    api.me(api.expired(login))
    api.me("nonsense")
    api.get("/no/such/path")
    api.ask("BREW", "/no/such/path")
    api.post("/auth/login", json={"username": "nobody", "password": "wrong password"})
    api.refreshed(api.refreshed(login))
    api.let_grace_pass(login)
    api.refresh(login.refresh_token)
    api.me(login.access_token)
    api.service.audit_copier.copy()

    counted = {name: sample(api, line) - before[name] for name, line in names.items()}
    assert counted == {**dict.fromkeys(names, 1), "refresh": 2, "duration": 4}


def test_every_revocation_and_its_undoing_is_counted(api: Api) -> None:
    names = ('revocation_revocations_total{kind="client"}', "revocation_undone_total")
    api.service.audit_copier.copy()
    before = [sample(api, name) for name in names]
    admin = api.admin()

    made = api.revoke(admin, kind="client", value="nightly")
    api.service.audit_copier.copy()
    assert [sample(api, name) - was for name, was in zip(names, before, strict=True)] == [1, 0]
    api.undo(admin, made)
    api.undo(admin, made)  # there is none any more
    api.service.audit_copier.copy()
    assert [sample(api, name) - was for name, was in zip(names, before, strict=True)] == [1, 1]


def test_the_number_of_series_does_not_grow_with_what_is_sent(api: Api) -> None:
    login = api.login()
    api.get("/verify/warm", token=login.access_token)
    api.get("/nowhere/warm")
    # The metrics tell of themselves from the second time on.
    api.get("/metrics")
    before = len(api.get("/metrics").text.splitlines())

    for number in range(50):
        api.get(f"/verify/{number}", token=login.access_token)
        api.get(f"/nowhere/{number}")
        api.ask(f"METHOD{number}", "/nowhere/warm", token=login.access_token)

    # Another method than those there are is one more series.
    assert len(api.get("/metrics").text.splitlines()) <= before + 2


def test_errors_of_every_route_are_counted_from_the_start(api: Api) -> None:
    pattern = r'app_http_requests_total{method="([A-Z]+)",route="(.+?)",status="500"}'
    told = set(re.findall(pattern, api.get("/metrics").text))

    assert {(method, rule.rule) for rule in api.app.url_map.iter_rules() for method in rule.methods or ()} <= told
    assert ("GET", "unknown") in told


def test_the_log_has_one_line_a_request(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    login = api.login()
    caplog.clear()

    api.get("/api/me?secret=x", token=login.access_token, address="192.0.2.3")
    api.get("/verify/some/path")
    api.get("/nowhere")

    lines = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    assert [(one["method"], one["route"], one["status"]) for one in lines] == [
        ("GET", "/api/me", 400),  # which has no such parameter
        ("GET", "/verify/<path:original>", 401),
        ("GET", None, 404),
    ]
    assert lines[0].keys() == {
        *("time", "level", "logger", "message", "method", "route", "status", "duration_ms", "address"),
        *("source", "subject"),
    }
    assert (lines[0]["address"], lines[0]["subject"]) == ("192.0.2.3", login.username)
    assert INSTANT.fullmatch(lines[0]["time"])
    assert lines[0]["duration_ms"] > 0


def test_making_an_app_asks_no_server(valkey: Server, tmp_path: Path) -> None:
    settings = settings_for(valkey, tmp_path)
    with prepared(settings):
        pass

    nothing = {"database_url": "postgresql://127.0.0.1:1/none"}
    with another(settings, **nothing) as app:
        assert app.get("/healthz").status_code == 200
