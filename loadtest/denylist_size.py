"""Scale: what a deny-list of many entries costs, in Redis and in a worker; and how fast it can be written."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtest.contestants import CATCH_UP, CHECK
from loadtest.counters import Counters
from loadtest.deployment import Deployment, Shape, deployed, valkey
from loadtest.figures import percentile
from loadtest.load import Load, generator
from loadtest.processes import CORES, PINNED
from loadtest.profiles import Profile, Tell
from loadtest.results import Revoking, Scale
from revocation import Handle, RedisDenylist, connect
from tests.support.servers import Server

_ISSUER: Final = "https://auth.example"

#: Handles made and written at a time: a million of them would take memory that is measured elsewhere.
_AT_ONCE: Final = 10_000

#: One that catches up with a million entries takes seconds.
_PATIENCE_SECONDS: Final = 120.0


def measure(profile: Profile, directory: Path, tell: Tell) -> Iterator[Scale]:
    """One deny-list of each size, each in a fresh Valkey, with one worker on it."""
    for entries in profile.entries:
        tell(f"scale: writing {entries:,} entries")
        place = directory / f"{entries}"
        with valkey() as store:
            denylist, counters = _opened(store), Counters(store.client())
            empty = counters.memory_bytes
            written = _write(denylist, entries)
            grown = counters.memory_bytes - empty
            tell(f"scale: {written:,} entries, a worker reads them")
            with (
                deployed("bounded", place / "bounded", Shape(), store=store) as contestant,
                generator(place / "log", core=CORES[-1] if PINNED else None) as load,
            ):
                contestant.wait_until_ready()
                yield _measured(contestant, load, entries=written, redis_bytes=grown, seconds=profile.seconds)


def revoking(profile: Profile, _directory: Path, tell: Tell) -> Iterator[Revoking]:
    """Over one connection, from one process, each write on the disk before it is acknowledged."""
    with valkey() as store:
        denylist = _opened(store)
        tell(f"revoking {profile.revoked_singly:,} tokens one by one")
        handles = [Handle("token", f"one-{number}", issuer=_ISSUER) for number in range(profile.revoked_singly)]
        started = time.perf_counter()
        for handle in handles:
            denylist.revoke(handle, wait_seconds=0)
        yield Revoking(way="one_by_one", revocations=len(handles), seconds=time.perf_counter() - started)
        tell(f"revoking {profile.revoked_in_bulk:,} tokens in bulk")
        handles = [Handle("token", f"bulk-{number}", issuer=_ISSUER) for number in range(profile.revoked_in_bulk)]
        started = time.perf_counter()
        denylist.revoke_many(handles, wait_seconds=0)
        yield Revoking(way="bulk", revocations=len(handles), seconds=time.perf_counter() - started)


def _opened(store: Server) -> RedisDenylist:
    denylist = RedisDenylist(connect(store.url, timeout_seconds=5.0))
    denylist.open(accept_existing=True)
    return denylist


def _write(denylist: RedisDenylist, entries: int) -> int:
    for first in range(0, entries, _AT_ONCE):
        numbers = range(first, min(entries, first + _AT_ONCE))
        denylist.revoke_many([Handle("token", f"{number:022d}", issuer=_ISSUER) for number in numbers], wait_seconds=0)
    return entries


def _measured(contestant: Deployment, load: Load, *, entries: int, redis_bytes: int, seconds: float) -> Scale:
    with contestant.connect(patience_seconds=_PATIENCE_SECONDS) as connection:
        check = connection.ask("GET", CHECK).json()
        alone = connection.ask("POST", CATCH_UP).json()
        with load.on([contestant.target(contestant.sign_in())]):
            load.take()
            time.sleep(seconds)
            idle = load.take()[contestant.name]
            deadline = time.monotonic() + seconds
            while time.monotonic() < deadline:
                connection.ask("POST", CATCH_UP)
            meanwhile = load.take()[contestant.name]
    return Scale(
        entries=entries,
        check_us=check["check_us"],
        redis_bytes=redis_bytes,
        worker_bytes=alone["worker_bytes"],
        catch_up_seconds=alone["seconds"],
        p99_idle_ms=percentile([row.milliseconds for row in idle], 99),
        p99_meanwhile_ms=percentile([row.milliseconds for row in meanwhile], 99),
    )
