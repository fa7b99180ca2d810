"""Load: a list of requests, made one after the other over a few connections, by wrk where it is installed."""

import math
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from loadtest.connection import Connection, converse, request
from loadtest.contestants import PATH

Driver = Literal["wrk", "python"]

#: The longest that one load may last.
_LIMIT_SECONDS: Final = 120

_SCRIPT: Final = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What was answered."""

    requests: int
    #: Those that were not answered with 200.
    wrong: int
    seconds: float
    p50_ms: float
    p99_ms: float


def driver() -> Driver:
    """What drives the load here."""
    return "wrk" if shutil.which("wrk") else "python"


def drive(
    port: int, headers: Sequence[str], *, connections: int, on_end: Callable[[], None], by: Driver | None = None
) -> Load:
    """Ask for the measured route once with each header line, as fast as answers come; `on_end` is called at the last.

    Raises OSError or RuntimeError where the load does not come to its end.
    """
    return (_wrk if (by or driver()) == "wrk" else _python)(port, headers, connections, on_end)


def _python(port: int, headers: Sequence[str], connections: int, on_end: Callable[[], None]) -> Load:
    messages = iter([request("GET", PATH, header) for header in headers])
    opened: dict[Connection, Iterator[bytes]] = {Connection(port): messages for _ in range(connections)}
    started = time.monotonic()
    answers = [answer for _, answer in converse(opened)]
    on_end()
    seconds = time.monotonic() - started
    for connection in opened:
        connection.close()
    times = [1000 * (answer.received - answer.sent) for answer in answers]
    return Load(
        requests=len(answers),
        wrong=sum(answer.status != 200 for answer in answers),
        seconds=seconds,
        p50_ms=percentile(times, 50),
        p99_ms=percentile(times, 99),
    )


def _wrk(port: int, headers: Sequence[str], connections: int, on_end: Callable[[], None]) -> Load:
    with tempfile.NamedTemporaryFile("w", prefix="rv-bench-") as file:
        file.write("\n".join(headers) + "\n")
        file.flush()
        url = f"http://127.0.0.1:{port}{PATH}"
        options = [
            "-t1",
            f"-c{connections}",
            f"-d{_LIMIT_SECONDS}",
            "--timeout",
            str(_LIMIT_SECONDS),
            "-s",
            str(_SCRIPT),
        ]
        started = time.monotonic()
        with _running(["wrk", *options, url, "--", file.name]) as process:
            assert process.stdout is not None, "its output is read"
            line = next((line for line in process.stdout if line == "answered\n"), None)
            on_end()
            seconds = time.monotonic() - started
            if line is None:
                raise RuntimeError(f"wrk did not come to the end of {len(headers)} requests")
            # Its main thread sleeps until the limit, or until a signal wakes it.
            process.send_signal(signal.SIGINT)
            told = process.communicate(timeout=30)[0]
    requests, wrong, p50_us, p99_us = map(int, told.splitlines()[-1].split())
    return Load(requests=requests, wrong=wrong, seconds=seconds, p50_ms=p50_us / 1000, p99_ms=p99_us / 1000)


@contextmanager
def _running(command: Sequence[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def percentile(values: Sequence[float], percent: int) -> float:
    """The least of the values that `percent` of them do not exceed (nearest rank), so one that occurred."""
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
