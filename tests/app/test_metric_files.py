"""The metrics of each server live in memory, and are its own."""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

import pytest

from app import metric_files as place
from app.metric_files import metric_files
from tests.support.processes import end, spawned

#: Has a directory until its standard input ends, and a child that lives on where it is killed.
SERVER = """
import os, sys, time
from app.metric_files import metric_files
with metric_files() as files:
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    print(files, child, flush=True)
    sys.stdin.read()
    os.kill(child, 9)
    os.waitpid(child, 0)
"""


@pytest.fixture(autouse=True)
def _is_linux() -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("this system has no /dev/shm")


@contextlib.contextmanager
def server() -> "Iterator[tuple[subprocess.Popen[str], Path, int]]":
    command = [sys.executable, "-c", SERVER]
    root = Path(place.__file__).parents[1]
    with spawned(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=root) as process:
        directory, child = cast("IO[str]", process.stdout).readline().split()
        yield process, Path(directory), int(child)


def test_each_server_has_files_of_its_own_and_takes_them_along() -> None:
    with metric_files() as first, metric_files() as second:
        assert first is not None
        assert second is not None
        assert first != second
        (second / "counter_1.db").touch()
        assert place._is_in_memory(second)
        assert second.stat().st_mode & 0o077 == 0
        with metric_files():
            assert (second / "counter_1.db").exists()
    assert not first.exists()
    assert not second.exists()


def test_what_a_killed_server_left_behind_goes_once_its_workers_have_ended() -> None:
    with server() as (process, directory, child):
        end(process)
        try:
            with metric_files():
                assert directory.exists(), "a worker still counts there"
        finally:
            os.kill(child, signal.SIGKILL)
        _until_ended(child)
        with metric_files():
            assert not directory.exists()


def test_a_server_that_runs_keeps_its_files_when_another_one_starts_and_ends() -> None:
    with server() as (process, directory, _):
        with metric_files():
            assert directory.exists()
        assert directory.exists()
        process.communicate(timeout=30)
        assert not directory.exists()


def test_where_nothing_is_in_memory_or_has_room_there_are_no_files(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as small:
        small.setattr(place, "_ROOM_BYTES", 2**62)
        with metric_files() as none:
            assert none is None
    monkeypatch.setattr(place, "_IN_MEMORY", ())
    with metric_files() as none:
        assert none is None
    assert not place._is_in_memory(Path("/proc"))


def _until_ended(pid: int) -> None:
    """Until the kernel has closed what a process had open; whoever adopted it may take its time to wait for it."""
    with contextlib.suppress(ProcessLookupError), contextlib.closing(os.fdopen(os.pidfd_open(pid), "rb", 0)) as ended:
        import select

        assert select.select([ended], [], [], 30)[0]
