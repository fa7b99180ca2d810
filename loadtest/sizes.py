"""Sizes: what a deny-list of many entries costs, to write, to read from the beginning, to look into, and in memory."""

import gc
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from loadtest.contestants import ISSUER
from loadtest.processes import memory_bytes
from loadtest.profile import Profile, Tell
from loadtest.results import Size
from loadtest.server import setup_on, store
from revocation import Handle
from revocation.handles import KINDS

#: Handles made and written at a time.
_AT_ONCE: Final = 10_000
_LOOKS: Final = 20_000
_LOOK_SECONDS: Final = 0.001
_CATCH_UP_SECONDS: Final = 120.0


def measure(profile: Profile, _directory: Path, tell: Tell) -> Iterator[Size]:
    """One deny-list of each size, in a fresh Valkey."""
    for entries in profile.entries:
        tell(f"a deny-list of {entries:,} entries")
        with store() as valkey:
            denylist, client = setup_on(valkey).denylist, valkey.client()
            empty = int(client.info("memory")["used_memory"])
            started = time.monotonic()
            for first in range(0, entries, _AT_ONCE):
                numbers = range(first, min(entries, first + _AT_ONCE))
                denylist.revoke_many(
                    [Handle("token", f"{each:022d}", issuer=ISSUER) for each in numbers], wait_seconds=0
                )
            written = time.monotonic() - started
            redis_bytes = int(client.info("memory")["used_memory"]) - empty
            gc.collect()
            before, began = memory_bytes(os.getpid()), time.monotonic()
            follower = denylist.follow(shortest_seconds=1.0, longest_seconds=1.0)
            follower.start()
            while follower.state.age_seconds == math.inf:
                if time.monotonic() > began + _CATCH_UP_SECONDS:
                    raise RuntimeError(f"a follower does not catch up with {entries:,} entries")
                time.sleep(_LOOK_SECONDS)
            caught_up = time.monotonic() - began
            handles = [Handle(kind, "" if kind == "issuer" else f"some-{kind}", issuer=ISSUER) for kind in KINDS]
            looked = time.thread_time()
            for _ in range(_LOOKS):
                follower.look_up(handles)
            yield Size(
                entries=entries,
                revoked_per_second=entries / written if entries else 0.0,
                look_up_us=(time.thread_time() - looked) * 1e6 / _LOOKS,
                catch_up_seconds=caught_up,
                redis_bytes=redis_bytes,
                worker_bytes=max(0, memory_bytes(os.getpid()) - before),
            )
            follower.stop()
