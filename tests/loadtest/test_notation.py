"""Figures as they are written."""

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.notation import ENTRANTS, FAULTS, duration, listed, number, share, size
from loadtest.results import Contestant, Fault


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (0.01234, "0.0123"),
        (0.9999, "1.00"),
        (1, "1.00"),
        (9.999, "10.0"),
        (251.7, "252"),
        (999.9, "1,000"),
        (12_345, "12,300"),
        (-4.256, "-4.26"),
        (float("inf"), "∞"),
        (float("-inf"), "-∞"),
    ],
)
def test_three_digits_count(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(1e-6, 1e12))
def test_what_is_written_is_within_half_a_percent(value: float) -> None:
    assert float(number(value).replace(",", "")) == pytest.approx(value, rel=0.00501)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 ms"),
        (0.000_95, "950 µs"),
        (0.000_999_9, "1.00 ms"),
        (0.0042, "4.20 ms"),
        (0.9999, "1.00 s"),
        (75, "75.0 s"),
        (float("inf"), "∞ s"),
    ],
)
def test_durations_are_in_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (0.04, "0 B"), (71.1, "71 B"), (999.9, "1.00 kB"), (64_000_000, "64.0 MB"), (8.2e9, "8.20 GB")],
)
def test_sizes_are_in_powers_of_ten(count: float, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 9, "0 %"), (9, 9, "100 %"), (1, 4, "25 %"), (1, 1000, "< 1 %"), (999, 1000, "> 99 %")],
)
def test_all_and_nothing_are_said_of_all_and_nothing_only(part: float, whole: float, text: str) -> None:
    assert share(part, whole) == text


def test_things_are_listed_as_in_a_sentence() -> None:
    assert [listed(list("abc"[:count])) for count in range(4)] == ["", "a", "a and b", "a, b and c"]


def test_every_contestant_and_every_fault_has_a_name_for_readers() -> None:
    assert set(ENTRANTS) == set(get_args(Contestant))
    assert set(FAULTS) == set(get_args(Fault))
