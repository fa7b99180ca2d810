"""The disk of the data directory fills up with something else, and is emptied again."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.conftest import ADMIN, patiently
from tests.stories.workers import statuses, workers
from tests.support.disks import Disk, small_disk
from tests.support.servers import Server, short_directory
from tests.support.service import Service, serving


@pytest.fixture
def disk() -> Iterator[Disk]:
    with short_directory() as directory, small_disk(directory / "disk") as disk:
        yield disk


def test_checks_need_no_disk_and_no_worker_dies_of_its_metrics(disk: Disk, tmp_path: Path, valkey: Server) -> None:
    """Mapped into memory, a file without room is a SIGBUS for whoever writes it."""
    env = {"APP_DATA_DIR": str(disk.path), "REVOCATION_REDIS_URL": valkey.url, "REVOCATION_NAMESPACE": "full-disk"}
    with serving(tmp_path, **env) as service:
        token = service.login()["access_token"]
        before = workers(service)
        disk.fill()

        # Routes and outcomes that nobody has counted before need room in the files of the metrics.
        assert statuses(service, "/api/me", token) == {200}
        assert statuses(service, "/api/reports", token) == {200}
        assert statuses(service, "/verify", token) <= {200, 204}
        assert statuses(service, "/nothing/here", token) == {404}
        assert statuses(service, "/api/me", "no token") == {401}
        assert 'app_http_requests_total{method="GET",route="/api/me",status="401"}' in service.get("/metrics").text
        patiently(lambda: service.post("/auth/logout", token=token), 200)
        assert statuses(service, "/api/me", token) == {401}
        assert workers(service) == before

        disk.empty()
        assert patiently(lambda: service.post("/auth/login", json=ADMIN), 200)


def test_an_embedded_store_on_a_full_disk_refuses_and_comes_back_with_all_that_it_acknowledged(
    disk: Disk, tmp_path: Path
) -> None:
    with serving(tmp_path, APP_DATA_DIR=str(disk.path)) as service:
        revoked, token = service.login()["access_token"], service.login()["access_token"]
        assert service.post("/auth/logout", token=revoked).status_code == 200
        before = workers(service)
        disk.fill()
        _until_refused(service, token)
        assert service.get("/api/me", token=revoked).status_code in (401, 503)
        assert workers(service) == before

        disk.empty()
        patiently(lambda: service.get("/api/me", token=token), 200)
        assert statuses(service, "/api/me", revoked) == {401}
        assert workers(service) == before
    assert "The embedded Valkey has ended" in service.log
    assert "serves again" in service.log


def _until_refused(service: Service, token: str) -> None:
    """Until a write has met the full disk."""
    deadline = time.monotonic() + 30
    while service.post("/auth/login", json={"username": "admin", "password": "wrong"}).status_code != 503:
        assert time.monotonic() < deadline, service.log
