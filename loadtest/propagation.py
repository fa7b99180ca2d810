"""Propagation: how long a token is accepted after it was taken back, in each worker, while load is on.

Every worker is asked over a connection of its own, again and again, from before the revocation until it has refused.
"""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from loadtest.connection import Connection, Header
from loadtest.contestants import PATH
from loadtest.deployment import Deployment, Shape, WrongAnswerError, deployed
from loadtest.load import generator
from loadtest.profiles import Profile, Tell
from loadtest.results import Contestant, Propagation

#: The bound that is promised for each contestant, in milliseconds.
_BOUNDS: Final[dict[Contestant, float | None]] = {
    "bounded": 1000.0,
    "strict": 0.0,
    "session": None,
    "jwt_extended": None,
}

#: How long each worker accepts before the revocation, and the longest to wait for a refusal after it.
_BEFORE_SECONDS: Final = 0.01
_LONGEST_SECONDS: Final = 3.0

#: Between two questions to one worker: all of them together leave the machine to the load.
_PAUSE_SECONDS: Final = 0.0005

_FIND_SECONDS: Final = 30.0


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[Propagation]:
    """Each contestant that can take something back. Raises WrongAnswerError."""
    for name, bound_ms in _BOUNDS.items():
        tell(f"speed of revocation: {name}, starting {profile.workers} workers")
        shape = Shape(algorithm=profile.algorithms[0], worker_class=profile.worker_classes[0], workers=profile.workers)
        with ExitStack() as stack:
            contestant = stack.enter_context(
                deployed(name, directory / name, shape, env={"LOADTEST_NAME_WORKERS": "1"})
            )
            load = stack.enter_context(generator(directory / "generator.log", core=None))
            contestant.wait_until_ready()
            connections = [
                stack.enter_context(connection) for connection in _to_each_worker(contestant, profile.workers)
            ]
            pool = stack.enter_context(ThreadPoolExecutor(len(connections)))
            stack.enter_context(load.on([contestant.target(contestant.sign_in())]))
            started, rows = time.monotonic(), []
            for number in range(profile.revocations):
                tell(f"speed of revocation: {name}, {number + 1} of {profile.revocations}")
                rows.append(_delays(contestant, connections, pool))
            answered, elapsed = len(load.take()[name]), time.monotonic() - started
            receipts = [_receipt_ms(contestant) for _ in range(profile.receipts)] if name == "bounded" else []
        wrong = 0 if bound_ms is None else sum(delay > bound_ms for row in rows for delay in row)
        yield Propagation(
            contestant=name,
            algorithm=shape.algorithm,
            worker_class=shape.worker_class,
            workers=profile.workers,
            load_rps=answered / elapsed,
            last_accept_ms=tuple(rows),
            receipt_ms=tuple(receipts),
            bound_ms=bound_ms,
            wrong_accepts=wrong,
        )


def _to_each_worker(contestant: Deployment, workers: int) -> list[Connection]:
    """Connections stay with the worker that took them: open some until there is one to each."""
    by_worker: dict[int, Connection] = {}
    deadline = time.monotonic() + _FIND_SECONDS
    while len(by_worker) < workers:
        if time.monotonic() > deadline:
            raise WrongAnswerError(f"{len(by_worker)} of {workers} workers of {contestant.name} answer")
        # Several are opened at once: a single connection always goes to the same idle worker.
        opened = [contestant.connect() for _ in range(2 * workers)]
        for connection in opened:
            worker = connection.ask("GET", "/healthz").worker
            if by_worker.setdefault(worker, connection) is not connection:
                connection.close()
    return list(by_worker.values())


def _delays(contestant: Deployment, connections: list[Connection], pool: ThreadPoolExecutor) -> tuple[float, ...]:
    """From the acknowledgement to the last accept, by worker, in milliseconds; 0 where there was none."""
    header = contestant.sign_in()
    asking = [pool.submit(_last_accept, connection, header) for connection in connections]
    time.sleep(_BEFORE_SECONDS)
    acknowledged = contestant.sign_out(header).acknowledged_at
    return tuple(max(0.0, 1000 * (last.result(60) - acknowledged)) for last in asking)


def _last_accept(connection: Connection, header: Header) -> float:
    """When the last request was sent that was accepted."""
    last = -math.inf
    deadline = time.monotonic() + _LONGEST_SECONDS
    while time.monotonic() < deadline:
        answer = connection.ask("GET", PATH, header)
        if answer.status != 200:
            return last
        last = answer.sent
        time.sleep(_PAUSE_SECONDS)
    return last


def _receipt_ms(contestant: Deployment) -> float:
    return 1000 * contestant.sign_out(contestant.sign_in(), wait_seconds=1.0).seconds
