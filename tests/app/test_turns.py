"""A database that hangs takes no more threads of a process than it may."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.database import DatabaseUnavailableError
from app.database.turns import Turns, in_background
from revocation.testing import Clock


def test_who_comes_while_the_database_hangs_is_refused_at_once() -> None:
    clock = Clock()
    turns = Turns(2, clock=clock)
    with turns.taken(), turns.taken():
        clock.advance(1.0)
        with pytest.raises(DatabaseUnavailableError, match="2 threads of this process wait"), turns.taken():
            pass

    with turns.taken(), turns.taken():
        pass


def test_who_comes_while_others_take_their_usual_time_waits_for_a_turn() -> None:
    turns = Turns(2)
    most, running, lock = 0, 0, threading.Lock()

    def use(_: int) -> None:
        nonlocal most, running
        with turns.taken():
            with lock:
                running += 1
                most = max(most, running)
            with lock:
                running -= 1

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(400)))

    assert most <= 2


def test_an_error_gives_the_turn_back() -> None:
    turns = Turns(1)

    def fail() -> None:
        with turns.taken():
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    with turns.taken():
        pass


def test_a_thread_in_the_background_takes_no_turn_from_a_request() -> None:
    """It may hang in the database for seconds after everybody else could use it again."""
    clock = Clock()
    turns = Turns(1, clock=clock)

    with in_background():
        hanging = turns.taken()
        hanging.__enter__()
    clock.advance(5.0)

    with turns.taken():
        pass
    hanging.__exit__(None, None, None)
