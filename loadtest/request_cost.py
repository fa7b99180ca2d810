"""Cost: what a request costs the server, contestant by contestant, in turns.

One worker each, on one core; the generator on another. CPU time is what the operating system accounts to the worker
processes, so what the generator or the network limits does not count.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtest.connection import Header
from loadtest.deployment import Deployment, Shape, fleet
from loadtest.figures import percentile
from loadtest.load import Load, generator
from loadtest.processes import CORES, PINNED, cpu_seconds, memory_bytes
from loadtest.profiles import Profile, Tell
from loadtest.results import Cost, Latencies

_WARM_UP_SECONDS: Final = 0.5


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[Cost]:
    """Each contestant in each round, for each algorithm and worker class. Raises WrongAnswerError."""
    server, load_core = (CORES[0], CORES[-1]) if PINNED else (None, None)
    for algorithm in profile.algorithms:
        for worker_class in profile.worker_classes:
            place = directory / f"{algorithm}-{worker_class}"
            shape = Shape(algorithm=algorithm, worker_class=worker_class)
            tell(f"cost, {algorithm}, {worker_class}: starting")
            with (
                fleet(place, shape, core=server) as contestants,
                generator(directory / "generator.log", core=load_core) as load,
            ):
                headers = {contestant.name: contestant.sign_in() for contestant in contestants}
                for contestant in contestants:
                    _measured(contestant, headers[contestant.name], load, shape, number=0, seconds=_WARM_UP_SECONDS)
                where = f"cost, {algorithm}, {worker_class}"
                for number in range(profile.rounds):
                    for contestant in contestants:
                        tell(f"{where}: round {number + 1} of {profile.rounds}, {contestant.name}")
                        header = headers[contestant.name]
                        yield _measured(contestant, header, load, shape, number=number, seconds=profile.seconds)


def _measured(contestant: Deployment, header: Header, load: Load, shape: Shape, *, number: int, seconds: float) -> Cost:
    pids, counters = contestant.pids, contestant.counters
    with load.on([contestant.target(header)]):
        counters.reset()
        load.take()
        before, started = cpu_seconds(pids), time.monotonic()
        time.sleep(seconds)
        rows = load.take()[contestant.name]
        elapsed, cpu = time.monotonic() - started, cpu_seconds(pids) - before
        commands, transferred = counters.read()
    times = [row.milliseconds for row in rows] or [0.0]
    return Cost(
        contestant=contestant.name,
        algorithm=shape.algorithm,
        worker_class=shape.worker_class,
        round=number,
        seconds=elapsed,
        requests=len(rows),
        failures=sum(row.status != 200 for row in rows),
        cpu_seconds=cpu,
        latencies_ms=Latencies(p50=percentile(times, 50), p95=percentile(times, 95), p99=percentile(times, 99)),
        redis_commands=commands,
        redis_bytes=transferred,
        memory_bytes=sum(map(memory_bytes, pids)),
    )
