"""One small run of everything: real servers, real load, a report."""

import math
from dataclasses import replace

import pytest

from loadtest.__main__ import measure
from loadtest.contestants import NAMES
from loadtest.load import Row
from loadtest.profiles import QUICK
from loadtest.redis_faults import first_of_run
from loadtest.results import Results

_TINY = replace(
    QUICK,
    rounds=1,
    seconds=0.3,
    workers=2,
    revocations=2,
    receipts=1,
    entries=(0, 500),
    revoked_singly=50,
    revoked_in_bulk=500,
    fault_seconds=0.5,
    recovery_seconds=5.0,
    positions=(0, 0.25, math.inf),
)


@pytest.mark.timeout(600)  # it starts a service for each contestant and each setting
def test_a_small_run_fills_every_section_and_every_answer_under_load_is_right() -> None:
    results, failure = measure(_TINY, lambda _what: None, command="a test")

    assert failure is None

    assert Results.from_json(results.to_json()) == results
    assert not results.interrupted
    assert {row.contestant for row in results.cost} == set(NAMES)
    assert all(row.requests > 0 and row.failures == 0 for row in results.cost)
    assert all(row.redis_commands == 0 for row in results.cost if row.contestant in ("none", "textbook", "stateless"))
    assert {row.contestant for row in results.propagation} == {"bounded", "strict", "session", "jwt_extended"}
    assert all(len(delays) == 2 for row in results.propagation for delays in row.last_accept_ms)
    assert all(row.wrong_accepts == 0 for row in results.propagation)
    assert [row.entries for row in results.scale] == [0, 500]
    assert {row.way for row in results.revoking} == {"one_by_one", "bulk"}
    assert {(row.contestant, row.fault) for row in results.bad_day} >= {(name, "dead") for name in NAMES}
    assert [row.max_staleness for row in results.dial] == [0, 0.25, math.inf]
    assert results.dial[-1].answers_without_redis_seconds == math.inf


def test_an_interrupted_run_keeps_what_there_is() -> None:
    def interrupt(what: str) -> None:
        if what.startswith("revoking") and "bulk" in what:
            raise KeyboardInterrupt

    results, _ = measure(replace(_TINY, sections=("scale",), entries=(0,)), interrupt, command="a test")

    assert results.interrupted
    assert len(results.scale) == 1
    assert [row.way for row in results.revoking] == ["one_by_one"]


def test_who_is_well_is_so_from_the_first_of_a_run_in_the_order_of_sending() -> None:
    rows = [Row(1.0, 5.0, 200), Row(4.0, 5.0, 200), Row(2.0, 5.0, 503), Row(3.0, 5.0, 200)]

    assert first_of_run(rows, length=2) == 3.0
    assert first_of_run(rows, length=3) is None


def test_results_of_another_schema_are_refused() -> None:
    results, _ = measure(replace(_TINY, sections=()), lambda _what: None, command="a test")
    text = results.to_json()
    with pytest.raises(ValueError, match="measure again"):
        Results.from_json(text.replace('"schema": 1', '"schema": 2'))
