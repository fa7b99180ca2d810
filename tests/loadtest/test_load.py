"""The same load is driven by wrk and by Python, and every wrong answer is counted."""

import shutil
from collections.abc import Iterator

import pytest

from loadtest.load import Driver, drive, percentile
from loadtest.population import Population
from loadtest.processes import cpu_seconds
from loadtest.server import Server, serving, setup_on, store
from tests.support.requirements import require


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Population]]:
    with store() as valkey:
        setup = setup_on(valkey)
        with serving(setup, tmp_path_factory.mktemp("load"), names=["bounded"], workers=2) as servers:
            yield servers["bounded"], Population(setup)


@pytest.mark.parametrize("by", ["wrk", "python"])
def test_each_request_is_made_once_and_what_it_cost_is_known_at_the_last(
    server: tuple[Server, Population], by: Driver
) -> None:
    require(by == "python" or shutil.which("wrk"), "wrk is not installed (Debian: apt-get install wrk)")
    bounded, population = server
    tokens = population.requests("5", 50)
    headers = [bounded.header(token) for token in tokens]
    hits, misses = bounded.cache
    before, at_the_end = bounded.cpu_seconds, list[float]()

    load = drive(bounded.port, headers, connections=4, on_end=lambda: at_the_end.append(bounded.cpu_seconds), by=by)

    assert load.wrong == 0
    assert len(headers) <= load.requests <= len(headers) + 4  # wrk may have a last one on each connection
    assert before < at_the_end[0] <= bounded.cpu_seconds
    assert 0 < load.p50_ms <= load.p99_ms
    new_hits, new_misses = (after - seen for after, seen in zip(bounded.cache, (hits, misses), strict=True))
    assert load.requests <= new_hits + new_misses <= len(headers) + 4
    # Each of the two workers may see each token for the first time, and two requests of it at once.
    assert 10 <= new_misses <= 10 * 4


@pytest.mark.parametrize("by", ["wrk", "python"])
def test_wrong_answers_are_counted(server: tuple[Server, Population], by: Driver) -> None:
    require(by == "python" or shutil.which("wrk"), "wrk is not installed (Debian: apt-get install wrk)")
    bounded, population = server
    good = [bounded.header(population.token()) for _ in range(5)]
    load = drive(bounded.port, [*good, "Authorization: Bearer none"], connections=1, on_end=lambda: None, by=by)
    assert load.wrong == 1


def test_the_cpu_time_of_a_server_is_that_of_its_workers_too(server: tuple[Server, Population]) -> None:
    bounded, _ = server
    assert len(bounded.connections) == 2
    assert all(pid not in bounded.pids for pid in bounded.connections)
    workers = cpu_seconds(*bounded.connections)
    assert bounded.cpu_seconds >= workers > 0


def test_a_percentile_is_a_value_that_occurred() -> None:
    assert [percentile([3.0, 1.0, 2.0], percent) for percent in (0, 50, 99, 100)] == [1.0, 2.0, 3.0, 3.0]
