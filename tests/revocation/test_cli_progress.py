"""Progress: a command says on a terminal what it waits for, and nothing of that elsewhere."""

import io
import re
import sys
import threading

import pytest

from revocation.cli import exits, progress
from revocation.cli.progress import Progress
from revocation.redis.denylist import RedisDenylist
from tests.support.command import PROGRAM, environment
from tests.support.denylists import opened
from tests.support.processes import spawned
from tests.support.pseudo_terminal import a_terminal
from tests.support.servers import Server
from tests.support.tokens import ISSUER

_LIMIT_SECONDS = 60


@pytest.fixture
def denylist(valkey: Server, namespace: str) -> RedisDenylist:
    return opened(valkey.client(), namespace)


def test_a_wait_for_followers_is_shown_on_a_terminal_and_is_gone_in_the_end(
    denylist: RedisDenylist, valkey: Server, namespace: str
) -> None:
    """A lease whose follower never confirms."""
    denylist.link.call(lambda client: client.sadd(f"{{{namespace}}}:followers", "deaf"))
    denylist.link.call(lambda client: client.set(f"{{{namespace}}}:follower:deaf", "0-0-0 60000", px=60_000))
    env = environment({"REVOCATION_REDIS_URL": valkey.url, "REVOCATION_NAMESPACE": namespace, "TERM": "xterm"})
    command = [*PROGRAM, "revoke", "--kind", "subject", "--value", "ada", "--issuer", ISSUER, "--wait", "1.5"]

    with (
        a_terminal() as terminal,
        spawned(command, env=env, stdin=terminal.theirs, stdout=terminal.theirs, stderr=terminal.theirs) as process,
    ):
        assert process.wait(_LIMIT_SECONDS) == exits.OK
    shown = terminal.shown.decode()

    assert "waiting for the followers, 1 s" in shown
    last = re.split(r"\x1b\[K|\r", shown.replace("\r\n", "\n"))[-1]
    assert last.startswith("Revoked subject ada")
    assert "confirmed by 0 of 1 followers" in last


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SILENT_SECONDS", 0.0)


class _Screen(io.StringIO):
    """A terminal that notes when it was written to."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        self.written.set()


@pytest.mark.usefixtures("at_once")
def test_steps_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    monkeypatch.setenv("TERM", "xterm")

    with Progress("Revoking", total=50_000) as shown:
        shown.done = 12_500
        assert shown.line == "Revoking: 12,500 of 50,000 (25 %), 0 s"
        assert screen.written.wait(_LIMIT_SECONDS)
    with Progress("Counting") as shown:
        shown.done = 7
        assert shown.line.startswith("Counting: 7, ")

    assert screen.getvalue().startswith("\r\x1b[KRevoking")
    assert screen.getvalue().endswith("\r\x1b[K")


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_nothing_is_written_where_nobody_looks(monkeypatch: pytest.MonkeyPatch, term: str) -> None:
    screen = _Screen() if term == "dumb" else io.StringIO()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", term)
    before = threading.active_count()

    with Progress("Revoking", total=3):
        assert threading.active_count() == before

    assert screen.getvalue() == ""


def test_what_is_quick_stays_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(progress, "SILENT_SECONDS", _LIMIT_SECONDS)

    with Progress("Revoking"):
        pass

    assert screen.getvalue() == ""


@pytest.mark.usefixtures("at_once")
def test_an_error_leaves_no_line_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", screen := _Screen())
    monkeypatch.setenv("TERM", "xterm")

    def interrupted() -> None:
        with Progress("Revoking"):
            assert screen.written.wait(_LIMIT_SECONDS)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert screen.getvalue().endswith("\r\x1b[K")
