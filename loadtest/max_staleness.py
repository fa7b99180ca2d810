"""The dial: what each position of `max_staleness` costs, how soon it refuses, and how long it goes on without Redis."""

import contextlib
import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from loadtest.connection import Header
from loadtest.contestants import PATH
from loadtest.deployment import Deployment, Shape, deployed
from loadtest.load import Load, generator
from loadtest.processes import CORES, PINNED, cpu_seconds, pin
from loadtest.profiles import Profile, Tell
from loadtest.results import Dial

#: So many revocations are timed, and the slowest is given.
_REVOCATIONS: Final = 10

#: The pause between two questions.
_PAUSE_SECONDS: Final = 0.001

#: How much longer than its bound a position is watched.
_MARGIN_SECONDS: Final = 1.0


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[Dial]:
    """One contestant at each position, on a Valkey of its own."""
    tell("the dial: starting")
    shape = Shape(algorithm=profile.algorithms[0], worker_class=profile.worker_classes[0], timeout_seconds=0.1)
    longest = max((at for at in profile.positions if at < math.inf), default=0.0) + _MARGIN_SECONDS
    with contextlib.ExitStack() as stack:
        deployments = {
            at: stack.enter_context(
                deployed("bounded", directory / f"{at:g}", shape, env={"REVOCATION_MAX_STALENESS": f"{at:g}"})
            )
            for at in profile.positions
        }
        load = stack.enter_context(generator(directory / "generator.log", core=CORES[-1] if PINNED else None))
        headers: dict[float, Header] = {}
        costs: dict[float, tuple[float, float]] = {}
        refused: dict[float, float | None] = {}
        for at, contestant in deployments.items():
            contestant.wait_until_ready()
            if PINNED:
                pin(contestant.pids, CORES[0])
            headers[at] = contestant.sign_in()
        for at, contestant in deployments.items():
            tell(f"the dial at {at:g}: cost")
            costs[at] = _cost(contestant, headers[at], load, seconds=profile.seconds)
            refused[at] = None if at == math.inf else max(_refused_after_ms(contestant) for _ in range(_REVOCATIONS))
        tell("the dial: without Redis")
        pool = stack.enter_context(ThreadPoolExecutor(len(deployments)))
        answering = {
            at: pool.submit(_without_redis, contestant, headers[at], longest) for at, contestant in deployments.items()
        }
        for at in profile.positions:
            cpu_us, commands = costs[at]
            yield Dial(
                max_staleness=at,
                cpu_us=cpu_us,
                redis_commands=commands,
                refused_after_ms=refused[at],
                answers_without_redis_seconds=answering[at].result(longest + 60),
            )


def _cost(contestant: Deployment, header: Header, load: Load, *, seconds: float) -> tuple[float, float]:
    """CPU microseconds and Redis commands per request."""
    pids, counters = contestant.pids, contestant.counters
    with load.on([contestant.target(header)]):
        counters.reset()
        load.take()
        before = cpu_seconds(pids)
        time.sleep(seconds)
        requests = max(1, len(load.take()[contestant.name]))
        cpu, (commands, _) = cpu_seconds(pids) - before, counters.read()
    return 1e6 * cpu / requests, commands / requests


def _refused_after_ms(contestant: Deployment) -> float:
    header = contestant.sign_in()
    with contestant.connect() as connection:
        connection.ask("GET", PATH, header)
        acknowledged = contestant.sign_out(header).acknowledged_at
        while (answer := connection.ask("GET", PATH, header)).status == 200:
            time.sleep(_PAUSE_SECONDS)
    return max(0.0, 1000 * (answer.sent - acknowledged))


def _without_redis(contestant: Deployment, header: Header, longest_seconds: float) -> float:
    """Seconds from when Redis hangs to the last request that was let in; infinite where it never stopped."""
    with contestant.connect() as connection, contestant.store.paused():
        began = last = time.monotonic()
        while time.monotonic() < began + longest_seconds:
            answer = connection.ask("GET", PATH, header)
            if answer.status != 200:
                return last - began
            last = answer.sent
            time.sleep(_PAUSE_SECONDS)
    return math.inf
