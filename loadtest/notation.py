"""How contestants and figures are written, in the report and in the README alike."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from loadtest.results import Contestant, Fault

Family = Literal["floor", "ours", "peer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrant:
    """A contestant as readers meet it."""

    title: str
    #: The work that it does for each request.
    does: str
    family: Family


#: In the order in which they are shown.
ENTRANTS: Final[dict[Contestant, Entrant]] = {
    "none": Entrant(title="no authentication", does="lets everyone in: the floor", family="floor"),
    "stateless": Entrant(title="stateless (ours)", does="`max_staleness=inf`: signature and claims", family="ours"),
    "bounded": Entrant(title="bounded (ours)", does="`max_staleness=1.0`: and a look in the follower", family="ours"),
    "strict": Entrant(title="strict (ours)", does="`max_staleness=0`: and one round trip to Redis", family="ours"),
    "textbook": Entrant(title="textbook JWT", does="`jwt.decode` in a decorator; cannot revoke", family="peer"),
    "session": Entrant(title="server-side session", does="Flask-Session in the same Redis", family="peer"),
    "jwt_extended": Entrant(
        title="flask-jwt-extended", does="with the Redis blocklist of its documentation", family="peer"
    ),
    "introspection": Entrant(title="introspection", does="asks `/oauth/introspect` over HTTP", family="peer"),
}

#: In the order in which they are shown.
FAULTS: Final[dict[Fault, str]] = {
    "healthy": "Redis is well",
    "5_ms_away": "Redis is 5 ms away",
    "50_ms_away": "Redis is 50 ms away",
    "hung": "Redis hangs",
    "dead": "Redis is dead",
}


def number(value: float) -> str:
    """Three significant digits, thousands apart: 0.0123, 1.20, 252, 12,300."""
    if not math.isfinite(value):
        return "∞" if value > 0 else "-∞"
    if value == 0:
        return "0"
    # The value is rounded first: 9.999 has one digit before the point until it is 10.0.
    rounded = float(f"{value:.2e}")
    digits = 2 - math.floor(math.log10(abs(rounded)))
    return f"{rounded:,.{max(0, digits)}f}"


def duration(seconds: float) -> str:
    """A time in the unit that reads best: 950 µs, 4.20 ms, 1.50 s."""
    for unit, scale in (("s", 1.0), ("ms", 1e3), ("µs", 1e6)):
        if abs(seconds) * scale >= 0.9995 or (unit == "µs" and seconds):
            return f"{number(seconds * scale)} {unit}"
    return "0 ms"


def size(count: float) -> str:
    """Bytes in the unit that reads best, in powers of ten: 214 B, 1.20 kB, 64.0 MB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if abs(count) >= 0.9995 * scale:
            return f"{number(count / scale)} {unit}"
    return f"{count:.0f} B"


def share(part: float, whole: float) -> str:
    """The part in percent, and 0 % or 100 % only where it is all or nothing."""
    percent = 100 * part / whole
    if 0 < percent < 1:
        return "< 1 %"
    if 99 < percent < 100:
        return "> 99 %"
    return f"{percent:.0f} %"


def listed(things: list[str]) -> str:
    """The things as a sentence lists them: one, two and three."""
    return " and ".join([", ".join(things[:-1]), things[-1]]) if len(things) > 1 else "".join(things)
