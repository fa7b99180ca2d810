"""Event loop: how long a decision holds it, also while Redis does not answer."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from loadtest.contestants import BOUNDED
from loadtest.load import percentile
from loadtest.population import Population
from loadtest.profile import Profile, Tell
from loadtest.results import Fault, Held
from loadtest.server import setup_on, store
from revocation import Guard
from revocation.defaults import TIMEOUT_SECONDS

#: Coroutines that ask at a time, and the pause of each between two decisions, so that the loop has nothing else to do.
_AT_ONCE: Final = 8
_PAUSE_SECONDS: Final = 0.01


class _Timed:
    """An awaitable that notes how long each step of a coroutine holds the loop, in milliseconds."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], held: list[float]) -> None:
        self._coroutine, self._held = coroutine, held

    def __await__(self) -> Generator[Any, Any, None]:
        steps = self._coroutine.__await__()
        step: Callable[[], Any] = partial(steps.send, None)
        while True:
            began = time.perf_counter()
            try:
                waits_for = step()
            except StopIteration:
                return
            finally:
                self._held.append(1000 * (time.perf_counter() - began))
            try:
                yield waits_for
            except BaseException as error:  # noqa: BLE001  # asyncio hands over what it waited for in this way
                step = partial(steps.throw, error)
            else:
                step = partial(steps.send, None)


def measure(profile: Profile, _directory: Path, tell: Tell) -> Iterator[Held]:
    """Strict and bounded decisions, with Redis and while it hangs."""
    with store() as valkey:
        setup = setup_on(valkey)
        population = Population(setup)
        setup = replace(setup, timeout_seconds=TIMEOUT_SECONDS)
        for name, bound in BOUNDED.items():
            guard = Guard(setup.verifier, setup.denylist, max_staleness=bound)
            guard.start()
            faults: dict[Fault, contextlib.AbstractContextManager[None]] = {
                "none": contextlib.nullcontext(),
                "hung": valkey.paused(),
            }
            for fault, happens in faults.items():
                tell(f"event loop: {name}, fault: {fault}")
                token = population.token()
                with happens:
                    held = asyncio.run(_held(guard, token, seconds=profile.fault_seconds))
                yield Held(
                    contestant=name, fault=fault, steps=len(held), p99_ms=percentile(held, 99), most_ms=max(held)
                )
            guard.stop()


async def _held(guard: Guard, token: str, *, seconds: float) -> list[float]:
    held: list[float] = []
    ends = time.monotonic() + seconds

    async def ask() -> None:
        while time.monotonic() < ends:
            await _Timed(guard.decide_async(token), held)
            await asyncio.sleep(_PAUSE_SECONDS)

    await asyncio.gather(*(ask() for _ in range(_AT_ONCE)))
    return held
