"""Breaker: a server that does not answer is left alone, and asked again soon."""

from collections.abc import Sequence

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st

from revocation import DenylistUnavailableError
from revocation.redis.breaker import Breaker
from revocation.redis.link import Link
from revocation.testing import Clock


def test_a_breaker_opens_after_three_failures_in_a_row() -> None:
    breaker = Breaker(clock=Clock())

    for _ in range(2):
        breaker.failed()
        assert not breaker.is_open
        assert breaker.admits()
    breaker.failed()
    assert breaker.is_open
    assert not breaker.admits()


def test_an_answer_in_between_starts_the_count_again() -> None:
    breaker = Breaker(clock=Clock())

    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()

    assert breaker.admits()


def test_one_trial_a_second_is_let_through() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for _ in range(3):
        breaker.failed()

    for _ in range(5):
        clock.advance(0.999)
        assert not breaker.admits()
        clock.advance(0.001)
        assert breaker.admits()
        assert not breaker.admits()
        breaker.failed()
        assert breaker.is_open


def test_a_trial_that_never_comes_back_does_not_keep_it_open() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for _ in range(3):
        breaker.failed()
    clock.advance(1)
    assert breaker.admits()

    clock.advance(1)
    assert breaker.admits()


def test_a_trial_that_is_answered_closes_it() -> None:
    clock = Clock()
    breaker = Breaker(clock=clock)
    for _ in range(3):
        breaker.failed()
    clock.advance(1)
    assert breaker.admits()

    breaker.succeeded()

    assert not breaker.is_open
    assert [breaker.admits() for _ in range(5)] == [True] * 5


@given(st.lists(st.sampled_from(["answer", "fail", "wait"]), max_size=60))
def test_while_open_at_most_one_call_a_second_is_admitted(events: Sequence[str]) -> None:
    clock = Clock()
    breaker = Breaker(failures=3, open_seconds=1.0, clock=clock)
    failures, trials = 0, [0.0]
    for event in events:
        if event == "wait":
            clock.advance(0.4)
            continue
        admitted = breaker.admits()
        assert admitted or failures >= 3
        if not admitted:
            continue
        if failures >= 3:
            assert clock.now - trials[-1] >= 1.0 - 1e-6
        trials.append(clock.now)
        failures = 0 if event == "answer" else failures + 1
        breaker.succeeded() if event == "answer" else breaker.failed()


# On the way to Redis


@pytest.mark.parametrize(
    "error",
    [
        *(redis.ConnectionError("refused"), redis.TimeoutError("timed out"), OSError("no route")),
        *(redis.exceptions.BusyLoadingError("loading"), redis.AuthenticationError("wrong password")),
    ],
)
def test_a_server_that_does_not_answer_is_soon_not_asked(error: Exception) -> None:
    clock, asked = Clock(), 0
    link = Link(redis.Redis(), breaker=Breaker(clock=clock))

    def ask(_: "redis.Redis") -> None:
        nonlocal asked
        asked += 1
        raise error

    for _ in range(20):
        with pytest.raises(DenylistUnavailableError) as caught:
            link.call(ask)
    assert asked == 3
    assert caught.value.retry_after_seconds == 1
    clock.advance(1)
    with pytest.raises(DenylistUnavailableError) as caught:
        link.call(ask)
    assert caught.value.__cause__ is error
    assert asked == 4


@pytest.mark.parametrize(
    "error",
    [
        *(
            redis.ResponseError("OOM"),
            redis.exceptions.ReadOnlyError("replica"),
            redis.exceptions.NoPermissionError("no"),
        ),
        *(redis.DataError("odd"), redis.exceptions.MaxConnectionsError("Too many connections")),
    ],
)
def test_an_answer_that_is_an_error_is_no_reason_to_stop_asking(error: Exception) -> None:
    link, asked = Link(redis.Redis(), breaker=Breaker(clock=Clock())), 0

    def ask(_: "redis.Redis") -> None:
        nonlocal asked
        asked += 1
        raise error

    for _ in range(20):
        with pytest.raises(DenylistUnavailableError) as caught:
            link.call(ask)
        assert caught.value.__cause__ is error
    assert asked == 20


def test_a_mistake_of_our_own_is_not_taken_for_an_outage() -> None:
    link = Link(redis.Redis(), breaker=Breaker(clock=Clock()))

    def ask(_: "redis.Redis") -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        link.call(ask)
