"""A running service with a client registered at it, and the npm packages that talk to it."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.requirements import require
from tests.support.servers import Server
from tests.support.service import Service, serving

NODE = Path(__file__).parent / "node"

#: Below it a Node has no `crypto` in its global scope, which both packages use.
_OLDEST_NODE = 20


@dataclass(frozen=True)
class Registered:
    """A confidential client of the service."""

    client_id: str
    client_secret: str


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory, valkey: Server) -> Iterator[Service]:
    """The service on a Valkey, in a namespace of its own."""
    directory = tmp_path_factory.mktemp("clients")
    with serving(directory, REVOCATION_REDIS_URL=valkey.url, REVOCATION_NAMESPACE="clients") as service:
        yield service


@pytest.fixture(scope="session")
def registered(service: Service) -> Registered:
    return register(service, scope="reports:read reports:write")


def register(service: Service, *, scope: str) -> Registered:
    """A new client, made as an admin makes one."""
    token = service.login()["access_token"]
    answer = service.post("/admin/clients", token=token, json={"name": "nightly reports", "scope": scope})
    assert answer.status_code == 201, answer.text
    return Registered(answer.json()["client_id"], answer.json()["client_secret"])


@pytest.fixture(scope="session")
def node() -> str:
    """The path of node, where the packages of tests/clients/node are installed."""
    program, npm = shutil.which("node"), shutil.which("npm")
    require(program and npm, "node and npm are not installed (Debian: apt-get install nodejs npm)")
    version = subprocess.run(
        [str(program), "--version"], capture_output=True, text=True, check=True, timeout=60
    ).stdout.strip()
    require(int(version[1:].split(".")[0]) >= _OLDEST_NODE, f"node is {version}, the packages need {_OLDEST_NODE}")
    _install(str(npm), version)
    return str(program)


def _install(npm: str, version: str) -> None:
    """`npm ci`, once for all test processes."""
    wanted = hashlib.sha256((NODE / "package-lock.json").read_bytes() + version.encode()).hexdigest()
    stamp = NODE / "node_modules" / ".installed"
    directory = os.open(NODE, os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == wanted:
            return
        done = subprocess.run(
            [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=NODE,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        require(done.returncode == 0, f"npm ci failed: {done.stderr[-500:]}")
        stamp.write_text(wanted)
    finally:
        os.close(directory)
