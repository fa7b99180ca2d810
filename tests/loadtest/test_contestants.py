"""Each contestant does what it is there for, and Locust's users see what a client would."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loadtest.contestants import NAMES
from loadtest.deployment import Shape, WrongAnswerError, deployed
from loadtest.results import ROOT, Contestant
from tests.support.service import ADMIN_PASSWORD, serving


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("algorithm", ["ES256", "HS256"])
def test_a_contestant_lets_in_whom_it_should_and_nobody_else(name: Contestant, algorithm: str, tmp_path: Path) -> None:
    with deployed(name, tmp_path / name, Shape(algorithm=algorithm)) as one:
        one.wait_until_ready()
        one.check()


def test_a_contestant_that_cannot_refuse_is_not_taken_for_one_that_can(tmp_path: Path) -> None:
    with deployed("stateless", tmp_path / "stateless", Shape()) as one:
        one.wait_until_ready()
        one.name = "strict"
        with pytest.raises(WrongAnswerError, match="answers 200 where 401 is right"):
            one.check()


@pytest.mark.parametrize(("user", "asks"), [("Caller", "/api/me"), ("Leaver", "/api/me after logging out")])
def test_the_locustfile_is_right_against_a_running_service(user: str, asks: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "locust", "-f", str(ROOT / "loadtest" / "locustfile.py"), "--headless"]
    with serving(tmp_path) as service:
        done = subprocess.run(
            [*command, "--host", service.url, "-u", "1", "-t", "3s", "-s", "60", user],
            env=os.environ | {"LOCUST_USERNAME": "admin", "LOCUST_PASSWORD": ADMIN_PASSWORD},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert done.returncode == 0, done.stdout + done.stderr
    assert asks in done.stdout + done.stderr
