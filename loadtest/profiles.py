"""Profiles: how much of what is measured, in a quick run and in a full one."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, get_args

Section = Literal["cost", "propagation", "scale", "bad-day", "dial"]

SECTIONS: Final[tuple[Section, ...]] = get_args(Section)

#: Tells the person who waits what is being measured.
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One run. Durations are seconds."""

    name: Literal["quick", "full"]
    algorithms: tuple[str, ...]
    worker_classes: tuple[str, ...]
    sections: tuple[Section, ...] = SECTIONS
    rounds: int
    #: The duration of load, for each contestant in each round and wherever else a load is measured.
    seconds: float
    #: Processes of each contestant while the speed of revocation is measured.
    workers: int
    #: How many revocations of each contestant have their delay measured, and how many more have their receipt measured.
    revocations: int
    receipts: int
    #: Sizes of the deny-list.
    entries: tuple[int, ...]
    #: How many revocations are written one by one, and how many in bulk.
    revoked_singly: int
    revoked_in_bulk: int
    #: The duration of load under each fault, and the longest to wait until all is well again.
    fault_seconds: float
    recovery_seconds: float
    #: Positions of the dial.
    positions: tuple[float, ...]


QUICK: Final = Profile(
    name="quick",
    algorithms=("ES256",),
    worker_classes=("gthread",),
    rounds=2,
    seconds=0.8,
    workers=4,
    revocations=20,
    receipts=10,
    entries=(0, 10_000),
    revoked_singly=1_000,
    revoked_in_bulk=10_000,
    fault_seconds=1.5,
    recovery_seconds=8.0,
    positions=(0, 0.25, 1.0, math.inf),
)

FULL: Final = Profile(
    name="full",
    algorithms=("ES256", "HS256"),
    worker_classes=("gthread", "gevent"),
    rounds=5,
    seconds=2.0,
    workers=8,
    revocations=100,
    receipts=100,
    entries=(0, 10_000, 100_000, 1_000_000),
    revoked_singly=20_000,
    revoked_in_bulk=200_000,
    fault_seconds=6.0,
    recovery_seconds=30.0,
    positions=(0, 0.05, 0.25, 1.0, 10.0, math.inf),
)
