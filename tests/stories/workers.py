"""Asking every worker of a running service, one after the other."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from tests.support.service import Service

T = TypeVar("T")

#: What the service prints that is no record of the log: its greeting, for people.
GREETING = (
    "Serving ",
    "  playground ",
    "  console ",
    "  terminal ",
    "  reference ",
    "  curl ",
    "The account admin was made",
    "Ready to serve",
)


def workers(service: Service) -> set[int]:
    """The workers of this run that live."""
    return {pid for pid in service.worker_pids() if parent_of(pid) == service.process.pid}


def parent_of(pid: int) -> int:
    """The parent of a process; 0 where it has ended."""
    with suppress(OSError):
        state, parent, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0 if state == "Z" else int(parent)
    return 0


@contextmanager
def only(service: Service, pid: int) -> Iterator[None]:
    """Within this block this worker answers, because the others stand still."""
    others = workers(service) - {pid}
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            os.kill(other, signal.SIGCONT)


def on_every_worker(service: Service, ask: Callable[[], T]) -> list[T]:
    """What each worker answers."""
    deadline = time.monotonic() + 60
    while len(pids := workers(service)) != int(service.env.get("APP_WORKERS", "2")):
        assert time.monotonic() < deadline, service.log
        time.sleep(0.02)
    answers = []
    for pid in sorted(pids):
        with only(service, pid):
            answers.append(ask())
    return answers


def statuses(service: Service, path: str, token: str, **kwargs: Any) -> set[int]:
    """The status that each worker answers with."""
    return set(on_every_worker(service, lambda: service.get(path, token=token, **kwargs).status_code))


def refresh(service: Service, refresh_token: str) -> int:
    return service.post("/auth/refresh", json={"refresh_token": refresh_token}).status_code


def records(service: Service) -> list[dict[str, Any]]:
    """The records of the log: every line is one, but for the greeting."""
    lines = [line for line in service.log.splitlines() if not line.startswith(GREETING)]
    return [json.loads(line) for line in lines]
