"""A bad day: what each contestant answers while something is wrong with Redis, and how long until it is well again.

All of them stand side by side behind one proxy to one Valkey, and are asked at a moderate pace.
"""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from loadtest.deployment import Deployment, Shape, fleet, valkey
from loadtest.figures import percentile
from loadtest.load import Load, Row, Rows, generator
from loadtest.profiles import Profile, Tell
from loadtest.results import BadDay, Fault
from tests.support.proxy import Fault as Wrong
from tests.support.proxy import Proxy, late
from tests.support.servers import Server

_USERS: Final = 3
_PACE_SECONDS: Final = 0.1

#: How long a user waits for an answer.
_PATIENCE_SECONDS: Final = 2.0

#: So many 200 in a row are well.
_WELL: Final = 10

_LOOK_SECONDS: Final = 0.25


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[BadDay]:
    """Each contestant under each fault. Raises WrongAnswerError."""
    with valkey() as store, contextlib.closing(Proxy(store.socket)) as proxy:
        yield from _days(profile, directory, tell, store, proxy)


def _days(profile: Profile, directory: Path, tell: Tell, store: Server, proxy: Proxy) -> Iterator[BadDay]:
    faults: dict[Fault, Callable[[], AbstractContextManager[None]]] = {
        "healthy": contextlib.nullcontext,
        "5_ms_away": lambda: proxy.faulty(Wrong(reply=late(0.005))),
        "50_ms_away": lambda: proxy.faulty(Wrong(reply=late(0.05))),
        "hung": store.paused,
        "dead": lambda: _dead(store),
    }
    shape = Shape(algorithm=profile.algorithms[0], worker_class=profile.worker_classes[0], timeout_seconds=0.1)
    tell("a bad day: starting")
    with (
        fleet(directory, shape, store=store, redis_url=f"redis://127.0.0.1:{proxy.port}") as contestants,
        generator(directory / "generator.log", core=None) as load,
    ):
        targets = [
            contestant.target(
                contestant.sign_in(), users=_USERS, pace_seconds=_PACE_SECONDS, patience_seconds=_PATIENCE_SECONDS
            )
            for contestant in contestants
        ]
        with load.on(targets):
            for fault, injected in faults.items():
                tell(f"a bad day: Redis is {fault.replace('_', ' ')}")
                load.take()
                with injected():
                    began = time.monotonic()
                    time.sleep(profile.fault_seconds)
                    rows = load.take()
                well: dict[str, float] = {}
                if fault != "healthy":
                    tell(f"a bad day: Redis is no longer {fault.replace('_', ' ')}")
                    well = _well_again(load, contestants, longest_seconds=profile.recovery_seconds)
                for contestant in contestants:
                    asked = [row for row in rows[contestant.name] if row.sent >= began]
                    yield _day(contestant, fault, asked, well.get(contestant.name))


@contextlib.contextmanager
def _dead(store: Server) -> Iterator[None]:
    store.kill()
    try:
        yield
    finally:
        store.start()


def _day(contestant: Deployment, fault: Fault, rows: Sequence[Row], well: float | None) -> BadDay:
    answers = Counter({"200": 0, "503": 0, "none": 0})
    answers.update(str(row.status) if row.status else "none" for row in rows)
    # Where nobody was answered within the block, patience is what is known.
    times = [row.milliseconds for row in rows] or [1000 * _PATIENCE_SECONDS]
    return BadDay(
        contestant=contestant.name,
        fault=fault,
        answers=dict(answers),
        p50_ms=percentile(times, 50),
        p99_ms=percentile(times, 99),
        well_again_seconds=well,
    )


def _well_again(load: Load, contestants: Sequence[Deployment], *, longest_seconds: float) -> dict[str, float]:
    """Seconds from now to the first of so many 200 in a row, by contestant; without those that did not get so far."""
    ended = time.monotonic()
    rows: Rows = {contestant.name: [] for contestant in contestants}
    recovered: dict[str, float] = {}
    while len(recovered) < len(contestants) and time.monotonic() < ended + longest_seconds:
        time.sleep(_LOOK_SECONDS)
        for name, more in load.take().items():
            rows[name] += more
            first = first_of_run([row for row in rows[name] if row.sent >= ended], length=_WELL)
            if first is not None:
                recovered[name] = first - ended
    return recovered


def first_of_run(rows: Sequence[Row], *, length: int) -> float | None:
    """When the first of so many 200 in a row was sent, in the order of sending; None where there are none."""
    run: list[float] = []
    for row in sorted(rows):
        run = [*run, row.sent] if row.status == 200 else []
        if len(run) == length:
            return run[0]
    return None
