"""Nothing waits for ever: neither a test that hangs, nor a line of code that waits for something else."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.documents import ROOT

PACKAGES = ("revocation", "app", "loadtest", "tests")

#: Methods that wait until something else happens, and the number of positional arguments with which they have a limit.
METHODS = {"wait": 1, "communicate": 2, "join": 1, "result": 1}

#: Functions that wait without a limit where they are given no `timeout`.
FUNCTIONS = {
    *(f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")),
    *(f"requests.{name}" for name in ("request", "get", "post", "put", "patch", "delete", "head")),
    *("urllib.request.urlopen", "socket.create_connection", "http.client.HTTPConnection"),
}

HANGS = """
import threading

def test_that_hangs():
    threading.Event().wait()

def test_that_takes_no_exception_for_an_answer():
    while True:
        try:
            threading.Event().wait()
        except BaseException:
            pass

def test_that_ends():
    pass
"""


def without_limit(source: str) -> Iterator[int]:
    """The lines of a module that wait, perhaps for ever."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.With) and any(_called(item.context_expr) == "subprocess.Popen" for item in node.items):
            yield node.lineno
        if not isinstance(node, ast.Call) or any(word.arg in ("timeout", None) for word in node.keywords):
            continue
        method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
        if _called(node) in FUNCTIONS or (method in METHODS and len(node.args) < METHODS[method]):
            yield node.lineno


def _called(node: ast.expr) -> str:
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


@pytest.mark.parametrize(
    "line",
    [
        "process.wait()",
        "process.communicate()",
        "thread.join()",
        "future.result()",
        "subprocess.run(command, check=True)",
        "requests.get(url)",
        "socket.create_connection(address)",
        "with subprocess.Popen(command) as process: pass",
    ],
)
def test_a_wait_without_a_limit_is_found(line: str) -> None:
    assert list(without_limit(f"\n{line}\n")) == [2]


def test_every_wait_has_a_limit() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        for line in without_limit(path.read_text("utf-8"))
    ]
    assert not found


def test_the_suite_has_a_limit_for_each_test(pytestconfig: pytest.Config) -> None:
    kind, hard = float(pytestconfig.getini("timeout")), float(pytestconfig.getini("faulthandler_timeout"))
    assert 0 < kind < hard
    assert pytestconfig.getini("timeout_method") == "signal"
    assert pytestconfig.getini("faulthandler_exit_on_timeout")


def test_a_test_that_hangs_is_ended_and_the_others_go_on(tmp_path: Path) -> None:
    module = tmp_path / "test_hanging.py"
    module.write_text(HANGS)
    done = _pytest(
        "-n", "1", "-o", "timeout=1", "-o", "faulthandler_timeout=3", "--rootdir", str(tmp_path), str(module)
    )

    assert done.returncode == 1
    assert "2 failed, 1 passed" in done.stdout
    assert "Failed: Timeout (>1.0s) from pytest-timeout" in done.stdout
    assert "crashed while running 'test_hanging.py::test_that_takes_no_exception_for_an_answer'" in done.stdout


def test_what_the_parent_ignores_does_not_reach_the_processes_under_test() -> None:
    """nohup ignores SIGHUP, and a shell ignores SIGINT and SIGQUIT for a job in the background.

    The tests that run here interrupt a child, and would wait for one that ignores it.
    """
    done = _pytest(
        "tests/revocation/test_cli.py::test_ctrl_c_ends_watch_quietly",
        "tests/revocation/test_embedded.py::test_an_owner_that_is_interrupted_stops_the_server",
        under=("sh", "-c", 'trap "" INT QUIT TERM CHLD HUP; exec "$0" "$@"'),
    )

    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def _pytest(*arguments: str, under: tuple[str, ...] = ()) -> "subprocess.CompletedProcess[str]":
    """A run of its own under the settings of this one, with the plugins that it needs and no others: it starts fast."""
    command = [*under, sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    return subprocess.run(
        [*command, "-p", "pytest_timeout", "-p", "xdist.plugin", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
