"""Each contestant does what it is there for, and Locust's users see what a client would."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from loadtest.contestants import Name
from loadtest.population import Population
from loadtest.server import ROOT, WrongAnswerError, serving, setup_on, store
from tests.support.ports import free_port
from tests.support.processes import START_SECONDS, spawned
from tests.support.service import ADMIN_PASSWORD, Service
from tests.support.service import serving as serving_app


def test_contestants_with_a_shared_secret_let_in_whom_they_should_and_nobody_else(tmp_path: Path) -> None:
    # The small run of everything (test_run.py) sees that every contestant is right with a pair of keys.
    names: tuple[Name, ...] = ("textbook", "joserfc", "jwt_extended", "bounded", "stateless")
    with store() as valkey:
        setup = setup_on(valkey, algorithm="HS256")
        population = Population(setup)
        with serving(setup, tmp_path, names=names) as servers:
            for server in servers.values():
                server.check(population.token())
            last = servers["stateless"]
            last.name = "strict"
            # One that cannot refuse is not taken for one that can.
            with pytest.raises(WrongAnswerError, match="answers 200 where 401 is right"):
                last.check(population.token())


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving_app(tmp_path_factory.mktemp("locust")) as service:
        yield service


LOCUST = [sys.executable, "-m", "locust"]

#: Locust ends by a condition, and by the clock only where the condition never comes true.
_UNTIL_REPLACED = """
from locust import events
from loadtest.locustfile import Owner

@events.init.add_listener
def watch(environment, **_):
    asked = []
    @environment.events.request.add_listener
    def ask(name, **_):
        asked.append(name)
        if asked[-2:] == ["/auth/refresh", "/api/me"]:
            assert asked == ["/auth/login", "/api/me", "/api/me", "/auth/refresh", "/api/me"], asked
            environment.runner.quit()
"""


def test_a_token_is_used_so_many_times_and_then_replaced(service: Service, tmp_path: Path) -> None:
    locustfile = tmp_path / "until_replaced.py"
    locustfile.write_text(_UNTIL_REPLACED)
    options = ["--accounts", "admin", "--account-password", ADMIN_PASSWORD, "--uses", "2", "--logouts", "0"]
    done = subprocess.run(
        [
            *LOCUST,
            "-f",
            str(locustfile),
            "--headless",
            "--host",
            service.url,
            "-u",
            "1",
            "-t",
            "60s",
            "-s",
            "5",
            *options,
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "/auth/refresh" in done.stdout + done.stderr


def test_the_web_ui_has_the_options_and_a_token_is_refused_after_logging_out(service: Service) -> None:
    url = f"http://127.0.0.1:{(port := free_port())}"
    command = [*LOCUST, "-f", "loadtest/locustfile.py", "--web-host", "127.0.0.1", "--web-port", str(port)]
    form = {"user_count": "1", "spawn_rate": "1", "host": service.url, "accounts": "admin", "uses": "1", "logouts": "1"}
    name = "/api/me after logging out"
    with spawned(command, cwd=ROOT, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        deadline = time.monotonic() + START_SECONDS
        page = ""
        while "account_password" not in page:
            assert time.monotonic() < deadline, f"the web UI has not these options: {page}"
            time.sleep(0.05)
            try:
                page = requests.get(url, timeout=5).text
            except requests.ConnectionError:
                continue
        assert all(f'"{option}"' in page for option in ("accounts", "path", "uses", "logouts"))
        assert ADMIN_PASSWORD not in page

        requests.post(f"{url}/swarm", data=form | {"account_password": ADMIN_PASSWORD}, timeout=20).raise_for_status()
        seen: dict[str, int] = {}
        while name not in seen:
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
            told = requests.get(f"{url}/stats/requests", timeout=20).json()["stats"]
            seen = {row["name"]: row["num_failures"] for row in told if row["num_requests"]}

    assert seen.keys() >= {"/auth/login", "/api/me", "/auth/logout", name}
    assert not any(seen.values()), seen
