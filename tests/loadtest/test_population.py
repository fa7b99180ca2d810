"""The requests of a turn are what its mix says, and a token is new to whoever is measured next."""

from collections import Counter
from collections.abc import Iterator

import pytest

from loadtest.population import MIXES, Mix, Population
from loadtest.profile import QUICK, within
from loadtest.server import setup_on, store


@pytest.fixture(scope="module")
def population() -> Iterator[Population]:
    with store() as valkey:
        yield Population(setup_on(valkey, algorithm="HS256"))


@pytest.mark.parametrize("mix", [mix for mix in MIXES if mix != "zipf"])
def test_each_token_is_used_as_often_as_the_mix_says(population: Population, mix: Mix) -> None:
    uses = Counter(population.requests(mix, 200))
    assert set(uses.values()) == {int(mix)}
    assert len(uses) * int(mix) == 200


def test_under_zipf_some_users_are_busy_and_most_are_not(population: Population) -> None:
    uses = sorted(Counter(population.requests("zipf", 400)).values())
    assert sum(uses) == 400
    assert uses[-1] > 10 * uses[0]
    assert uses[len(uses) // 2] < sum(uses) / len(uses)


def test_no_two_turns_share_a_token(population: Population) -> None:
    assert not set(population.requests("5", 50)) & set(population.requests("5", 50))


def test_turns_end_with_the_time_for_them_but_never_before_the_least() -> None:
    assert list(within(60.0, 3)) == [0, 1, 2]
    assert list(within(0.0, 5)) == [0]
    assert list(within(0.0, 5, least=3)) == [0, 1, 2]


def test_a_run_that_is_late_has_fewer_rounds_and_none_takes_longer_than_it_may() -> None:
    in_time = QUICK.in_time(elapsed_seconds=0.0, comparisons=5.0)
    late = QUICK.in_time(elapsed_seconds=60.0, comparisons=4.0)

    assert in_time.seconds == QUICK.seconds
    assert late.seconds == (QUICK.whole_seconds - QUICK.other_seconds - 60.0) / 4
    assert QUICK.in_time(elapsed_seconds=300.0, comparisons=1.0).seconds == 0.0
    assert QUICK.whole_seconds < 120
    assert QUICK.in_time(elapsed_seconds=0.0, comparisons=0.0).seconds == QUICK.seconds
