"""Propagation: how long a revoked token is accepted after the acknowledgement, by any worker.

Every worker is asked over a connection of its own, again and again without a pause, until it has refused.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from loadtest.connection import Connection, converse, request
from loadtest.contestants import BOUNDED, OUT, PATH, REVOCABLE
from loadtest.load import percentile
from loadtest.population import Population
from loadtest.profile import Profile, Tell, within
from loadtest.results import Accepted, Fault
from loadtest.server import Server, WrongAnswerError, serving, setup_on, store
from tests.support.servers import Server as Store

#: How long workers are asked after a revocation, where none of them refuses.
_WATCHED_SECONDS: Final = 1.6

#: How long a good token may be refused after a fault.
_WELL_SECONDS: Final = 20.0
_PAUSE_SECONDS: Final = 0.02


class _Delays(NamedTuple):
    """From an acknowledgement to the last accept, in milliseconds; 0 where none came after it."""

    anywhere: float
    own: float
    late: int


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[Accepted]:
    """Each contestant that can take something back, and ours under each fault of Redis. Raises WrongAnswerError."""
    faults: dict[Fault, Callable[[Store], AbstractContextManager[None]]] = {"hung": Store.paused, "dead": dead}
    with store() as valkey:
        setup = setup_on(valkey)
        population = Population(setup)
        names = [name for name in profile.contestants if name in REVOCABLE]
        tell(f"propagation: starting {profile.workers} workers of each contestant")
        with serving(setup, directory, names=names, workers=profile.workers) as servers:
            for name, server in servers.items():
                server.check(population.token())
                turns = within(profile.seconds / 4, profile.revocations)
                if name == "bounded":
                    turns = within(profile.seconds, profile.revocations_of_bounded)
                yield _measured(server, population, turns, fault="none", happens=contextlib.nullcontext, tell=tell)
            for fault, happens in faults.items():
                for name in [name for name in names if name in BOUNDED]:
                    turns = within(profile.seconds / 4, profile.revocations_under_fault)
                    ill = partial(happens, valkey)
                    yield _measured(servers[name], population, turns, fault=fault, happens=ill, tell=tell)


@contextlib.contextmanager
def dead(valkey: Store) -> Iterator[None]:
    """Within this block Redis is gone; what it had on the disk comes back."""
    valkey.kill()
    try:
        yield
    finally:
        valkey.start()


def _measured(
    server: Server,
    population: Population,
    turns: Iterator[int],
    *,
    fault: Fault,
    happens: Callable[[], AbstractContextManager[None]],
    tell: Tell,
) -> Accepted:
    bound = BOUNDED.get(server.name)
    bound_ms = None if bound is None else 1000.0 * bound
    asking = server.to_each_worker()
    delays = []
    for number in turns:
        tell(f"propagation: {server.name}, fault: {fault}, revocation {number + 1}")
        if fault != "none":
            _wait_until_revoking(server, population)
        delays.append(_delays(server, population.token(), asking, turn=number, happens=happens, bound_ms=bound_ms))
    for connection in asking.values():
        connection.close()
    anywhere = [each.anywhere for each in delays]
    return Accepted(
        contestant=server.name,
        workers=server.workers,
        fault=fault,
        revocations=len(delays),
        p50_ms=percentile(anywhere, 50),
        p99_ms=percentile(anywhere, 99),
        most_ms=max(anywhere),
        own_ms=max(each.own for each in delays),
        bound_ms=bound_ms,
        late=sum(each.late for each in delays),
    )


def _delays(
    server: Server,
    token: str,
    asking: Mapping[int, Connection],
    *,
    turn: int,
    happens: Callable[[], AbstractContextManager[None]],
    bound_ms: float | None,
) -> _Delays:
    server.admit([token])
    message, header = request("GET", PATH, server.header(token)), server.header(token)
    _wait_until_well(asking.values(), message)
    refused: set[Connection] = set()
    accepts: dict[Connection, list[float]] = {connection: [] for connection in asking.values()}
    deadline = time.monotonic() + _WATCHED_SECONDS

    def until_refused(connection: Connection) -> Iterator[bytes]:
        while connection not in refused and time.monotonic() < deadline:
            yield message

    # Each worker revokes in turn.
    revoking = list(server.connections.values())[turn % server.workers]
    revoke = request("POST", OUT, header)
    acknowledged: dict[str, float] = {}
    with contextlib.ExitStack() as stack:
        every = {connection: until_refused(connection) for connection in asking.values()}
        for connection, answer in converse({revoking: iter([revoke]), **every}):
            if connection is revoking:
                if answer.status != 200:
                    raise WrongAnswerError(f"{server.name} answers {answer.status} to a revocation")
                acknowledged = answer.json()
                stack.enter_context(happens())
            elif answer.status == 200:
                accepts[connection].append(answer.sent)
            elif answer.status == 401:
                refused.add(connection)
    after = {
        connection: [1000 * (sent - acknowledged["acknowledged_at"]) for sent in times]
        for connection, times in accepts.items()
    }
    own = asking[int(acknowledged["pid"])]
    return _Delays(
        anywhere=max([0.0, *(delay for delays in after.values() for delay in delays)]),
        own=max([0.0, *after[own]]),
        late=sum(bound_ms is not None and delay > bound_ms for delays in after.values() for delay in delays),
    )


def _wait_until_well(asking: Iterable[Connection], message: bytes) -> None:
    """Until every worker lets a good token in: a fault may have just ended. Raises WrongAnswerError."""
    deadline = time.monotonic() + _WELL_SECONDS
    while any(answer.status != 200 for _, answer in converse({each: iter([message]) for each in asking})):
        if time.monotonic() > deadline:
            raise WrongAnswerError("a good token is not let in by every worker")


def _wait_until_revoking(server: Server, population: Population) -> None:
    """Until every worker takes a revocation: the last fault may have just ended. Raises WrongAnswerError."""
    deadline = time.monotonic() + _WELL_SECONDS
    for connection in server.connections.values():
        while connection.ask(request("POST", OUT, server.header(population.token()))).status != 200:
            if time.monotonic() > deadline:
                raise WrongAnswerError(f"{server.name} takes no revocation")
            time.sleep(_PAUSE_SECONDS)
