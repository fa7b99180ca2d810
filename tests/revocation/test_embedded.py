"""EmbeddedServer: one Valkey per data directory, whoever dies."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, cast

import pytest
import redis

from revocation import ConfigurationError, EmbeddedServer, Handle, RedisDenylist, connect
from revocation.denylist import UNCONDITIONAL
from revocation.redis.embedded import socket_path
from tests.support.processes import end, spawned
from tests.support.servers import binary, plain
from tests.support.tokens import ISSUER

SESSION = Handle("session", "s-1", issuer=ISSUER)


@pytest.fixture(autouse=True)
def _needs_the_wheel() -> None:
    binary("valkey")


@pytest.fixture
def directory() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="rv-") as name:
        path = Path(name)
        try:
            yield path
        finally:
            for each in (path, *path.iterdir()):
                EmbeddedServer(each).stop()


def client_of(directory: Path) -> RedisDenylist:
    return RedisDenylist(connect(f"embedded:{directory}", timeout_seconds=10))


def pid_of(directory: Path) -> int:
    """The process of the server that serves. Raises RedisError also where it still loads its data."""
    with contextlib.closing(plain(connect(f"embedded:{directory}", timeout_seconds=10))) as client:
        client.ping()
        return int(client.info("server")["process_id"])


#: Owns the server of a directory until its standard input ends; says first whether it does.
OWNER = """
import sys
from revocation import EmbeddedServer
with EmbeddedServer(sys.argv[1]).owned() as mine:
    print(mine, flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def owner(directory: Path) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    """Another process that tries to own the server, and what it says."""
    command = [sys.executable, "-c", OWNER, str(directory)]
    with spawned(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        yield process, cast("IO[str]", process.stdout).readline().strip()


def test_a_server_is_started_and_stopped(directory: Path) -> None:
    server = EmbeddedServer(directory)
    assert not server.answers()

    with server.owned() as mine:
        assert mine
        assert server.answers()
        denylist = RedisDenylist(connect(server.url, timeout_seconds=10))
        denylist.open(accept_existing=True)
        denylist.revoke(SESSION)
        assert denylist.latest_cutoff([SESSION]) == UNCONDITIONAL

    assert not server.answers()
    assert not socket_path(directory).exists()


def test_it_forgets_nothing_evicts_nothing_and_opens_no_port(directory: Path) -> None:
    with EmbeddedServer(directory).owned(), contextlib.closing(plain(connect(f"embedded:{directory}"))) as client:
        wanted = {
            "port": "0",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory-policy": "noeviction",
            "save": "",
            "unixsocketperm": "700",
        }
        assert {name: client.config_get(name)[name] for name in wanted} == wanted
        assert socket_path(directory).stat().st_mode & 0o777 == 0o700


def test_what_was_revoked_stays_so_over_a_restart(directory: Path) -> None:
    with EmbeddedServer(directory).owned():
        denylist = client_of(directory)
        epoch, _ = denylist.open(accept_existing=True)
        denylist.revoke(SESSION)
        denylist.link.client.close()

    with EmbeddedServer(directory).owned():
        assert client_of(directory).latest_cutoff([SESSION]) == UNCONDITIONAL
        assert client_of(directory).head().epoch == epoch.epoch


def test_what_was_acknowledged_survives_a_crash_of_the_server(directory: Path) -> None:
    with owner(directory) as (_, said):
        assert said == "True"
        denylist = client_of(directory)
        denylist.open(accept_existing=True)
        handles = [Handle("token", f"t{number}", issuer=ISSUER) for number in range(50)]
        for handle in handles:
            denylist.revoke(handle)
        os.kill(pid_of(directory), signal.SIGKILL)

    with EmbeddedServer(directory).owned():
        cutoffs = client_of(directory).latest_cutoffs([[handle] for handle in handles])
    assert cutoffs == [UNCONDITIONAL] * 50


def test_a_second_owner_is_told_so_and_leaves_the_server_alone(directory: Path) -> None:
    with owner(directory) as (_, said):
        assert said == "True"
        with EmbeddedServer(directory).owned() as mine:
            assert mine is False
        assert EmbeddedServer(directory).answers()
        with owner(directory) as (_, said_too):
            assert said_too == "False"
        assert EmbeddedServer(directory).answers()


def test_a_second_owner_in_the_same_process_is_told_so_and_does_not_give_the_lock_away(directory: Path) -> None:
    with EmbeddedServer(directory).owned() as mine:
        assert mine
        with EmbeddedServer(directory).owned() as mine_too:
            assert mine_too is False
        assert EmbeddedServer(directory).answers()
        with owner(directory) as (_, said):
            assert said == "False"
    with EmbeddedServer(directory).owned() as mine:
        assert mine


def test_a_server_whose_owner_was_killed_is_adopted(directory: Path) -> None:
    with owner(directory) as (process, _):
        denylist = client_of(directory)
        denylist.open(accept_existing=True)
        denylist.revoke(SESSION)
        before = pid_of(directory)
        end(process)
        assert EmbeddedServer(directory).answers()

    with EmbeddedServer(directory).owned() as mine:
        assert mine
        assert pid_of(directory) == before
        assert denylist.latest_cutoff([SESSION]) == UNCONDITIONAL
    assert not EmbeddedServer(directory).answers()


def crash(directory: Path) -> int:
    """End the server as a crash does; its process id."""
    pid = pid_of(directory)
    os.kill(pid, signal.SIGKILL)
    return pid


def shut_down(directory: Path) -> int:
    """End the server as somebody at a terminal does, which takes its socket away; its process id."""
    pid = pid_of(directory)
    with contextlib.closing(plain(connect(f"embedded:{directory}", timeout_seconds=10))) as client:
        client.shutdown(nosave=True)
    return pid


def until_another_serves(directory: Path, ended: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(redis.RedisError):
            if pid_of(directory) != ended:
                return
        assert time.monotonic() < deadline, "the server does not come back"
        time.sleep(0.02)


@pytest.mark.parametrize("ending", [crash, shut_down])
def test_a_server_that_ends_is_started_again_with_all_that_it_knew(
    directory: Path, ending: Callable[[Path], int], caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedServer(directory).owned():
        denylist = client_of(directory)
        denylist.open(accept_existing=True)
        denylist.revoke(SESSION)
        for _ in range(2):
            until_another_serves(directory, ending(directory))

        assert client_of(directory).latest_cutoff([SESSION]) == UNCONDITIONAL
    assert not EmbeddedServer(directory).answers()
    assert [record.levelname for record in caplog.records if "has ended" in record.getMessage()] == ["ERROR"] * 2


def test_a_server_that_was_adopted_is_started_again_too(directory: Path) -> None:
    with owner(directory) as (process, _):
        end(process)
    with EmbeddedServer(directory).owned() as mine:
        assert mine
        until_another_serves(directory, crash(directory))
    assert not EmbeddedServer(directory).answers()


def test_a_server_that_hangs_is_not_doubled(directory: Path) -> None:
    """Two servers would write the same append-only file."""
    with EmbeddedServer(directory).owned():
        pid = pid_of(directory)
        os.kill(pid, signal.SIGSTOP)
        try:
            assert not EmbeddedServer(directory)._has_ended()
        finally:
            os.kill(pid, signal.SIGCONT)
        assert pid_of(directory) == pid


def test_a_server_that_does_not_start_again_is_tried_until_it_does(
    directory: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedServer(directory).owned():
        client_of(directory).open(accept_existing=True)
        files, aside = directory / "valkey" / "appendonlydir", directory / "aside"
        pid = pid_of(directory)
        os.kill(pid, signal.SIGSTOP)
        files.rename(aside)
        files.write_text("in the way")
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 30
        while not any("does not start" in record.getMessage() for record in caplog.records):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        files.unlink()
        aside.rename(files)
        until_another_serves(directory, pid)

        assert client_of(directory).head().epoch


def test_an_owner_that_is_interrupted_stops_the_server(directory: Path) -> None:
    with owner(directory) as (process, _):
        process.send_signal(signal.SIGINT)
        process.wait(30)

        assert not EmbeddedServer(directory).answers()


def test_a_socket_that_was_left_behind_is_no_obstacle(directory: Path) -> None:
    with owner(directory) as (process, _):
        server_pid = pid_of(directory)
        end(process)
        os.kill(server_pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while EmbeddedServer(directory).answers():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert socket_path(directory).exists()

    with EmbeddedServer(directory).owned() as mine:
        assert mine
        assert EmbeddedServer(directory).answers()


def test_a_directory_may_have_a_long_path(directory: Path) -> None:
    deep = directory.joinpath("a", *["deep" * 10] * 4)
    path = socket_path(deep)
    assert len(os.fsencode(path)) <= 100
    assert deep not in path.parents
    assert socket_path(deep.parent) != path

    server = EmbeddedServer(deep)
    with server.owned() as mine:
        assert mine
        denylist = RedisDenylist(connect(server.url, timeout_seconds=10))
        denylist.open(accept_existing=True)
        assert path.parent.stat().st_mode & 0o077 == 0
    assert (deep / "valkey").is_dir()
    path.parent.rmdir()


def test_a_directory_may_have_an_odd_name(directory: Path) -> None:
    odd = directory / "a b?c#d%41"

    with EmbeddedServer(odd).owned():
        denylist = client_of(odd)
        denylist.open(accept_existing=True)
        assert denylist.latest_cutoff([SESSION]) == 0


def test_files_are_for_the_owner_alone(directory: Path) -> None:
    data = directory / "data"

    with EmbeddedServer(data).owned():
        assert data.stat().st_mode & 0o077 == 0
        assert (data / "valkey").stat().st_mode & 0o077 == 0


def test_a_server_that_does_not_start_is_an_error_that_names_its_log(directory: Path) -> None:
    (directory / "valkey").mkdir()
    (directory / "valkey" / "appendonlydir").write_text("in the way")

    with pytest.raises(ConfigurationError, match=r"valkey\.log"), EmbeddedServer(directory).owned():
        raise AssertionError("it started")
    # The lock is free again.
    (directory / "valkey" / "appendonlydir").unlink()
    with EmbeddedServer(directory).owned() as mine:
        assert mine


def test_stopping_where_nothing_runs_does_nothing(directory: Path) -> None:
    EmbeddedServer(directory).stop()


def test_a_forked_child_that_ends_stops_nothing(directory: Path) -> None:
    program = """
import os, sys
from revocation import EmbeddedServer
server = EmbeddedServer(sys.argv[1])
with server.owned() as mine:
    child = os.fork()
    if child == 0:
        sys.exit(0)
    os.waitpid(child, 0)
    print(mine, server.answers())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(directory)], capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.split() == ["True", "True"]
    assert not EmbeddedServer(directory).answers()
