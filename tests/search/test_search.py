"""The promises, looked for on real servers whose clocks move. SEARCH_SECONDS says for how long on each of them."""

import os
from collections.abc import Iterator
from typing import Final

import pytest

from tests.search.case import Case
from tests.search.known import KNOWN
from tests.search.search import Broken, Counts, broken_cases, play, shrunk
from tests.search.world import Stage
from tests.support.servers import Make

_SEED: Final = 20_240_229
_SECONDS: Final = float(os.environ.get("SEARCH_SECONDS", "10"))

#: Under the load of other tests a server that waits for copies may be slow, and then nothing is seen: once more.
_ATTEMPTS: Final = 2


@pytest.fixture(scope="module", params=["valkey", "redis"])
def make(request: pytest.FixtureRequest) -> Make:
    chosen: Make = request.param
    return chosen


@pytest.fixture(scope="module")
def stage(make: Make) -> Iterator[Stage]:
    stage = Stage(make)
    yield stage
    stage.close()


def test_a_server_shows_the_clock_that_the_test_has_set(stage: Stage) -> None:
    with stage.world(nodes=1, min_replicas=0) as world:
        client = world.nodes[0].client
        for offset in (0.0, 86_400.0, -1200.0, 0.0):
            world.nodes[0].offset = offset
            world.set_clocks()
            seconds, microseconds = client.time()
            assert seconds + microseconds / 1e6 == pytest.approx(world.now + offset, abs=0.001)
        client.set("key", "value", px=5000)
        world.advance(4.9)
        assert client.get("key") == b"value"
        world.advance(0.2)
        assert client.get("key") is None


@pytest.mark.parametrize("name", KNOWN)
def test_what_was_seen_once_does_not_come_back(stage: Stage, name: str) -> None:
    _, case = KNOWN[name]
    for _ in range(_ATTEMPTS if case.shape.min_replicas else 1):
        broken = play(stage, case)
        assert broken is None, f"{broken.seen}\n{case}"


def test_no_promise_is_broken(stage: Stage, make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    counts = Counts()
    first = next(broken_cases(stage, seed=_SEED, seconds=_SECONDS, counts=counts), None)
    assert first is None, _told(stage, *first)
    with capsys.disabled():
        print(f"\n{make}: {counts.steps} steps in {counts.cases} cases, no broken promise")  # noqa: T201 (a figure)


def _told(stage: Stage, case: Case, broken: Broken) -> str:
    least = shrunk(stage, case, broken)
    again = play(stage, least) or broken
    return f"with seed {_SEED}: {again.seen}\n{least}"
