"""Finding: one thing that was looked at, and what is wrong with it."""

from dataclasses import dataclass
from typing import Literal

#: `problem`: revoked tokens may work again, or good ones be refused. `warning`: they may, once something else fails.
#: `unknown`: the server does not tell. `fine`: looked at, and in order.
Severity = Literal["problem", "warning", "unknown", "fine"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, why it matters, and how to mend it."""

    #: A stable word for what was looked at.
    check: str
    severity: Severity
    what: str
    #: One sentence; empty where all is fine.
    why: str = ""
    #: A command or a setting, as exact as it can be known; empty where all is fine.
    mend: str = ""


def fine(check: str, what: str) -> Finding:
    """Nothing to mend."""
    return Finding(check, "fine", what)
