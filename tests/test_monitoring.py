"""What monitoring/ asks for is what the service exports, and docs/operating.md names all of it."""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # it has none, and this reads three files
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.support.command import PROGRAM, environment
from tests.support.servers import running
from tests.support.service import Service, serving

ROOT = Path(__file__).parents[1]
MONITORING = ROOT / "monitoring"
OPERATING = ROOT / "docs" / "operating.md"

#: A metric of ours in PromQL, with its matchers.
_SELECTOR = re.compile(r"\b((?:revocation|app)_[a-z_]+)(?:\{(.*?)\})?")
_MATCHER = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')


def _rules() -> list[dict[str, Any]]:
    [group] = yaml.safe_load((MONITORING / "alerts.yml").read_text("utf-8"))["groups"]
    rules: list[dict[str, Any]] = group["rules"]
    return rules


def _dashboard() -> dict[str, Any]:
    [file] = (MONITORING / "grafana" / "dashboards").glob("*.json")
    found: dict[str, Any] = json.loads(file.read_text("utf-8"))
    return found


def _expressions() -> list[str]:
    shown = [target["expr"] for panel in _dashboard()["panels"] for target in panel["targets"]]
    return [*shown, *(rule["expr"] for rule in _rules())]


def _compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    return found


# A service that has seen everything once


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with running("valkey") as store:
        env = {"REVOCATION_REDIS_URL": store.url, "APP_WORKERS": "2"}
        with serving(tmp_path_factory.mktemp("monitored"), **env) as service:
            token = _use_everything(service)
            with store.paused():
                _until(lambda: service.get("/api/me", token=token).status_code == 503)
            yield service


def _use_everything(service: Service) -> str:
    """See to it that every outcome is counted that can be; returns a token that is good."""
    tokens = service.login()
    rotated = service.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]}).json()
    service.post("/auth/refresh", json={"refresh_token": rotated["refresh_token"]})
    service.post("/auth/refresh", json={"refresh_token": tokens["refresh_token"]})  # two behind: reuse
    token: str = service.login()["access_token"]
    undone = _revoke(service, token, kind="session", value="s-1")
    service.request("DELETE", f"/admin/revocations/{undone}?reason=mistake", token=token)
    _revoke(service, token, kind="key", value="a-key-of-old")
    _revoke(service, token, kind="issuer", issuer="https://elsewhere.example")
    for _ in range(11):
        service.post("/auth/login", json={"username": "nobody", "password": "a wrong password"})
    return token


def _revoke(service: Service, token: str, **body: str) -> str:
    json = {"reason": "test", "even_if_unknown": True, **body}
    answer = service.post("/admin/revocations", token=token, json=json)
    assert answer.status_code == 201, answer.text
    made: str = answer.json()["revocation"]["id"]
    return made


def _until(holds: Callable[[], bool], *, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "this did not come true"
        time.sleep(0.05)


def _samples(service: Service) -> list[Sample]:
    families = text_string_to_metric_families(service.get("/metrics").text)
    return [sample for family in families for sample in family.samples]


def test_everything_that_is_asked_for_is_exported(service: Service) -> None:
    samples = _samples(service)
    asked = [selector for expression in _expressions() for selector in _SELECTOR.findall(expression)]
    assert len(asked) > 25
    for name, matchers in asked:
        found = [sample for sample in samples if sample.name == name]
        assert found, name
        for label, operator, value in _MATCHER.findall(matchers):
            there = {sample.labels[label] for sample in found}
            if operator in ("=", "=~"):
                for one in value.split("|"):
                    assert any(re.fullmatch(one, each) for each in there), f"{name}: no {label} {one} among {there}"


def test_an_alarm_sees_the_first_event(tmp_path: Path) -> None:
    """A counter that first shows up at 1 has not increased, so each one that a rule watches is there before."""
    counted = re.compile(rf"(?:increase|rate)\({_SELECTOR.pattern}")
    watched = [selector for rule in _rules() for selector in counted.findall(rule["expr"])]
    assert len(watched) > 7
    with serving(tmp_path) as service:
        samples = _samples(service)
    for name, matchers in watched:
        found = [sample for sample in samples if sample.name == name and not name.endswith("_bucket")]
        assert found or name.endswith("_bucket"), name
        for label, operator, value in _MATCHER.findall(matchers) if found else ():
            assert operator in ("=", "=~")
            for one in value.split("|"):
                assert one in {sample.labels[label] for sample in found}, f"{name}: no {label} {one}"


def test_what_is_grouped_by_is_a_label(service: Service) -> None:
    samples = _samples(service)
    for expression in _expressions():
        names = {name for name, _ in _SELECTOR.findall(expression)}
        labels = {label for sample in samples if sample.name in names for label in sample.labels}
        wanted = {word.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for word in group.split(",")}
        assert wanted <= labels | {"instance"}, expression


def test_the_documentation_names_every_metric_and_no_other(service: Service) -> None:
    exported = {
        re.sub(r"_(bucket|count|sum|created)$", "", sample.name) if "duration" in sample.name else sample.name
        for sample in _samples(service)
    }
    named = re.findall(r"^\| `((?:revocation|app)_[a-z_]+)`", OPERATING.read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(exported)


def test_the_documentation_names_every_alert() -> None:
    text = OPERATING.read_text("utf-8")
    assert [rule["alert"] for rule in _rules() if f"`{rule['alert']}`" not in text] == []


# Revocations of others


def test_everyone_revoked_at_a_command_line_is_counted_for_the_alarm(service: Service) -> None:
    [rule] = [rule for rule in _rules() if rule["alert"] == "EveryoneRevoked"]
    [(name, matchers)] = _SELECTOR.findall(rule["expr"])
    [(_, _, kinds)] = _MATCHER.findall(matchers)

    def seen() -> float:
        return sum(
            one.value for one in _samples(service) if one.name == name and one.labels["kind"] in kinds.split("|")
        )

    before = seen()
    url = service.env["REVOCATION_REDIS_URL"]
    command = [*PROGRAM, "revoke", "--kind", "issuer", "--issuer", "https://another.example", "--yes"]
    subprocess.run(command, env=environment({"REVOCATION_REDIS_URL": url}), cwd=ROOT, check=True, timeout=60)

    _until(lambda: seen() == before + 1)


# The oldest follower


def _synced(service: Service) -> float:
    [found] = [one for one in _samples(service) if one.name == "revocation_follower_synced_timestamp_seconds"]
    return found.value


def test_the_oldest_follower_is_a_workers_and_not_the_parent_that_has_none(tmp_path: Path) -> None:
    with serving(tmp_path, APP_WORKERS="3") as service:
        _until(lambda: _synced(service) > time.time() - 5)

        one = min(service.worker_pids())
        os.kill(one, signal.SIGSTOP)
        try:
            _until(lambda: _synced(service) < time.time() - 2)  # one that hangs is the oldest
        finally:
            os.kill(one, signal.SIGKILL)
        _until(lambda: _synced(service) > time.time() - 1)  # one that is gone is not


def test_where_nobody_follows_there_is_no_age(tmp_path: Path) -> None:
    with serving(tmp_path, REVOCATION_MAX_STALENESS="0") as service:
        assert service.get("/api/me", token=service.login()["access_token"]).status_code == 200
        names = {sample.name for sample in _samples(service)}
        assert "revocation_decisions_total" in names
        assert "revocation_follower_synced_timestamp_seconds" not in names


# The files


def test_what_compose_mounts_is_there() -> None:
    mounts = [
        volume.split(":")[0]
        for name in ("prometheus", "grafana")
        for volume in _compose()["services"][name]["volumes"]
        if volume.startswith("./")
    ]
    assert len(mounts) == 4
    assert [mount for mount in mounts if not (ROOT / mount).exists()] == []


def test_prometheus_reads_a_service_of_compose_and_grafana_reads_prometheus() -> None:
    services = _compose()["services"]
    config = yaml.safe_load((MONITORING / "prometheus.yml").read_text("utf-8"))
    [scraped] = config["scrape_configs"]
    [target] = scraped["static_configs"][0]["targets"]
    assert target.partition(":")[0] in services
    assert f'up{{job="{scraped["job_name"]}"}}' in {rule["expr"].partition(" ==")[0] for rule in _rules()}

    [source] = yaml.safe_load((MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert {panel["datasource"]["uid"] for panel in _dashboard()["panels"]} == {source["uid"]}


def test_monitoring_is_published_to_this_machine_only_and_started_only_when_asked_for() -> None:
    for name in ("prometheus", "grafana"):
        service = _compose()["services"][name]
        assert service["profiles"] == ["monitoring"]
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
