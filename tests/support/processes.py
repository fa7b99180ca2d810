"""Processes that a test starts: they take signals as at a terminal, and they end by their id within a limit."""

import contextlib
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any

#: What a test starts answers within this, on a machine that is busy with other tests.
START_SECONDS = 60

#: The kernel ends a killed process within this, however busy the machine is.
_END_SECONDS = 30

#: What a test process must not hand down ignored. SIGHUP is not among them: the servers of a run under nohup would die
#: with the terminal.
_HANDED_DOWN = (signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD)


def hand_down_default_signals() -> None:
    """Give every child of this process the default signal handlers, whatever the parent of the tests ignores.

    `nohup`, shells that start a job in the background and many CI runners ignore SIGINT, and a child inherits what its
    parent ignores. A handler of the parent's own is not inherited, so this process handles such a signal by doing
    nothing: it goes on as its parent wished, and its children are interrupted when a test interrupts them.
    """
    for number in _HANDED_DOWN:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, lambda *_: None)


@contextlib.contextmanager
def spawned(command: Sequence[str], **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """Run a command, its text in pipes where `options` of Popen ask for them; what still runs in the end is killed.

    Popen's own block waits without a limit for a process that does not end.
    """
    process: subprocess.Popen[str] = subprocess.Popen(command, text=True, **options)
    try:
        yield process
    finally:
        end(process)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()


def end(process: "subprocess.Popen[Any]") -> None:
    """End a process at once, as a crash does; one that is stopped ends, too."""
    process.kill()
    process.wait(_END_SECONDS)
