"""Metrics: every decision is counted once, under an outcome that says no more than it should."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from revocation import Guard, Handle
from revocation.metrics import (
    DECISIONS,
    DENYLIST_AVAILABLE,
    REVOCATIONS,
    UNDONE,
    count,
    follower_synced,
    observe,
)
from revocation.testing import Sandbox


def counted(outcome: str, source: str) -> float:
    return REGISTRY.get_sample_value("revocation_decisions_total", {"outcome": outcome, "source": source}) or 0


def test_every_decision_is_counted_by_outcome_and_by_who_was_asked() -> None:
    sandbox = Sandbox()
    guard = Guard(sandbox.verifier, sandbox.denylist, on_decision=observe, clock=sandbox.clock)
    good, revoked = sandbox.mint(), sandbox.mint()
    sandbox.revoke(revoked)
    places = [
        *(("accepted", "redis"), ("accepted", "none"), ("revoked", "redis"), ("invalid", "none")),
        *(("unavailable", "redis"), ("expired", "none")),
    ]
    before = [counted(*place) for place in places]

    guard.decide(good)
    assert REGISTRY.get_sample_value("revocation_denylist_available") == 1
    guard.decide(good, max_staleness=float("inf"))
    guard.decide(revoked)
    guard.decide("nonsense")
    with sandbox.redis_down():
        guard.decide(good)
    assert REGISTRY.get_sample_value("revocation_denylist_available") == 0
    guard.decide(good, max_staleness=float("inf"))
    assert REGISTRY.get_sample_value("revocation_denylist_available") == 0
    sandbox.clock.advance(10_000)
    guard.decide(good)

    assert [counted(*place) - was for place, was in zip(places, before, strict=True)] == [1, 2, 1, 1, 1, 1]


def test_what_a_receipt_acknowledges_is_counted_by_kind() -> None:
    sandbox = Sandbox()
    claims = sandbox.claims(sandbox.mint(session="s-1"))

    def counted_by_kind() -> list[float]:
        return [
            REGISTRY.get_sample_value("revocation_revocations_total", {"kind": kind}) or 0
            for kind in ("token", "session", "subject")
        ]

    before = counted_by_kind()
    count(sandbox.denylist.revoke(Handle.session(claims)))
    count(sandbox.denylist.revoke(Handle.token(claims)))
    sandbox.clock.advance(10_000)
    count(sandbox.denylist.revoke(Handle.token(claims)))  # dead already: nothing is written
    assert [now - was for now, was in zip(counted_by_kind(), before, strict=True)] == [1, 1, 0]


def test_no_label_names_anybody() -> None:
    labels = {label for metric in (DECISIONS, REVOCATIONS, UNDONE, DENYLIST_AVAILABLE) for label in metric._labelnames}

    assert labels == {"outcome", "source", "kind"}
    follower_synced()
    names = {metric.name for metric in REGISTRY.collect() if metric.name.startswith("revocation_")}
    assert names == {
        "revocation_decisions",
        "revocation_revocations",
        "revocation_undone",
        "revocation_denylist_available",
        "revocation_follower_synced_timestamp_seconds",
        "revocation_follower_entries",
        "revocation_follower_log_entries",
        "revocation_amnesia",
        "revocation_epochs",
        "revocation_fallbacks",
        "revocation_token_cache",
    }


@pytest.mark.parametrize("processes", [1, 3])
def test_several_processes_are_counted_together(tmp_path: Path, processes: int) -> None:
    program = """
from revocation import Guard, Handle
from revocation.metrics import observe
from revocation.testing import Sandbox
sandbox = Sandbox()
Guard(sandbox.verifier, sandbox.denylist, on_decision=observe, clock=sandbox.clock).decide(sandbox.mint())
"""
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    for _ in range(processes):
        subprocess.run([sys.executable, "-c", program], check=True, env=env, timeout=60)
    collect = """
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
registry = CollectorRegistry()
MultiProcessCollector(registry)
print(generate_latest(registry).decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", collect], check=True, env=env, timeout=60, capture_output=True, text=True
    )

    assert f'revocation_decisions_total{{outcome="accepted",source="redis"}} {processes}.0' in done.stdout
    assert "revocation_denylist_available 1.0" in done.stdout
