"""Finding: the result of one check of the doctor."""

from dataclasses import dataclass
from typing import Literal

#: `problem`: revoked tokens may work again, or good tokens may be refused. `warning`: the same may happen as soon as
#: something else fails. `unknown`: the server refuses to answer. `fine`: the check found everything in order.
Severity = Literal["problem", "warning", "unknown", "fine"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a check: the fact, why it matters, and how an operator mends it."""

    #: The stable name of the check.
    check: str
    severity: Severity
    #: The fact that the check found.
    what: str
    #: One sentence on why it matters; empty where everything is fine.
    why: str = ""
    #: A command or a setting, as exact as the doctor can know it; empty where everything is fine.
    mend: str = ""


def fine(check: str, what: str) -> Finding:
    """A finding that needs no mending."""
    return Finding(check, "fine", what)
