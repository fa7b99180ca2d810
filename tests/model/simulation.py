"""Simulation: Redis, hosts and followers in virtual time, one step at a time, with places where a process can pause."""

import copy
import os
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import fakeredis
import greenlet  # type: ignore[import-untyped]  # ships no types
import pytest

from revocation import Guard, HandleKinds, Lifetimes, RedisDenylist
from revocation.redis import denylist as redis_denylist_module
from revocation.redis import follower as follower_module
from revocation.redis import leases as leases_module
from revocation.redis.follower import Follower
from revocation.redis.view import View

LIFETIMES = Lifetimes(max_token_seconds=300, leeway_seconds=2, margin_seconds=5)
ORGANISATION = HandleKinds({"org": "orgs.id"})
BOUNDS = (0.0, 0.05, 1.0, 2.0, 60.0)


class Paused(greenlet.greenlet):  # type: ignore[misc]  # no types
    """One activity of a process that may stop at a named place and go on later."""

    def __init__(self, run: Callable[[], Any], *, pause_at: str, offset: float) -> None:
        super().__init__(run)
        self.pause_at = pause_at
        self.offset = offset


def place(name: str) -> None:
    """Stop here, if this activity is to be stopped here."""
    current = greenlet.getcurrent()
    if isinstance(current, Paused) and current.pause_at == name:
        current.pause_at = ""
        assert current.parent is not None
        current.parent.switch()


@dataclass
class World:
    """The clocks and the server. Instants are seconds; the boot clocks of the hosts show the true time."""

    now: float = 1_800_000_000.0
    redis_offset: float = 0.0
    server: fakeredis.FakeServer = field(default_factory=lambda: fakeredis.FakeServer(server_type="valkey"))

    def host_time(self) -> float:
        current = greenlet.getcurrent()
        return self.now + (current.offset if isinstance(current, Paused) else 0.0)

    def client(self) -> "fakeredis.FakeRedis":
        return fakeredis.FakeRedis(server=self.server, protocol=2)

    def snapshot(self) -> Any:
        database = self.server.dbs[0]
        return copy.deepcopy((dict(database._dict), list(database._expiry_heap)))

    def restore(self, snapshot: Any) -> None:
        database = self.server.dbs[0]
        database._dict, database._expiry_heap = copy.deepcopy(snapshot)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Let fakeredis and the library read these clocks, and sleep for no time."""
        redis_clock = types.SimpleNamespace(time=lambda: self.now + self.redis_offset)
        for name in ("_helpers", "_socket._base", "commands_mixins.server_mixin", "model._stream"):
            patch.setattr(f"fakeredis.{name}.time", redis_clock)
        host_clock = types.SimpleNamespace(
            time=self.host_time, monotonic=lambda: self.now, sleep=lambda _: None, perf_counter=lambda: self.now
        )
        for module in (follower_module, leases_module, redis_denylist_module):
            patch.setattr(module, "time", host_clock)
        look = View.latest_cutoff

        def look_with_pauses(self: View, handles: Any) -> float:
            place("before look-up")
            found = look(self, handles)
            place("after look-up")
            return found

        patch.setattr(View, "latest_cutoff", look_with_pauses)


class SteppedFollower(Follower):
    """The real follower without its thread: somebody else calls for every beat."""

    process: "Process"

    def _ensure_running(self) -> None:
        self._pid = os.getpid()
        self._id = self.process.name

    def _connected(self) -> Any:
        return self

    def pipeline(self, *, transaction: bool) -> Any:
        pipeline = self._denylist.link.client.pipeline(transaction=transaction)
        execute = pipeline.execute

        def execute_with_pauses() -> Any:
            place("before Redis")
            answers = execute()
            self.process.on_executed()
            place("after Redis")
            return answers

        pipeline.execute = execute_with_pauses  # type: ignore[assignment]  # a failpoint
        return pipeline

    def close(self) -> None:
        pass


@dataclass(eq=False)
class Process:
    """One worker: a guard of its own, a clock of its own, and at most one beat under way."""

    world: World
    name: str
    offset: float
    follows: bool = True
    #: Whether it was told that tokens are revoked by their organisation, too.
    told: bool = True
    beating: Paused | None = None
    #: Whether Redis, as it is since it was last restored, knows this follower's lease.
    leased: bool = False
    #: What was in the log when the beat under way was executed.
    seen: set[Any] = field(default_factory=set)
    read_now: Callable[[], set[Any]] = set

    def __post_init__(self) -> None:
        self.denylist = RedisDenylist(
            self.world.client(),
            lifetimes=LIFETIMES,
            handles=ORGANISATION if self.told else None,
            clock=self.world.host_time,
        )
        self.denylist.link.breaker._clock = lambda: self.world.now
        self.follower: SteppedFollower | None = None
        if self.follows:
            self.follower = SteppedFollower(
                self.denylist, shortest_seconds=0.05, longest_seconds=60.0, clock=lambda: self.world.now
            )
            self.follower.process = self
        self.guard = Guard(
            None,
            self.denylist,
            max_staleness=0.0,
            follower=self.follower,
            clock=lambda: self.world.now + self.offset,
        )

    def on_executed(self) -> None:
        self.leased = True
        self.seen = self.read_now()

    def beat(self, pause_at: str = "") -> bool:
        """Begin a beat, or go on with the one under way; whether it ended and left the knowledge fresh."""
        follower = self.follower
        if follower is None:
            return False
        follower.start()
        if self.beating is None:
            self.beating = Paused(self._beat, pause_at=pause_at, offset=self.offset)
        self.beating.switch()
        if not self.beating.dead:
            return False
        self.beating = None
        return follower._next is None and not follower._blocked and follower.state.is_connected

    def _beat(self) -> None:
        assert self.follower is not None
        try:
            self.follower.beat()
        except Exception as error:  # noqa: BLE001 (as the thread does)
            self.follower._note_failure(error)

    def run(self, what: Callable[[], Any]) -> Any:
        """Do something with this host's clock; what it raises is raised."""
        return Paused(what, pause_at="", offset=self.offset).switch()
