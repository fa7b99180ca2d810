"""decide_nowait and decide_async: the same decisions, and no event loop waits for them."""

import asyncio
import os
import threading
import time
from collections.abc import Sequence

import pytest

from revocation import Accepted, Decision, DenylistUnavailableError, Guard, Handle, RedisDenylist, Refused, connect
from revocation.asker import Asker
from revocation.testing import Clock, Sandbox
from tests.support.denylists import opened, until
from tests.support.servers import StartServer
from tests.support.tokens import ISSUER, Forge


def outcome(decision: Decision) -> tuple[str, str, bool]:
    reason = "" if isinstance(decision, Accepted) else getattr(decision.error, "reason", decision.error.slug)
    return reason, decision.source, decision.is_fallback


@pytest.mark.parametrize("bound", [0, 1, 60.0, float("inf")])
@pytest.mark.parametrize("trouble", ["", "revoked", "forged", "down", "lost"])
def test_whichever_way_it_is_asked_for_the_decision_is_the_same(bound: float, trouble: str) -> None:
    sandbox = Sandbox()
    token = sandbox.mint() + ("x" if trouble == "forged" else "")
    if trouble == "revoked":
        sandbox.revoke(token)
    if trouble == "lost":
        sandbox.flush()
    if trouble == "down":
        sandbox.denylist.down = True
        sandbox.clock.advance(2)

    decided = sandbox.guard.decide(token, max_staleness=bound)
    without_waiting = sandbox.guard.decide_nowait(token, max_staleness=bound)
    awaited = asyncio.run(sandbox.guard.decide_async(token, max_staleness=bound))

    assert outcome(awaited) == outcome(decided)
    if without_waiting is None:
        assert decided.source == "redis"
    else:
        assert outcome(without_waiting) == outcome(decided)


def test_without_waiting_means_that_nobody_is_asked() -> None:
    sandbox = Sandbox()
    token = sandbox.mint()

    with sandbox.redis_down():
        assert isinstance(sandbox.guard.decide_nowait(token), Accepted)
        assert sandbox.guard.decide_nowait(token, max_staleness=0) is None
        sandbox.clock.advance(2)
        assert sandbox.guard.decide_nowait(token) is None


class Slow:
    """A deny-list that answers when the test lets it, and remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.threads: set[int] = set()
        self.is_asked = threading.Event()
        self.may_answer = threading.Event()
        self.error: Exception | None = None

    def __call__(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        self.asked.append(len(many))
        self.threads.add(threading.get_ident())
        self.is_asked.set()
        assert self.may_answer.wait(30)
        if self.error is not None:
            raise self.error
        return [float(handles[0].value) for handles in many]


def handles(number: int) -> list[Handle]:
    return [Handle("subject", str(number), issuer=ISSUER)]


def test_whoever_waits_shares_one_thread_and_few_questions_and_gets_the_answer_to_his_own() -> None:
    slow = Slow()
    asker = Asker(slow)

    async def burst() -> list[float]:
        first = asyncio.create_task(asker.latest_cutoff(handles(0)))
        await asyncio.to_thread(slow.is_asked.wait, 30)
        others = [asyncio.create_task(asker.latest_cutoff(handles(number))) for number in range(1, 601)]
        for _ in range(10):
            await asyncio.sleep(0)
        slow.may_answer.set()
        return await asyncio.gather(first, *others)

    assert asyncio.run(burst()) == [float(number) for number in range(601)]
    assert slow.asked == [1, 256, 256, 88]
    assert len(slow.threads) == 1


def test_an_error_reaches_everybody_who_asked_and_nobody_after() -> None:
    slow = Slow()
    asker = Asker(slow)
    slow.may_answer.set()

    async def asked() -> list[float | BaseException]:
        return await asyncio.gather(
            *(asker.latest_cutoff(handles(number)) for number in (1, 2)), return_exceptions=True
        )

    slow.error = DenylistUnavailableError("away")
    assert [type(answer) for answer in asyncio.run(asked())] == [DenylistUnavailableError] * 2
    slow.error = None
    assert asyncio.run(asked()) == [1, 2]


def test_who_no_longer_waits_is_not_asked_for() -> None:
    slow = Slow()
    asker = Asker(slow)

    async def left() -> None:
        first = asyncio.create_task(asker.latest_cutoff(handles(1)))
        await asyncio.to_thread(slow.is_asked.wait, 30)
        gone = [asyncio.create_task(asker.latest_cutoff(handles(2))) for _ in range(9)]
        await asyncio.sleep(0)
        for task in gone:
            task.cancel()
        last = asyncio.create_task(asker.latest_cutoff(handles(3)))
        await asyncio.sleep(0)
        slow.may_answer.set()
        assert list(await asyncio.gather(first, last)) == [1, 3]

    asyncio.run(left())

    assert slow.asked == [1, 1]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_asks_in_a_thread_of_its_own() -> None:
    slow = Slow()
    slow.may_answer.set()
    asker = Asker(slow)
    assert asyncio.run(asker.latest_cutoff(handles(1))) == 1

    pid = os.fork()
    if pid == 0:
        try:
            os._exit(int(asyncio.run(asyncio.wait_for(asker.latest_cutoff(handles(2)), 30))))
        finally:
            os._exit(1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 2


def test_the_loop_goes_on_while_redis_hangs_and_everybody_gets_his_answer(
    start_server: StartServer, namespace: str
) -> None:
    server = start_server()
    client = connect(server.url, timeout_seconds=0.5)
    opened(server.client(), namespace)
    forge = Forge(clock=Clock(time.time()))
    guard = Guard(forge.verifier(), RedisDenylist(client, namespace=namespace), max_staleness=60)
    token = forge.token()
    ticks = threads = 0

    async def story() -> list[Decision]:
        nonlocal ticks, threads
        strict = await guard.decide_async(token, max_staleness=0)
        assert isinstance(strict, Accepted)
        await asyncio.to_thread(until, lambda: guard.decide(token).source == "follower")
        before = threading.active_count()
        with server.paused():
            hanging = [asyncio.create_task(guard.decide_async(token, max_staleness=0)) for _ in range(200)]
            while not all(task.done() for task in hanging):
                bounded = guard.decide_nowait(token)
                assert bounded is not None
                assert bounded.source == "follower"
                ticks += 1
                threads = max(threads, threading.active_count() - before)
                await asyncio.sleep(0.001)
        return await asyncio.gather(*hanging)

    decisions = asyncio.run(asyncio.wait_for(story(), 60))
    guard.stop()

    assert all(isinstance(decision, Refused) for decision in decisions)
    assert {outcome(decision)[0] for decision in decisions} == {"denylist_unavailable"}
    # One wait for Redis alone lasts 500 ticks; a loop that was held by it would have had a handful.
    assert ticks > 50
    assert threads == 0
