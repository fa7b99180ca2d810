"""Programs of this tree, forked from a process that has imported other people's packages already.

Importing them takes three quarters of the computing of a start. The program itself is imported anew by each fork, and
everything else is as with `python -m`: its arguments, environment, directory and signals, and how it ends.
"""

import atexit
import contextlib
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from multiprocessing.process import BaseProcess, _children  # type: ignore[attr-defined]
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

#: It is imported by the process that is forked, and by no other.
_PRELOADED: Final = "tests.support.preloaded"

_STARTING: Final = threading.Lock()


class Fork:
    """A program that runs, with those members of subprocess.Popen that the tests use."""

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        assert process.pid is not None
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


def fork(module: str, *arguments: str, env: Mapping[str, str], output: Path, errors: Path | None = None) -> Fork:
    """`python -m module arguments ...`, whose output is appended to a file, its errors to the same or to another."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    output.touch()
    order = (module, arguments, dict(env), output, errors or output)
    process = context.Process(target=_run, args=order, name=module)
    with _STARTING:
        process.start()
        # multiprocessing would ask for its status whenever another one starts, and wait for it in the end.
        _children.discard(process)
    return Fork(process)


def done(
    module: str, *arguments: str, env: Mapping[str, str], timeout_seconds: float
) -> "subprocess.CompletedProcess[str]":
    """What came of `python -m module arguments ...`, which must end by itself within the limit."""
    with tempfile.TemporaryDirectory() as directory:
        output, errors = Path(directory) / "output", Path(directory) / "errors"
        process = fork(module, *arguments, env=env, output=output, errors=errors)
        try:
            code = process.wait(timeout_seconds)
        finally:
            process.kill()
        return subprocess.CompletedProcess([module, *arguments], code, output.read_text(), errors.read_text())


def _run(module: str, arguments: tuple[str, ...], env: dict[str, str], output: Path, errors: Path) -> None:
    """Become the program, in the fork."""
    for path, target in ((output, 1), (errors, 2)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.dup2(opened, target)
        os.close(opened)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(ROOT)
    sys.path[0] = str(ROOT)
    sys.argv[1:] = arguments
    sys.orig_argv = [sys.executable, "-m", module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    finally:
        # The processes of multiprocessing end without what a program has asked for at its end.
        atexit._run_exitfuncs()
