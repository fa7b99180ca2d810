"""Profile: how much of what is measured."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, Self

from loadtest.contestants import NAMES, Name
from loadtest.population import MIXES, Mix

#: Tells the person who waits what is being measured.
Tell = Callable[[str], None]


def within(seconds: float, count: int, *, least: int = 1) -> Iterator[int]:
    """Numbers below the count: as many as there is time for from the first on, and at the least so many."""
    ends = time.monotonic() + seconds
    for number in range(count):
        if number >= least and time.monotonic() >= ends:
            return
        yield number


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One run."""

    name: Literal["quick", "full"]
    contestants: tuple[Name, ...] = NAMES
    #: By the number of workers, the mixes that are asked of them.
    mixes: Mapping[int, tuple[Mix, ...]]
    rounds: int
    #: Requests of one turn.
    requests: int
    #: Rounds of the instrument without sockets, each with so many tokens.
    turns_in_process: int
    tokens_in_process: int = 10
    #: Revocations of each contestant that has any, over so many workers; of ours, at the default bound.
    workers: int
    revocations: int
    revocations_of_bounded: int
    revocations_under_fault: int
    fault_seconds: float
    #: Sizes of the deny-list.
    entries: tuple[int, ...]
    #: The longest that the rounds of one comparison may take: on a slow machine there are fewer of them.
    seconds: float
    #: How long the whole run should take, and what of that passes without rounds: servers start, Redis is away.
    whole_seconds: float
    other_seconds: float

    def in_time(self, *, elapsed_seconds: float, comparisons: float) -> Self:
        """The profile for the next part, where so many comparisons are left: late runs have fewer rounds."""
        left = self.whole_seconds - self.other_seconds - elapsed_seconds
        return replace(self, seconds=max(0.0, min(self.seconds, left / max(1.0, comparisons))))


QUICK: Final = Profile(
    name="quick",
    mixes={1: MIXES, 8: ("1", "20")},
    rounds=4,
    requests=400,
    turns_in_process=200,
    workers=8,
    revocations=20,
    revocations_of_bounded=200,
    revocations_under_fault=1,
    fault_seconds=1.5,
    entries=(0, 10_000),
    seconds=12.0,
    whole_seconds=110.0,
    other_seconds=40.0,
)

FULL: Final = Profile(
    name="full",
    mixes={1: MIXES, 8: MIXES},
    rounds=8,
    requests=400,
    turns_in_process=1_000,
    workers=8,
    revocations=200,
    revocations_of_bounded=10_000,
    revocations_under_fault=5,
    fault_seconds=3.0,
    entries=(0, 10_000, 200_000),
    seconds=100.0,
    whole_seconds=480.0,
    other_seconds=60.0,
)
