"""The arithmetic over raw results, by examples computed by hand and by properties."""

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import figures
from loadtest.figures import Distribution, Setting, Spread, percentile
from loadtest.results import Contestant, Cost, Results, Revoking, Scale
from tests.loadtest.made_up import made_up, made_up_cost, made_up_propagation

ES256 = Setting("ES256", "gthread")

milliseconds = st.lists(st.floats(0, 1e6), min_size=1, max_size=50)
cpu_seconds = st.floats(1e-3, 1e3)


@pytest.mark.parametrize(("percent", "value"), [(0, 10), (25, 10), (26, 20), (50, 20), (75, 30), (99, 40), (100, 40)])
def test_a_percentile_is_the_value_of_the_nearest_rank(percent: float, value: float) -> None:
    assert percentile([40, 10, 30, 20], percent) == value


def test_the_99th_of_a_hundred_values_is_not_the_highest() -> None:
    assert percentile(range(1, 101), 99) == 99
    assert percentile(range(1, 102), 99) == 100


@given(milliseconds, st.integers(1, 100))
def test_a_percentile_occurred_and_splits_the_values_there(values: list[float], percent: int) -> None:
    found = percentile(values, percent)
    assert found in values
    assert 100 * sum(value <= found for value in values) >= percent * len(values)
    assert 100 * sum(value < found for value in values) < percent * len(values)


@pytest.mark.parametrize(("values", "percent"), [([], 50), ([1.0], -1), ([1.0], 101)])
def test_a_percentile_of_nothing_is_an_error(values: list[float], percent: float) -> None:
    with pytest.raises(ValueError, match="no percentile"):
        percentile(values, percent)


def test_a_spread_is_median_least_and_most() -> None:
    assert Spread.of([4.0, 1.0, 2.0]) == Spread(2.0, 1.0, 4.0)
    assert Spread.of([1.0, 2.0, 4.0, 8.0]) == Spread(3.0, 1.0, 8.0)
    assert Spread.of([]) is None


def test_how_far_rounds_are_apart_is_relative_to_their_median() -> None:
    assert Spread(200.0, 190.0, 220.0).relative == pytest.approx(0.15)
    assert Spread(0.0, 0.0, 0.0).relative == 0


# Cost


def costs(contestant: Contestant, *microseconds: float) -> list[Cost]:
    """A round each, of 1,000 requests."""
    return [
        made_up_cost(contestant=contestant, round=number, cpu_seconds=us / 1000)
        for number, us in enumerate(microseconds)
    ]


def of(*rows: Cost) -> Results:
    return made_up(cost=rows)


def test_cost_is_cpu_time_by_request() -> None:
    row = made_up_cost(requests=4000, cpu_seconds=1.0, seconds=2.0, redis_commands=6000, redis_bytes=1_000_000)
    assert figures.cpu_us(row) == 250
    assert figures.requests_per_second(row) == 2000
    assert figures.redis_commands(row) == 1.5
    assert figures.redis_bytes(row) == 250


def test_a_ratio_is_taken_within_each_round_and_not_between_medians() -> None:
    results = of(*costs("bounded", 100, 200, 300), *costs("textbook", 400, 100, 330))
    found = figures.ratio(results, "bounded", "textbook", ES256)
    assert found is not None
    assert (found.median, found.least, found.most) == pytest.approx((1.1, 0.5, 4.0))


def test_a_ratio_leaves_out_rounds_that_one_of_them_lacks() -> None:
    ours = costs("bounded", 100, 100, 100)
    unanswered = made_up_cost(contestant="textbook", round=0, requests=0)
    too_short, whole = costs("textbook", 900, 0, 200)[1:]
    found = figures.ratio(of(*ours, unanswered, too_short, whole), "bounded", "textbook", ES256)
    assert found == Spread(2.0, 2.0, 2.0)


def test_there_is_no_ratio_to_what_was_not_measured() -> None:
    assert figures.ratio(of(*costs("bounded", 100)), "bounded", "textbook", ES256) is None
    assert (
        figures.ratio(of(*costs("bounded", 1), *costs("textbook", 1)), "bounded", "textbook", Setting("x", "y")) is None
    )


@given(st.lists(st.tuples(cpu_seconds, cpu_seconds, st.floats(0.1, 10)), min_size=1, max_size=6))
def test_what_slows_both_in_a_round_changes_no_ratio(rounds: list[tuple[float, float, float]]) -> None:
    def rows(*, slowed: bool) -> list[Cost]:
        return [
            made_up_cost(contestant=name, round=number, cpu_seconds=cpu * (slowdown if slowed else 1.0))
            for number, (ours, theirs, slowdown) in enumerate(rounds)
            for name, cpu in (("bounded", ours), ("textbook", theirs))
        ]

    quiet = figures.ratio(of(*rows(slowed=False)), "bounded", "textbook", ES256)
    noisy = figures.ratio(of(*rows(slowed=True)), "bounded", "textbook", ES256)
    assert quiet is not None
    assert noisy is not None
    assert (noisy.median, noisy.least, noisy.most) == pytest.approx((quiet.median, quiet.least, quiet.most))


@given(st.lists(st.tuples(cpu_seconds, cpu_seconds), min_size=1, max_size=6))
def test_turning_a_ratio_round_turns_its_least_into_its_most(rounds: list[tuple[float, float]]) -> None:
    results = of(
        *costs("bounded", *(1000 * ours for ours, _ in rounds)),
        *costs("textbook", *(1000 * theirs for _, theirs in rounds)),
    )
    one = figures.ratio(results, "bounded", "textbook", ES256)
    other = figures.ratio(results, "textbook", "bounded", ES256)
    assert one is not None
    assert other is not None
    assert one.least == pytest.approx(1 / other.most)
    assert one.most == pytest.approx(1 / other.least)


def test_costs_of_another_setting_stay_apart() -> None:
    results = of(*costs("bounded", 100), made_up_cost(algorithm="HS256", cpu_seconds=9.0))
    assert figures.cost(results, "bounded", ES256, figures.cpu_us) == Spread(100.0, 100.0, 100.0)
    assert figures.settings(results) == (ES256, Setting("HS256", "gthread"))


def test_the_main_setting_is_es256_under_gthread_where_it_was_measured() -> None:
    other = made_up_cost(algorithm="HS256")
    assert figures.main_setting(of(other, made_up_cost())) == ES256
    assert figures.main_setting(of(other)) == Setting("HS256", "gthread")
    assert figures.main_setting(of()) is None


# Revocation


def test_a_revocation_is_in_force_everywhere_when_the_last_worker_refuses() -> None:
    row = made_up_propagation((0.0, 3.0, 1.0), (2.0, 0.0, 0.5))
    assert figures.everywhere(row) == [3.0, 2.0]


def test_a_worker_that_went_away_has_fewer_delays() -> None:
    row = made_up_propagation((0.0, 3.0), (2.0,), ())
    assert figures.everywhere(row) == [3.0, 2.0]


@given(st.lists(st.tuples(*[st.floats(0, 1e5)] * 3), min_size=1, max_size=30))
def test_everywhere_is_never_sooner_than_in_one_worker(delays: list[tuple[float, ...]]) -> None:
    row = made_up_propagation(*delays)
    whole = Distribution.of(figures.everywhere(row))
    assert whole is not None
    for values in zip(*delays, strict=True):
        one = Distribution.of(values)
        assert one is not None
        assert (one.p50, one.p99, one.most) <= (whole.p50, whole.p99, whole.most)
        assert one.p99 <= whole.p99
        assert one.most <= whole.most


@pytest.mark.parametrize(
    ("delays", "bound", "wrong", "kept"),
    [
        ([(1.0, 1000.0)], 1000.0, 0, True),
        ([(1.0, 1000.1)], 1000.0, 0, False),
        ([(1.0, 2.0)], 1000.0, 1, False),
        ([(0.0, 0.0)], 0.0, 0, True),
        ([(0.0, 0.1)], 0.0, 0, False),
        ([(1.0, 2.0)], None, 0, None),
        ([], 1000.0, 0, None),
    ],
)
def test_a_promise_is_kept_when_nothing_was_accepted_later(
    delays: list[tuple[float, ...]], bound: float | None, wrong: int, kept: bool | None
) -> None:
    assert figures.kept(made_up_propagation(*delays, bound_ms=bound, wrong_accepts=wrong)) is kept


# Scale


def scale(entries: int, redis_bytes: int, worker_bytes: int) -> Scale:
    return Scale(
        entries=entries,
        check_us=1.0,
        redis_bytes=redis_bytes,
        worker_bytes=worker_bytes,
        catch_up_seconds=1.0,
        p99_idle_ms=1.0,
        p99_meanwhile_ms=1.0,
    )


def test_an_entry_takes_what_a_long_list_has_over_a_short_one() -> None:
    rows = (scale(1_000, 500_000, 300_000), scale(0, 100_000, 0), scale(500, 200_000, 999_999))
    assert figures.per_entry(made_up(scale=rows)) == (400.0, 300.0)


def test_one_list_does_not_say_what_an_entry_takes() -> None:
    assert figures.per_entry(made_up(scale=(scale(10, 1, 1),))) is None
    assert figures.per_entry(made_up(scale=())) is None


def test_revocations_per_second_are_of_their_way() -> None:
    rows = (
        Revoking(way="bulk", revocations=100, seconds=2.0),
        Revoking(way="bulk", revocations=300, seconds=2.0),
        Revoking(way="one_by_one", revocations=7, seconds=1.0),
        Revoking(way="one_by_one", revocations=7, seconds=0.0),
    )
    assert figures.revocations_per_second(made_up(revoking=rows), "bulk") == Spread(100.0, 50.0, 150.0)
    assert figures.revocations_per_second(made_up(revoking=rows), "one_by_one") == Spread(7.0, 7.0, 7.0)


@given(milliseconds)
def test_a_distribution_is_in_order(values: list[float]) -> None:
    found = Distribution.of(values)
    assert found is not None
    assert min(values) <= found.p50 <= found.p99 <= found.most == max(values)
    assert found.count == len(values)
    assert math.isclose(found.p50, statistics.median_low(values))
