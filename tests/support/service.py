"""A running service: `python -m app serve` in a process of its own, on a free port and a directory of its own.

A harness may run a program of its own in place of `app`, which serves the same settings. The process is a fork that has
imported other people's packages already, unless `how="exec"` asks for the interpreter that a user would start.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
import requests

from tests.support.forks import ROOT, Fork, fork
from tests.support.ports import free_port
from tests.support.processes import START_SECONDS

ADMIN_PASSWORD = "correct horse battery"


@dataclass
class Service:
    """One run of the service."""

    url: str
    directory: Path
    env: dict[str, str]
    process: "subprocess.Popen[bytes] | Fork"
    program: str = "app"
    how: str = "fork"

    @property
    def log(self) -> str:
        """Everything it printed, all runs of this directory together."""
        return (self.directory / "service.log").read_text("utf-8", "replace")

    def request(self, method: str, path: str, *, token: str | None = None, **kwargs: Any) -> requests.Response:
        """One request on a connection of its own, so that all workers get their share."""
        headers = {"Authorization": f"Bearer {token}"} if token is not None else {}
        headers |= kwargs.pop("headers", {})
        return requests.request(method, self.url + path, headers=headers, timeout=kwargs.pop("timeout", 20), **kwargs)

    def get(self, path: str, **kwargs: Any) -> requests.Response:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> requests.Response:
        return self.request("POST", path, **kwargs)

    def login(self, username: str = "admin", password: str = ADMIN_PASSWORD) -> dict[str, Any]:
        """A new session's tokens."""
        answer = self.post("/auth/login", json={"username": username, "password": password})
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        return tokens

    def worker_pids(self) -> set[int]:
        """The gunicorn workers of this run, as its log names them."""
        booted = re.findall(r"Booting worker with pid: (\d+)", self.log)
        return {int(pid) for pid in booted if Path(f"/proc/{pid}").exists()}

    def wait_until_ready(self, *, within_seconds: float = START_SECONDS) -> None:
        """Until this very process serves with all its workers; those of a killed one go on for a second or two."""
        deadline = time.monotonic() + within_seconds
        while True:
            listening = re.search(rf"Listening at: \S+ \({self.process.pid}\)", self.log)
            with contextlib.suppress(requests.RequestException):
                all_there = len(self.worker_pids()) >= int(self.env.get("APP_WORKERS", "2"))
                if listening and all_there and self.get("/readyz", timeout=1).status_code == 200:
                    return
            assert self.process.poll() is None, f"the service ended: {self.log}"
            assert time.monotonic() < deadline, f"the service did not start: {self.log}"
            time.sleep(0.05)

    def wait_until_followed(self, store: "redis.Redis") -> None:
        """Until every worker's follower has a lease; each answers requests a moment before."""
        deadline = time.monotonic() + START_SECONDS
        while store.scard("{denylist}:followers") != int(self.env.get("APP_WORKERS", "2")):
            assert time.monotonic() < deadline, f"not every worker follows: {self.log}"
            time.sleep(0.02)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def restart(self, *, stop_with: signal.Signals = signal.SIGTERM) -> None:
        """The same settings and directory in a new process."""
        self.stop(stop_with)
        self.process = started(self.program, self.env, self.directory, how=self.how)
        self.wait_until_ready()


@contextlib.contextmanager
def serving(directory: Path, *, how: str = "fork", **env: str) -> Iterator[Service]:
    """Run the service with these settings until the block ends; by default embedded, SQLite, two gthread workers."""
    with starting(directory, how=how, **env) as service:
        service.wait_until_ready()
        yield service


@contextlib.contextmanager
def starting(directory: Path, *, program: str = "app", how: str = "fork", **env: str) -> Iterator[Service]:
    """The same without waiting for it, so that several can start at once."""
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("APP_", "REVOCATION_"))}
    settings = {
        "APP_BIND": f"127.0.0.1:{port}",
        "APP_DATA_DIR": str(directory / "data"),
        "APP_ADMIN_PASSWORD": ADMIN_PASSWORD,
        "APP_DRAIN_SECONDS": "0",
        # A busy machine is slow; faults are tested with a timeout of their own.
        "REVOCATION_TIMEOUT": "1.0",
        **env,
    }
    env = kept | settings
    process = started(program, env, directory, how=how)
    service = Service(f"http://127.0.0.1:{port}", directory, env, process, program, how)
    try:
        yield service
    finally:
        service.stop()


def started(
    program: str, env: dict[str, str], directory: Path, *, how: str = "fork"
) -> "subprocess.Popen[bytes] | Fork":
    """The process alone, by `fork` or by `exec`; its output is appended to `service.log` of the directory."""
    # gevent has to come before all other packages.
    if how == "fork" and env.get("APP_WORKER_CLASS") != "gevent":
        return fork(program, "serve", env=env, output=directory / "service.log")
    with (directory / "service.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", program, "serve"],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
        )
