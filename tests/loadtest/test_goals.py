"""Where a run stands against the goals."""

from dataclasses import replace

import pytest

from loadtest.goals import TIMEOUT_MS, Goal, goals
from loadtest.results import BadDay, Contestant, Results, Revoking
from tests.loadtest.made_up import made_up, made_up_cost, made_up_propagation


def goal(results: Results, *words: str) -> Goal:
    """The one goal whose figure has all of these words."""
    [found] = [one for one in goals(results) if all(word in one.figure for word in words)]
    return found


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    nothing = made_up(cost=(), propagation=(), scale=(), revoking=(), bad_day=(), dial=())
    assert {(one.measured, one.met) for one in goals(nothing)} == {(None, None)}


def test_every_goal_can_be_judged() -> None:
    judged, nothing = goals(made_up()), goals(made_up(cost=(), propagation=(), scale=(), revoking=(), bad_day=()))
    assert all(one.measured and one.met is not None and one.source for one in judged)
    assert [one.figure for one in judged] == [one.figure for one in nothing]


@pytest.mark.parametrize(
    ("ours", "theirs", "algorithm", "least"),
    [
        ("bounded", "textbook", "ES256", 1.45),
        ("bounded", "textbook", "HS256", 1.1),
        ("bounded", "none", "ES256", 0.93),
        ("strict", "textbook", "ES256", 1.05),
        ("bounded", "jwt_extended", "ES256", 2.3),
        ("strict", "jwt_extended", "ES256", 1.6),
    ],
)
def test_a_ratio_is_met_from_its_least_on(ours: Contestant, theirs: Contestant, algorithm: str, least: float) -> None:
    def judged(ratio: float) -> bool | None:
        mine = made_up_cost(contestant=ours, algorithm=algorithm, cpu_seconds=1.0)
        other = made_up_cost(contestant=theirs, algorithm=algorithm, cpu_seconds=ratio)
        [found] = [
            one for one in goals(made_up(cost=(mine, other))) if one.figure.startswith("requests") and one.measured
        ]
        return found.met

    assert judged(least + 0.001) is True
    assert judged(least - 0.001) is False


@pytest.mark.parametrize(("contestant", "commands"), [("bounded", 0), ("strict", 1)])
def test_beats_of_a_follower_are_not_commands_of_requests(contestant: Contestant, commands: int) -> None:
    def judged(total: int) -> bool | None:
        row = made_up_cost(contestant=contestant, requests=1000, redis_commands=total)
        return goal(made_up(cost=(row,)), "Redis commands", contestant).met

    assert judged(1000 * commands + 20) is True
    assert judged(1000 * commands + 100) is False


def test_the_slowest_setting_counts() -> None:
    rows = (made_up_propagation((1.0,)), made_up_propagation((9.0,), worker_class="gevent"))
    results = made_up(propagation=rows)
    assert goal(results, "every one of 8 workers", "p50").met is False
    assert goal(results, "every one of 8 workers", "p99").met is True


def test_one_accept_too_late_is_missed() -> None:
    late = made_up_propagation((1.0,), wrong_accepts=1)
    assert goal(made_up(propagation=(made_up_propagation((1.0,)), late)), "later than").met is False
    assert goal(made_up(propagation=(made_up_propagation((1.0,)),)), "later than").met is True


def test_peers_promise_nothing_and_break_nothing() -> None:
    peer = made_up_propagation((99.0,), contestant="session", bound_ms=None, wrong_accepts=0)
    assert goal(made_up(propagation=(peer,)), "later than").met is None


def test_a_check_that_grows_with_the_list_is_not_flat() -> None:
    few, *_, many = made_up().scale
    grown = made_up(scale=(replace(few, check_us=0.5), replace(many, check_us=0.9)))
    assert goal(grown, "one check").met is True
    assert goal(grown, "the same check").met is False


def test_catch_up_is_that_of_the_longest_list() -> None:
    few, short, *_, many = made_up().scale
    slow_start = made_up(scale=(many, few, replace(short, catch_up_seconds=60.0)))
    assert goal(slow_start, "catch-up").met is True
    slow = made_up(scale=(few, replace(many, entries=1_000_000, catch_up_seconds=10.0)))
    assert goal(slow, "catch-up").met is False


def test_revoking_is_judged_by_way() -> None:
    rows = (
        Revoking(way="one_by_one", revocations=5_000, seconds=1.0),
        Revoking(way="bulk", revocations=39_999, seconds=1.0),
    )
    results = made_up(revoking=rows)
    assert goal(results, "one by one").met is True
    assert goal(results, "in bulk").met is False


def strict(**changes: object) -> Results:
    row = BadDay(
        contestant="strict",
        fault="hung",
        answers={"503": 100},
        p50_ms=1.5,
        p99_ms=TIMEOUT_MS + 19,
        well_again_seconds=1.0,
    )
    return made_up(bad_day=(replace(row, **changes),))  # type: ignore[arg-type]  # fields by name


def test_a_503_has_to_come_soon() -> None:
    assert goal(strict(), "503", "p99").met is True
    assert goal(strict(), "503", "p50").met is True
    assert goal(strict(p99_ms=TIMEOUT_MS + 21), "503", "p99").met is False
    assert goal(strict(p50_ms=2.1), "503", "p50").met is False


def test_an_answer_that_never_came_is_missed_however_fast_the_others_were() -> None:
    assert goal(strict(answers={"503": 99, "none": 1}), "503", "p99").met is False
