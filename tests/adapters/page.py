"""Page: the table in docs/frameworks.md, written from a run and read again by the tests."""

from collections.abc import Mapping
from typing import Final

from revocation import InvalidTokenError
from tests.adapters.scenarios import ALL, Scenario
from tests.documents import FRAMEWORKS

_BEGIN: Final = "<!-- the table: python -m tests.adapters -->\n"
_END: Final = "<!-- the table ends -->\n"

#: The columns that stand before those of the adapters.
_FIRST: Final = ("scenario", "request", "reason")


def write(seen: Mapping[str, Mapping[str, int]]) -> None:
    """Write the statuses of every scenario, by adapter."""
    head = [*_FIRST, *(name.replace("_", " ") for name in seen)]
    rows = [head, ["---"] * len(head)]
    for scenario in ALL:
        told = [scenario.name, f"`{scenario.method} {scenario.path}`", _reason(scenario)]
        rows.append([*told, *(str(statuses[scenario.name]) for statuses in seen.values())])
    before, _, rest = FRAMEWORKS.read_text("utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    FRAMEWORKS.write_text(f"{before}{_BEGIN}\n{table}\n{_END}{after}", "utf-8")


def column(name: str) -> dict[str, str]:
    """What the page says of one adapter, by scenario."""
    table = FRAMEWORKS.read_text("utf-8").partition(_BEGIN)[2].partition(_END)[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.split("\n") if line]
    place = rows[0].index(name.replace("_", " "))
    return {row[0]: row[place] for row in rows[2:]}


def _reason(scenario: Scenario) -> str:
    if scenario.error is None:
        return ""
    return scenario.error.reason if isinstance(scenario.error, InvalidTokenError) else scenario.error.slug
