"""What a run does not say is said."""

from dataclasses import replace
from typing import Any

import pytest

from loadtest.shortcomings import missing, noise
from tests.loadtest.made_up import made_up, made_up_cost


def test_a_whole_run_has_no_gaps() -> None:
    assert missing(made_up()) == ()


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("cost", "cost"),
        ("propagation", "speed of revocation"),
        ("scale", "scale"),
        ("revoking", "revocations per second"),
        ("bad_day", "a bad day"),
        ("dial", "the dial"),
    ],
)
def test_an_empty_section_is_named(section: str, words: str) -> None:
    empty: dict[str, Any] = {section: ()}
    assert missing(made_up(**empty)) == (f"Not measured: {words}.",)


def test_an_interruption_is_named() -> None:
    assert missing(made_up(interrupted=True)) == ("The run was interrupted: these are the figures it had by then.",)


def test_a_contestant_that_was_not_reached_is_named() -> None:
    rows = tuple(
        row
        for row in made_up().cost
        if (row.contestant, row.algorithm, row.worker_class) != ("strict", "ES256", "gevent")
    )
    assert missing(made_up(cost=rows)) == ("No cost with ES256 under gevent: strict (ours).",)


def test_rounds_that_were_not_reached_are_named() -> None:
    assert missing(made_up(cost=made_up().cost[:-2])) == (
        "Fewer than 5 rounds with HS256 under gevent: flask-jwt-extended (4) and introspection (4).",
    )


def test_wrong_answers_are_named() -> None:
    first, *others = made_up().cost
    wrong = replace(first, requests=1000, failures=3)
    assert missing(made_up(cost=(wrong, *others))) == (
        "no authentication: 3 of 1,000 answers were wrong in 1 rounds; its cost there is not that of right answers.",
    )


def test_a_speed_that_was_not_measured_is_named() -> None:
    rows = tuple(row for row in made_up().propagation if row.contestant != "session")
    assert missing(made_up(propagation=rows)) == ("No speed of revocation: server-side session.",)


def test_a_fault_that_was_not_reached_is_named() -> None:
    rows = tuple(row for row in made_up().bad_day if (row.contestant, row.fault) != ("strict", "dead"))
    assert missing(made_up(bad_day=rows)) == ("A bad day of strict (ours) lacks: Redis is dead.",)


def test_noise_is_the_widest_spread_between_rounds_of_one_contestant() -> None:
    quiet = [made_up_cost(round=number, cpu_seconds=1.0) for number in range(3)]
    noisy = [
        made_up_cost(contestant="strict", round=number, cpu_seconds=seconds)
        for number, seconds in enumerate((0.9, 1.0, 1.2))
    ]
    said = noise(made_up(cost=(*quiet, *noisy)))
    assert said is not None
    assert "15.0 % in the median" in said
    assert "30.0 % at most: strict (ours), ES256 under gthread" in said


def test_one_round_says_nothing_about_noise() -> None:
    assert noise(made_up(cost=(made_up_cost(),))) is None
