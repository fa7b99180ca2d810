"""Real faults against real workers and a real server, judged by what was seen and nothing else.

FAULTS_SEED chooses what is asked in which order, FAULTS_LONG=1 adds the runs that take long.
"""

import contextlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import redis

from revocation import DenylistUnavailableError, Handle
from revocation.redis.head import Head
from tests.faults.history import STALL, Verdict, check
from tests.faults.workload import LONG, WORKERS, Workload, under_load
from tests.support.proxy import Fault, late, one_in, swallowed, truncated
from tests.support.replicas import PRIMARY_OPTIONS, replica_of
from tests.support.servers import Make

SEED = int(os.environ.get("FAULTS_SEED", random.randrange(2**32)))
LONG_ONLY = pytest.mark.skipif(not LONG, reason="takes long: FAULTS_LONG=1")
AOF = ("--appendonly", "yes", "--appendfsync", "always")

#: Everybody is served again within this after a fault; after lost data, when the cut-off, a second ahead, has passed.
RECOVERY_SECONDS = 2.0
CUTOFF_SECONDS = 1.0

#: An honest load on a busy machine.
WARM_SECONDS = 0.6

#: What has to be seen more often than this before a verdict means something.
LEAST = {"accepted": 100, "too late to accept": 50, "refreshed": 3, "enforced": 0}


def some(names: Iterable[str], *, at_least: set[str]) -> list[Any]:
    """The ones that always run, and the others for the long runs."""
    return [pytest.param(name, marks=() if name in at_least else LONG_ONLY) for name in names]


def report(name: str, workload: Workload, verdict: Verdict) -> None:
    late = [request.ended for request in workload.history.requests if request.status in (0, 503)]
    injected = [fault for fault in workload.history.faults if fault.name != STALL]
    recovery = max([0.0, *(at - fault.healed for fault in injected for at in late)])
    print(f"{name} (seed {SEED}): {verdict}; last 503 {recovery:.2f} s after it was over")  # noqa: T201 (the figures)


def judge(name: str, workload: Workload, *, loses: bool = False) -> Verdict:
    """The promises, after the load has ended."""
    allowed = RECOVERY_SECONDS + (CUTOFF_SECONDS if loses else 0.0)
    time.sleep(WARM_SECONDS)
    deadline = time.monotonic() + 60
    while not is_enough(check(workload.history.so_far(), recovery_seconds=allowed)):
        assert time.monotonic() < deadline, "too little is asked"
        time.sleep(0.1)
    workload.stop()
    verdict = check(workload.history, recovery_seconds=allowed)
    report(name, workload, verdict)
    assert not verdict.violations, verdict.violations[:5]
    assert not verdict.false_refusals, verdict.false_refusals[:5]
    assert not verdict.unexpected, verdict.unexpected[:5]
    assert not verdict.needless_503, verdict.needless_503[:5]
    assert not workload.strange
    return verdict


def is_enough(verdict: Verdict) -> bool:
    """Whether enough was asked for the verdict to mean something."""
    return all(verdict.figures[name] > least for name, least in LEAST.items())


@pytest.mark.parametrize("make", some(["valkey", "redis"], at_least={"valkey"}))
def test_redis_is_killed_and_comes_back_with_its_append_only_file(make: Make) -> None:
    with under_load(make=make, options=AOF, bound=2.0, seed=SEED) as workload:
        time.sleep(WARM_SECONDS)
        epoch = workload.denylist.head().epoch
        with workload.fault("killed, with an append-only file"):
            workload.server.kill()
            time.sleep(0.3)
            workload.server.start()
        assert _head(workload).epoch == epoch
        assert workload.metric("revocation_amnesia_total") == 0
        judge(f"killed, {make} with AOF", workload)


def _head(workload: Workload) -> Head:
    """The head, once the breaker of this process lets it ask again."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return workload.denylist.head()
        except DenylistUnavailableError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def _flushed(workload: Workload) -> None:
    workload.server.client().flushall()


def _head_deleted(workload: Workload) -> None:
    workload.server.client().delete(workload.denylist.key("head"))


def _restarted_empty(workload: Workload) -> None:
    workload.server.kill()
    workload.server.start()


def _restarted_old(workload: Workload) -> None:
    workload.server.kill()
    shutil.copytree(workload.server.directory / "old", workload.server.directory, dirs_exist_ok=True)
    workload.server.start()


LOSSES: dict[str, Callable[[Workload], None]] = {
    "FLUSHALL": _flushed,
    "DEL head": _head_deleted,
    "restart without persistence": _restarted_empty,
    "restart from an old snapshot": _restarted_old,
}


@pytest.mark.parametrize("name", some(LOSSES, at_least={"FLUSHALL", "restart from an old snapshot"}))
def test_what_redis_has_lost_is_cut_off(name: str) -> None:
    with under_load(bound=1.0, seed=SEED) as workload:
        # What nobody read before it was lost stays unseen, as is written down; what is enforced was read.
        workload.by_receipt = True
        time.sleep(WARM_SECONDS / 2)
        if "snapshot" in name:
            workload.server.client().save()
            old = workload.server.directory / "old"
            old.mkdir()
            shutil.copy(workload.server.directory / "dump.rdb", old)
        time.sleep(WARM_SECONDS)
        with workload.loss(name):
            LOSSES[name](workload)
        _shows_amnesia(workload)
        judge(name, workload, loses=True)


def test_a_failover_that_loses_what_followers_had_read_is_noticed_and_cut_off() -> None:
    with under_load(options=PRIMARY_OPTIONS, seed=SEED) as workload, replica_of(workload.server) as replica:
        workload.by_receipt = True
        # A first replica begins a reign of its own, and while that is young no receipt is enforced.
        _until_enforced(workload)
        replica.fall_behind()
        time.sleep(WARM_SECONDS)
        with workload.loss("failover"):
            replica.take_over()
        _shows_amnesia(workload)
        judge("failover to a replica that had fallen behind", workload, loses=True)


def _until_enforced(workload: Workload) -> None:
    deadline = time.monotonic() + 60
    nobody = Handle("session", "nobody", issuer="https://nobody.example")
    while not workload.denylist.revoke(nobody, wait_seconds=0.5).enforced:
        assert time.monotonic() < deadline, "no receipt is enforced"


def _shows_amnesia(workload: Workload) -> None:
    assert workload.metric("revocation_amnesia_total") >= 1
    health = workload.health()
    assert all(one["denylist"]["status"] == "ok" and one["denylist"]["accepts_from"] for one in health)
    assert "Redis has lost revocations" in workload.service.log


@pytest.mark.parametrize("way", some(["DEL log", "XTRIM 0"], at_least={"DEL log"}))
def test_a_log_without_its_entries_is_noticed_by_who_reads_it_next(way: str) -> None:
    with under_load(seed=SEED) as workload:
        time.sleep(WARM_SECONDS)
        with workload.loss(way):
            # Everything was read by those who run; who starts now misses it.
            with workload.nobody_revokes():
                if way == "DEL log":
                    workload.server.client().delete(workload.denylist.key("log"))
                else:
                    workload.server.client().xtrim(workload.denylist.key("log"), maxlen=0, approximate=False)
            os.kill(min(workload.service.worker_pids()), signal.SIGKILL)
        _shows_amnesia(workload)
        assert workload.metric("revocation_follower_log_entries_total", outcome="break") >= 1
        judge(way, workload, loses=True)


def test_redis_a_worker_and_connections_fail_one_after_the_other_and_nothing_is_lost() -> None:
    with under_load(seed=SEED) as workload:
        time.sleep(WARM_SECONDS)
        with workload.fault("stopped for 1 s"), workload.server.paused():
            time.sleep(1.0)
        with workload.fault("a worker stopped for longer than the bound"):
            pid = min(workload.service.worker_pids())
            os.kill(pid, signal.SIGSTOP)
            time.sleep(3.0)
            os.kill(pid, signal.SIGCONT)
        with workload.fault("CLIENT KILL"):
            _administered(workload, "CLIENT", "KILL", "TYPE", "normal")
        assert workload.metric("revocation_amnesia_total") == 0
        judge("stopped, worker stopped, CLIENT KILL", workload)


def _administered(workload: Workload, *command: str) -> None:
    # Somebody who is not killed with the others.
    admin: Any = redis.Redis(unix_socket_path=str(workload.server.socket), protocol=2)
    with contextlib.closing(admin):
        for _ in range(15):
            admin.execute_command(*command)
            time.sleep(0.1)


@LONG_ONLY
@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0, 10.0])
def test_redis_hangs(seconds: float) -> None:
    with under_load(seed=SEED) as workload:
        time.sleep(WARM_SECONDS)
        with workload.fault(f"stopped for {seconds} s"), workload.server.paused():
            time.sleep(seconds)
            if seconds > 2:
                assert {one["denylist"]["status"] for one in workload.health()} == {"unavailable"}
        if seconds > 2:
            assert workload.metric("revocation_decisions_total", outcome="unavailable") > 0
        assert workload.metric("revocation_amnesia_total") == 0
        judge(f"stopped for {seconds} s", workload)


@LONG_ONLY
def test_a_worker_is_killed() -> None:
    with under_load(seed=SEED) as workload:
        time.sleep(WARM_SECONDS)
        with workload.fault("worker killed"):
            pid = min(workload.service.worker_pids())
            os.kill(pid, signal.SIGKILL)
            while len(workload.service.worker_pids() - {pid}) < WORKERS:
                time.sleep(0.01)
        judge("worker killed", workload)


CUT = Fault(refuse=True)

NETWORK: dict[str, tuple[Fault, float]] = {
    "cut": (CUT, 2.5),
    "half open, nothing arrives": (Fault(request=swallowed, resets=True), 2.5),
    "half open, nothing returns": (Fault(reply=swallowed, resets=True), 2.5),
    "slow": (Fault(reply=late(0.6)), 2.5),
    "truncated replies": (Fault(reply=one_in(5, truncated)), 1.5),
}


def test_the_network_between_workers_and_redis_fails_in_many_ways_while_others_revoke() -> None:
    with under_load(through_proxy=True, seed=SEED) as workload:
        assert workload.proxy
        for name, (fault, seconds) in NETWORK.items():
            time.sleep(WARM_SECONDS)
            with workload.fault(name), workload.proxy.faulty(fault):
                time.sleep(seconds)
        judge(", ".join(NETWORK), workload)


@pytest.mark.parametrize("worker_class", some(["gevent", "sync"], at_least={"gevent"}))
def test_every_kind_of_worker_keeps_the_promise_when_the_network_is_cut(worker_class: str) -> None:
    with under_load(through_proxy=True, seed=SEED, APP_WORKER_CLASS=worker_class) as workload:
        assert workload.proxy
        time.sleep(WARM_SECONDS)
        with workload.fault(worker_class), workload.proxy.faulty(CUT):
            time.sleep(2.5)
        judge(f"cut, {worker_class}", workload)


@LONG_ONLY
def test_scripts_that_are_flushed_again_and_again_are_loaded_again() -> None:
    with under_load(seed=SEED) as workload:
        time.sleep(WARM_SECONDS)
        with workload.fault("SCRIPT FLUSH"):
            _administered(workload, "SCRIPT", "FLUSH")
        assert workload.metric("revocation_amnesia_total") == 0
        judge("SCRIPT FLUSH", workload)


@pytest.mark.parametrize("sabotage", some(["accept-on-error", "stamp-at-receipt"], at_least={"accept-on-error"}))
def test_the_checker_finds_what_is_broken_on_purpose(sabotage: str) -> None:
    # The slow network lets no connection time out, so that knowledge arrives, and late.
    with under_load(through_proxy=True, seed=SEED, sabotage=sabotage, REVOCATION_TIMEOUT="1.0") as workload:
        assert workload.proxy
        time.sleep(WARM_SECONDS)
        fault = CUT if sabotage == "accept-on-error" else Fault(reply=late(0.7))
        with workload.fault(sabotage), workload.proxy.faulty(fault):
            deadline = time.monotonic() + 60
            # As long as it takes for enough to be asked: on a busy machine, or with bad luck, little is.
            while len(check(workload.history.so_far(), recovery_seconds=10).violations) < 3:
                assert time.monotonic() < deadline, "the checker finds nothing"
                time.sleep(0.2)
        workload.stop()
        verdict = check(workload.history, recovery_seconds=10)
        report(f"sabotage: {sabotage}", workload, verdict)
        assert verdict.violations
