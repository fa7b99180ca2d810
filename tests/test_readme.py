"""What the first pages show runs: the README, and the two that it leads to, of Flask and of the service."""

import ast
import doctest
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from revocation import DenylistUnavailableError
from revocation.testing import Sandbox
from tests.documents import FLASK, README, SERVICE, blocks, run_session
from tests.support.requirements import require
from tests.support.servers import Server
from tests.support.service import Service, serving


def test_its_python_sessions_run() -> None:
    outcome = doctest.testfile(str(README), module_relative=False, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert outcome.attempted >= 10
    assert outcome.failed == 0


def test_its_python_session_runs_on_a_sandbox_unchanged() -> None:
    """All of it but the two lines that connect to Redis and open the deny-list there."""
    session = doctest.DocTestParser().get_doctest(
        README.read_text("utf-8"), {"denylist": Sandbox().denylist}, README.name, str(README), 0
    )
    ours = [line for line in session.examples if not re.match(r"denylist = |_ = denylist\.open\(", line.source)]
    assert len(ours) == len(session.examples) - 2
    session.examples = ours
    outcome = doctest.DocTestRunner(optionflags=doctest.IGNORE_EXCEPTION_DETAIL).run(session)
    assert outcome.attempted >= 10
    assert outcome.failed == 0


def test_the_first_page_is_short() -> None:
    assert len(README.read_text("utf-8").splitlines()) <= 150


def test_its_python_is_python() -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if not block.startswith(">>>"):
            ast.parse(block)


# The Flask app


@pytest.fixture
def flask_app(tmp_path: Path, valkey: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the README's module, after its commands ran, on a Redis and in a directory of ours."""
    require(shutil.which("openssl"), "openssl is not installed (Debian: apt-get install openssl)")
    monkeypatch.chdir(tmp_path)
    install, *commands = blocks("sh", under="The application", of=FLASK)[0].splitlines()
    assert install.startswith("pip install")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "REVOCATION_NAMESPACE": namespace}
    script = "\n".join(commands).replace("redis://localhost:6379/0", valkey.url)
    subprocess.run(["bash", "-euc", script], env=env, check=True, capture_output=True, timeout=60)
    source = blocks("python", under="The application", of=FLASK)[0]
    ours = f'RedisDenylist(connect("{valkey.url}", timeout_seconds=5), namespace="{namespace}")'
    assert 'RedisDenylist(connect("redis://localhost:6379/0"))' in source
    module: dict[str, Any] = {"__name__": "yours"}
    exec(source.replace('RedisDenylist(connect("redis://localhost:6379/0"))', ours), module)
    return module


def _wait_until_open(sign_in: Callable[[str, str], str]) -> None:
    """The first epoch begins a second ahead, which is what clocks may differ by."""
    deadline = time.monotonic() + 60
    while True:
        try:
            sign_in("ada", "s-0")
        except DenylistUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def test_its_flask_app_signs_in_and_out(flask_app: dict[str, Any]) -> None:
    client, sign_in = flask_app["app"].test_client(), flask_app["sign_in"]
    _wait_until_open(sign_in)

    def status(method: str, path: str, token: str) -> int:
        answer: int = client.open(path, method=method, headers={"Authorization": f"Bearer {token}"}).status_code
        return answer

    token = sign_in("ada", "s-1")
    assert status("GET", "/me", token) == 200
    assert status("POST", "/logout", token) == 204
    assert status("GET", "/me", token) == 401

    older = [sign_in("ada", f"s-{i}") for i in range(2, 5)]
    assert status("POST", "/logout-everywhere", older[0]) == 204
    cut_off = flask_app["denylist"].now_ms()
    while flask_app["denylist"].now_ms() == cut_off:
        pass  # a cut-off covers its whole millisecond
    newer = sign_in("ada", "s-9")
    assert [status("GET", "/me", one) for one in (*older, newer)] == [401, 401, 401, 200]


def test_the_short_flask_app_lets_in_and_logs_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one of the README, with a sandbox in the place of Redis and of keys in a directory."""
    require(shutil.which("openssl"), "openssl is not installed (Debian: apt-get install openssl)")
    sandbox = Sandbox()
    source = blocks("python", under="In Flask")[0]
    made = 'Guard(verifier, RedisDenylist(connect("redis://localhost:6379/0")))'
    assert made in source
    monkeypatch.chdir(tmp_path)
    Path("keys").mkdir()
    subprocess.run(["openssl", "genpkey", "-algorithm", "ED25519", "-out", "keys/first.pem"], check=True, timeout=60)
    module: dict[str, Any] = {"__name__": "yours", "sandbox": sandbox}
    exec(source.replace(made, "sandbox.guard"), module)
    client = module["app"].test_client()
    token = {"Authorization": f"Bearer {sandbox.mint('ada', scope='me', session='s-1')}"}

    assert client.get("/me", headers=token).json == {"sub": "ada"}
    assert client.post("/logout", headers=token).status_code == 204
    assert client.get("/me", headers=token).json["reason"] == "revoked"


@pytest.mark.parametrize(("page", "heading"), [(README, "In Flask"), (FLASK, "The application")])
def test_its_flask_app_passes_a_strict_type_checker(page: Path, heading: str, tmp_path: Path) -> None:
    """Readers paste it into programs that are checked."""
    (tmp_path / "yours.py").write_text(blocks("python", under=heading, of=page)[0])
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", str(tmp_path / "yours.py")]
    done = subprocess.run(command, cwd=README.parent, capture_output=True, text=True, check=False, timeout=150)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# The service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, valkey: Server) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("readme")
    with serving(directory, REVOCATION_REDIS_URL=valkey.url, REVOCATION_NAMESPACE="readme") as service:
        yield service


def test_its_session_with_curl_prints_what_it_shows(service: Service, tmp_path: Path) -> None:
    require(shutil.which("curl"), "curl is not installed (Debian: apt-get install curl)")
    [session] = blocks("console", under="Start it, and take a token back", of=SERVICE)
    run_session(session, env=os.environ, directory=tmp_path, replacing={"http://127.0.0.1:8000": service.url})
