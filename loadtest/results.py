"""Results: what one run has measured, and the file that keeps it."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from pydantic import TypeAdapter

from loadtest.contestants import Name
from loadtest.population import Mix

SCHEMA: Final = 2

Fault = Literal["none", "5 ms away", "hung", "dead"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Turn:
    """A turn of one contestant: so many requests, over HTTP."""

    contestant: Name
    workers: int
    mix: Mix
    round: int
    requests: int
    seconds: float
    #: CPU time of all processes of the server, and of Redis.
    cpu_seconds: float
    redis_cpu_seconds: float
    #: Of the token caches; 0 for contestants without one.
    hits: int
    misses: int
    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """A figure over the rounds of a run: the median and the quartiles, in microseconds."""

    median: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What a protection adds to a route in one process, in CPU microseconds of its thread."""

    contestant: Name
    #: For a token that this process sees for the first time, and for one that it has seen before.
    first: Spread
    again: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class InProcess:
    """The run of all contestants in one process."""

    rounds: int
    added: tuple[Added, ...]
    #: One `mget` of redis-py, with as many keys as a strict check asks for.
    mget: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What a token costs that is seen for the first time, in CPU microseconds."""

    algorithm: str
    ours: Spread
    pyjwt: Spread
    joserfc: Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """How long revoked tokens were accepted in any worker, from the acknowledgement on."""

    contestant: Name
    workers: int
    #: What happened to Redis right after each acknowledgement.
    fault: Fault
    revocations: int
    p50_ms: float
    p99_ms: float
    most_ms: float
    #: The most in the worker that revoked.
    own_ms: float
    #: The bound that is promised; None where nothing is.
    bound_ms: float | None
    #: Requests that were accepted although they were sent later than that.
    late: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """What good tokens were answered under a fault."""

    contestant: Name
    fault: Fault
    #: By status; `none`: no answer within the patience of the client, or a connection that broke.
    answers: dict[str, int]
    p50_ms: float
    p99_ms: float
    #: From the beginning of the fault to the last request that was let in.
    let_in_seconds: float
    #: From the end of the fault to the first request that was let in; None where there was none.
    well_again_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How long the steps of a decision held an event loop."""

    contestant: Name
    fault: Fault
    steps: int
    p99_ms: float
    most_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A deny-list with so many live entries."""

    entries: int
    #: Written in bulk, each on the disk before it is acknowledged; 0 where there are none.
    revoked_per_second: float
    #: One look of a token with all its handles.
    look_up_us: float
    catch_up_seconds: float
    redis_bytes: int
    worker_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """`import revocation` in a fresh process."""

    cpu_seconds: float
    modules: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How often one act asks Redis, in round trips."""

    act: str
    median: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Where a run took place."""

    system: str
    cpu: str
    cores: int
    #: What drove the load.
    driver: str
    #: The load average of one minute before the run began: more than a few tenths means that others were at work.
    load_average: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """One run. What was not reached before an interruption is empty."""

    schema: int = SCHEMA
    profile: Literal["quick", "full"]
    #: RFC 3339, UTC.
    started_at: str
    elapsed_seconds: float
    interrupted: bool
    commit: str
    machine: Machine
    versions: dict[str, str]
    turns: tuple[Turn, ...] = ()
    in_process: tuple[InProcess, ...] = ()
    verified: tuple[Verified, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    outages: tuple[Outage, ...] = ()
    held: tuple[Held, ...] = ()
    sizes: tuple[Size, ...] = ()
    imported: tuple[Imported, ...] = ()
    asked: tuple[Asked, ...] = ()

    def to_json(self) -> str:
        """The text of the results file: a row per line, so that a new run is a readable change."""
        lines = []
        for name, value in asdict(self).items():
            rows = ",\n".join(f"  {json.dumps(_short(row))}" for row in value) if isinstance(value, tuple) else ""
            lines.append(f' "{name}": ' + (f"[\n{rows}\n ]" if rows else json.dumps(_short(value))))
        return "{\n" + ",\n".join(lines) + "\n}\n"

    @classmethod
    def from_json(cls, text: str) -> "Results":
        """The results that `to_json` wrote. Raises ValueError that names each field that is missing or wrong."""
        if json.loads(text).get("schema") != SCHEMA:
            raise ValueError(f"this version reads results of schema {SCHEMA} only: measure again")
        return _RESULTS.validate_json(text)


_RESULTS: Final = TypeAdapter(Results)


def _short(value: Any) -> Any:
    """Numbers with six significant digits, which is more than any instrument here has."""
    if isinstance(value, dict):
        return {name: _short(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_short(part) for part in value]
    return float(f"{value:.6g}") if isinstance(value, float) and math.isfinite(value) else value
