"""Leases: which followers live, how far they have read, and so what a revocation has reached."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from revocation.errors import DenylistUnavailableError
from revocation.redis.exchange import Command
from revocation.redis.head import Head
from revocation.redis.protocol import FROM_START, Namespace, lease_text, order, parse_lease, stream_id_of, tag_of
from revocation.redis.script import Caller, Script

#: Before the first look at the leases, in seconds: at first a guess, then as long as followers took the last times.
_FIRST_GUESS: Final = 0.001
_SHORTEST_PAUSE: Final = 0.0005
_LONGEST_FIRST_PAUSE: Final = 0.005

#: How the first pause changes when the first look found that all had confirmed, and when it came too early: about five
#: of six first looks are the only ones.
_SOONER: Final = 0.95
_LATER: Final = 1.3

#: A later look comes when the wait has become longer by this part of itself, and after this many seconds at most.
_GROWTH: Final = 0.5
_LONGEST_PAUSE: Final = 0.05

#: A lease lasts longer than the longest bound by this: clocks do not run at exactly one speed, and after a failover
#: Redis' clock may be a second ahead.
_LEASE_FACTOR: Final = 1.05
_LEASE_MARGIN_SECONDS: Final = 1.0


def lease_ms(longest_seconds: float) -> int:
    """How long the lease of a follower lasts that decides with bounds up to the longest, in milliseconds."""
    return math.ceil(1000 * (longest_seconds * _LEASE_FACTOR + _LEASE_MARGIN_SECONDS))


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Of the followers that live, how many have read it; and whether those that have not ask Redis by now."""

    enforced: bool
    confirmed: int
    total: int
    #: Why nobody can say that it is enforced, where that is not for a follower that has not confirmed; else empty.
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class Written:
    """Where a revocation stands in the log, who followed then, and since when the server and the epoch are the same.

    Who begins to follow later reads it in the log. Instants are milliseconds of Redis' clock.
    """

    #: The last position of the log at that instant.
    position: str
    at_ms: int
    followers: tuple[str, ...]
    birth_ms: int
    #: None where the server does not tell who it is.
    reign_ms: int | None


class Leases:
    """The leases of one namespace, and this process's own part in them."""

    def __init__(self, caller: Caller, namespace: Namespace) -> None:
        self._link = caller.link
        self._namespace = namespace
        #: How long a lease of this process's follower lasts, in milliseconds; 0 where it has none.
        self.own_ms = 0
        #: The longest finite bound that this process decides with, or has read in a head, in milliseconds.
        self.longest_bound_ms = 0
        self._longest_seen_ms = 0
        self._first_pause = _FIRST_GUESS
        self._forget = Script(caller, "forget")

    def renew(self, pipeline: Any, follower_id: str, *, position: str) -> None:
        """Add to a follower's beat that it lives and how far it has read."""
        text = lease_text(position, length_ms=self.own_ms)
        pipeline.set(self._namespace.lease(follower_id), text, px=self.own_ms)
        pipeline.sadd(self._namespace.followers, follower_id)

    def give_back(self, follower_id: str) -> None:
        """Nobody needs to wait for this follower any more."""

        def ask(client: Any) -> None:
            client.delete(self._namespace.lease(follower_id))
            client.srem(self._namespace.followers, follower_id)

        self._link.call(ask)

    def living(self) -> dict[str, tuple[str, int]]:
        """Position and length (ms) of every lease that has not run out."""
        found: Any = self._link.call(lambda client: client.smembers(self._namespace.followers))
        if not found:
            return {}
        ids = sorted(id_.decode() for id_ in found)
        values: Any = self._link.call(lambda client: client.mget(map(self._namespace.lease, ids)))
        return self._read(ids, values)

    def ages(self) -> dict[str, float]:
        """How long ago each living follower renewed its lease, in seconds: what it knows is about as old."""
        leases = self.living()

        def ask(client: Any) -> list[int]:
            pipeline = client.pipeline(transaction=False)
            for id_ in leases:
                pipeline.pttl(self._namespace.lease(id_))
            left: list[int] = pipeline.execute()
            return left

        left = zip(leases.items(), self._link.call(ask) if leases else [], strict=True)
        return {id_: (length - ms) / 1000 for (id_, (_, length)), ms in left if ms > 0}

    def await_confirmation(self, written: Written, *, seconds: float, is_latest: bool = True) -> Confirmation:
        """Wait until what was written is enforced, or for so long.

        Followers are quick, and all of them are about equally quick: the first look comes when they took so long the
        last times, so that it is most often the only one.

        What was written before something else is looked for in the log in any case: Redis may have lost it in between.
        Raises DenylistUnavailableError where the log has lost it: then nothing was acknowledged.
        """
        if self._link.is_server and written.reign_ms is None:
            obstacle = "Redis does not tell which server it is (INFO), so leases may have been lost with its data"
        else:
            obstacle = ""
        if (
            is_latest
            and not written.followers
            and self._has_outlasted(written.birth_ms, written.reign_ms, at_ms=written.at_ms)
        ):
            return Confirmation(enforced=not obstacle, confirmed=0, total=0, obstacle=obstacle)
        started = time.monotonic()
        pause = min(self._first_pause, seconds)
        looks = 0
        while True:
            time.sleep(pause)
            looks += 1
            try:
                head, logged, leases = self._look(written.position, written.followers)
            except DenylistUnavailableError:
                # The revocation is written: a primary that has just changed may answer the next look.
                if time.monotonic() - started >= seconds:
                    raise
                pause = _LONGEST_PAUSE
                continue
            if logged is False:
                raise DenylistUnavailableError("Redis has lost this revocation since it took it: revoke again.")
            self.note_bound(head.bound_ms)
            confirmed = self._confirmed(written.position, [at for at, _ in leases.values()])
            elapsed = time.monotonic() - started
            self._longest_seen_ms = max([self._longest_seen_ms, *(length for _, length in leases.values())])
            reign_ms = None if written.reign_ms is None else max(written.reign_ms, head.reign_ms)
            outlasted = self._has_outlasted(head.birth_ms, reign_ms, at_ms=written.at_ms + elapsed * 1000)
            enforced = confirmed == len(leases) and outlasted and not obstacle
            if looks == 1 and seconds > 0:
                self._note_first_look(came_early=confirmed < len(leases))
            if enforced or elapsed >= seconds:
                if not obstacle and not outlasted:
                    obstacle = "leases from before the last loss or change of the server may not have run out yet"
                return Confirmation(enforced, confirmed, len(leases), "" if enforced else obstacle)
            pause = min(max(_GROWTH * elapsed, _SHORTEST_PAUSE), _LONGEST_PAUSE, seconds - elapsed)

    def _note_first_look(self, *, came_early: bool) -> None:
        """Let the next receipt look first when about five of six would find everything confirmed."""
        pause = self._first_pause * (_LATER if came_early else _SOONER)
        self._first_pause = min(max(pause, _SHORTEST_PAUSE), _LONGEST_FIRST_PAUSE)

    def note_bound(self, bound_ms: int) -> None:
        """Remember the longest lease that a follower with the bound of a head may have."""
        self.longest_bound_ms = max(self.longest_bound_ms, bound_ms)
        self._longest_seen_ms = max(self._longest_seen_ms, lease_ms(bound_ms / 1000) if bound_ms else 0)

    def _has_outlasted(self, birth_ms: int, reign_ms: int | None, *, at_ms: float) -> bool:
        """Whether the epoch and the reign are older than any lease from before them.

        A flush, a restart from a snapshot and a failover may lose the leases, too. Who had one before it may still be
        fresh for as long as the longest lasts.
        """
        since = max(birth_ms, reign_ms or 0)
        return at_ms - since >= max(self.own_ms, self._longest_seen_ms)

    def _confirmed(self, position: str, positions: list[str]) -> int:
        """How many of the positions are the given one, or one of this log that comes after it.

        A follower may have read further in a log that Redis has lost since: what it read there was something else.
        """
        later = sorted({at for at in positions if order(at) > order(position)})
        known = {position}
        if later:

            def ask(client: Any) -> list[Any]:
                pipeline = client.pipeline(transaction=False)
                for at in later:
                    stream_id = stream_id_of(at)
                    pipeline.xrange(self._namespace.log, stream_id, stream_id)
                answers: list[Any] = pipeline.execute()
                return answers

            for at, logged in zip(later, self._link.call(ask), strict=True):
                tag = at.rpartition("-")[2].encode()
                if any(tag_of(fields) == tag for _, fields in logged):
                    known.add(at)
        return sum(at in known for at in positions)

    def _look(self, position: str, ids: Sequence[str]) -> tuple[Head, bool, dict[str, tuple[str, int]]]:
        """The head, whether the log still has a position, and the leases, from one round trip to a primary."""
        stream_id, tag = stream_id_of(position), position.rpartition("-")[2].encode()

        commands: list[Command] = [
            ("MGET", self._namespace.head, *map(self._namespace.lease, ids)),
            ("XRANGE", self._namespace.log, stream_id, stream_id),
        ]
        (text, *values), logged = self._link.call(
            lambda client: self._link.vouched(client, commands, probe=self._namespace.probe)
        )
        head = Head.parse(text)
        is_there = any(tag_of(dict(zip(fields[::2], fields[1::2], strict=True))) == tag for _, fields in logged)
        # What was trimmed was read by everybody whose lease can still be alive, or is dead.
        return head, is_there or order(position) <= order(head.floor), self._read(ids, values)

    def _read(self, ids: Sequence[str], values: list[bytes | None]) -> dict[str, tuple[str, int]]:
        leases = {}
        for id_, value in zip(ids, values, strict=True):
            lease = parse_lease(value) if value is not None else None
            if value is None:
                # The script looks once more: nobody would wait for a follower that came back meanwhile.
                self._forget(keys=[self._namespace.followers, self._namespace.lease(id_)], args=[id_])
            elif lease is None:
                # Another version wrote this lease: its follower lives, and nobody knows how far it has read.
                leases[id_] = (FROM_START, self.own_ms)
            else:
                leases[id_] = lease
        return leases
