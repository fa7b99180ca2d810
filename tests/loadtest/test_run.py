"""One small run of everything, on real servers with real load."""

from dataclasses import replace

import pytest

from loadtest import sizes
from loadtest.__main__ import PARTS, measure
from loadtest.contestants import BOUNDED, NAMES, POSITIONS, REVOCABLE
from loadtest.profile import QUICK
from loadtest.results import Results

_TINY = replace(
    QUICK,
    mixes={1: ("5",)},
    rounds=1,
    requests=20,
    turns_in_process=3,
    tokens_in_process=5,
    workers=2,
    revocations=2,
    revocations_of_bounded=4,
    revocations_under_fault=1,
    fault_seconds=0.3,
    entries=(0, 200),
)


@pytest.mark.timeout(600)  # it starts a server for each contestant, three times
def test_a_small_run_fills_every_part_and_every_answer_is_right() -> None:
    results, failure = measure(_TINY, lambda _what: None)

    assert failure is None
    assert Results.from_json(results.to_json()).turns[0].contestant == "none"
    assert not results.interrupted
    assert [row.contestant for row in results.turns] == list(NAMES)
    assert all(row.requests >= 20 and row.cpu_seconds > 0 for row in results.turns)
    caching = {row.contestant for row in results.turns if row.hits >= 8 and row.misses >= 4}
    assert caching == {*POSITIONS}
    [in_process] = results.in_process
    assert {row.contestant for row in in_process.added} == {*NAMES} - {"none", "introspection"}
    assert [row.algorithm for row in results.verified] == ["ES256", "RS256", "EdDSA", "HS256"]
    assert {row.contestant for row in results.accepted if row.fault == "none"} == REVOCABLE
    faults = {(row.contestant, row.fault) for row in results.accepted if row.fault != "none"}
    assert faults == {(name, fault) for name in BOUNDED for fault in ("hung", "dead")}
    assert all(row.late == 0 for row in results.accepted)
    assert {(row.contestant, row.fault) for row in results.outages} == {
        (name, fault) for name in NAMES for fault in ("none", "5 ms away", "hung", "dead")
    }
    held = {(row.contestant, row.fault) for row in results.held}
    assert held == {(name, fault) for name in BOUNDED for fault in ("none", "hung")}
    assert [row.entries for row in results.sizes] == [0, 200]
    assert results.imported[0].modules > 50
    asked = {row.act: row.median for row in results.asked}
    assert asked["refresh"] == 2
    assert asked["admin search"] <= 4
    assert "revoke with receipt" in asked


def test_an_interrupted_run_keeps_what_there_is() -> None:
    def interrupt(what: str) -> None:
        if "200" in what:
            raise KeyboardInterrupt

    results, failure = measure(_TINY, interrupt, parts={"sizes": sizes.measure, "imported": PARTS["imported"]})

    assert results.interrupted
    assert failure is None
    assert [row.entries for row in results.sizes] == [0]
    assert results.imported == ()
