"""Each contestant does what it is there for, and Locust's users see what a client would."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.deployment import Shape, WrongAnswerError, fleet
from loadtest.results import ROOT, Contestant
from tests.support.servers import Server
from tests.support.service import ADMIN_PASSWORD, Service, serving


def test_contestants_with_a_shared_secret_let_in_whom_they_should_and_nobody_else(
    tmp_path: Path, valkey: Server
) -> None:
    # The small run of everything (test_smoke.py) sees that every contestant is right with a pair of keys.
    names: tuple[Contestant, ...] = ("textbook", "jwt_extended", "bounded", "stateless")
    with fleet(tmp_path, Shape(algorithm="HS256"), names=names, store=valkey) as contestants:
        last = contestants[-1]
        last.name = "strict"
        # One that cannot refuse is not taken for one that can.
        with pytest.raises(WrongAnswerError, match="answers 200 where 401 is right"):
            last.check()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with serving(tmp_path_factory.mktemp("locust")) as service:
        yield service


#: Locust ends by a condition, and by the clock only where the condition never comes true.
_UNTIL_ASKED = """
from locust import events
from loadtest.locustfile import Caller, Leaver

@events.init.add_listener
def watch(environment, **_):
    @environment.events.request.add_listener
    def asked(name, **_):
        if name == {asks!r}:
            environment.runner.quit()
"""


@pytest.mark.parametrize(("user", "asks"), [("Caller", "/api/me"), ("Leaver", "/api/me after logging out")])
def test_the_locustfile_is_right_against_a_running_service(
    user: str, asks: str, service: Service, tmp_path: Path
) -> None:
    locustfile = tmp_path / "until_asked.py"
    locustfile.write_text(_UNTIL_ASKED.format(asks=asks))
    command = [sys.executable, "-m", "locust", "-f", str(locustfile), "--headless"]
    done = subprocess.run(
        [*command, "--host", service.url, "-u", "1", "-t", "60s", "-s", "5", user],
        env=os.environ | {"LOCUST_USERNAME": "admin", "LOCUST_PASSWORD": ADMIN_PASSWORD, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert asks in done.stdout + done.stderr
