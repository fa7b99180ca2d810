"""Results: what one run has measured, as it stands in the JSON. Ratios and medians are derived, never stored."""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import TypeAdapter

ROOT: Final = Path(__file__).parents[1]

#: The full run whose figures the README cites.
COMMITTED: Final = ROOT / "loadtest" / "results" / "full.json"

#: Goes up when a field changes its meaning or goes away.
SCHEMA: Final = 1

Contestant = Literal["none", "session", "textbook", "stateless", "bounded", "strict", "jwt_extended", "introspection"]
Fault = Literal["healthy", "5_ms_away", "50_ms_away", "hung", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The machine on which it ran."""

    system: str
    cpu: str
    cores: int
    memory_bytes: int
    #: Whether the servers and the generator each had a core of their own.
    pinned: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Percentiles of the response time in milliseconds, as the generator saw them."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """One contestant in one round: requests one after another as fast as they are answered."""

    contestant: Contestant
    algorithm: str
    worker_class: str
    round: int
    seconds: float
    requests: int
    #: Requests whose answer was not the right one; they are among `requests`.
    failures: int
    #: User and system time of the worker processes, those of the introspection service included where it is asked.
    cpu_seconds: float
    latencies_ms: Latencies
    #: The commands of all clients together, without what the measuring itself asked.
    redis_commands: int
    #: Bytes in and out.
    redis_bytes: int
    #: Proportional set size of the worker processes at the end of the round.
    memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """The generator of the load, and what it limits."""

    name: str
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Propagation:
    """How long revoked tokens were accepted in each worker, while load was on."""

    contestant: Contestant
    algorithm: str
    worker_class: str
    workers: int
    #: Requests per second that were answered meanwhile, by all workers together.
    load_rps: float
    #: One row per revocation: from its acknowledgement to the sending of the last request that was accepted, by worker.
    #: 0 where none was.
    last_accept_ms: tuple[tuple[float, ...], ...]
    #: From the call to the receipt that says `enforced`, of revocations of their own; empty where there are none.
    receipt_ms: tuple[float, ...]
    #: The bound that is promised; None where nothing is.
    bound_ms: float | None
    #: Requests accepted that were sent later than the bound after the acknowledgement.
    wrong_accepts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A deny-list of so many live entries."""

    entries: int
    #: One check of a token with all its handles in the follower, in microseconds.
    check_us: float
    redis_bytes: int
    #: The memory that the entries take in one worker.
    worker_bytes: int
    #: The time of a fresh follower from its first beat to the first decision from memory.
    catch_up_seconds: float
    #: Response times without a follower that catches up, and while one does in the same process.
    p99_idle_ms: float
    p99_meanwhile_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoking:
    """So many revocations, written one by one over one connection or in bulk."""

    way: Literal["one_by_one", "bulk"]
    revocations: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BadDay:
    """The answers of a contestant to good tokens while something was wrong with Redis."""

    contestant: Contestant
    fault: Fault
    #: By status; `none`: no answer within the generator's patience, or a connection that broke.
    answers: dict[str, int]
    p50_ms: float
    p99_ms: float
    #: From the end of the fault to the first of ten 200 in a row; None where there was no fault, or no recovery.
    well_again_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dial:
    """One position of `max_staleness`."""

    #: In seconds.
    max_staleness: float
    #: CPU microseconds of the worker per request.
    cpu_us: float
    #: Commands per request.
    redis_commands: float
    #: From the acknowledgement to the first refusal; None where the token is accepted until it expires.
    refused_after_ms: float | None
    #: How long good tokens are accepted while Redis hangs.
    answers_without_redis_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run. A section that was not chosen, or not reached before an interruption, is empty."""

    schema: int = SCHEMA
    profile: Literal["quick", "full"]
    #: RFC 3339, UTC.
    started_at: str
    elapsed_seconds: float
    interrupted: bool
    command: str
    commit: str
    machine: Machine
    #: Versions of what was measured and of what measured it, by name.
    versions: dict[str, str]
    generator: Generator
    cost: tuple[Cost, ...] = ()
    propagation: tuple[Propagation, ...] = ()
    scale: tuple[Scale, ...] = ()
    revoking: tuple[Revoking, ...] = ()
    bad_day: tuple[BadDay, ...] = ()
    dial: tuple[Dial, ...] = ()

    def to_json(self) -> str:
        """The text of the results file: a row per line, so that a new run is a readable change; infinity is "inf"."""
        plain = _without_infinity(asdict(self))
        lines = []
        for name, value in plain.items():
            rows = ",\n".join(f"  {json.dumps(row)}" for row in value) if isinstance(value, list) else ""
            lines.append(f' "{name}": ' + (f"[\n{rows}\n ]" if rows else json.dumps(value)))
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """The results that `to_json` wrote. Raises ValueError that names each field that is missing or wrong."""
        results = _RESULTS.validate_json(text)
        if results.schema != SCHEMA:
            raise ValueError(f"these results have schema {results.schema}, this version reads {SCHEMA}: measure again")
        return results

    @classmethod
    def read(cls, path: Path) -> "Results":
        """The results that `write` put there. Raises OSError, and ValueError as `from_json` does."""
        return cls.from_json(path.read_text("utf-8"))

    def write(self, path: Path) -> None:
        """Put them where `read` finds them; directories are made."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.to_json(), "utf-8")


_RESULTS: Final = TypeAdapter(Results)


def _without_infinity(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_infinity(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_without_infinity(part) for part in value]
    return "inf" if value == math.inf else value
