"""Leases: which followers live, how far they have read, and so what a revocation has reached."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from revocation.denylist import Revocation
from revocation.errors import DenylistUnavailableError
from revocation.redis.link import Link
from revocation.redis.protocol import (
    FROM_START,
    Head,
    Namespace,
    lease_text,
    order,
    parse_lease,
    stream_id_of,
    tag_of,
)
from revocation.redis.script import Script

#: Between two looks at the leases, in seconds.
_LOOK_SECONDS = 0.0005


@dataclass(frozen=True, slots=True)
class Confirmation:
    """Of the followers that live, how many have read it; and whether those that have not ask Redis by now."""

    enforced: bool
    confirmed: int
    total: int


@dataclass(frozen=True, slots=True)
class Audience:
    """Who follows at the instant of a revocation. Who begins later reads it in the log."""

    followers: tuple[str, ...]
    #: When the epoch was opened, in milliseconds of Redis' clock.
    birth_ms: int


class Leases:
    """The leases of one namespace, and this process's own part in them."""

    def __init__(self, link: Link, namespace: Namespace) -> None:
        self._link = link
        self._namespace = namespace
        #: How long a lease of this process's follower lasts, in milliseconds; 0 where it has none.
        self.own_ms = 0
        self._longest_seen_ms = 0
        self._forget = Script(link, "forget")

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

    def await_confirmation(self, revocation: Revocation, audience: Audience, *, seconds: float) -> Confirmation:
        """Wait until the revocation is enforced, or for so long.

        Raises DenylistUnavailableError where the log has lost it: then nothing was acknowledged.
        """
        if not audience.followers and self._has_outlasted(audience.birth_ms, at_ms=revocation.created_at_ms):
            return Confirmation(enforced=True, confirmed=0, total=0)
        started = time.monotonic()
        stream_id, tag = stream_id_of(revocation.id), revocation.id.rpartition("-")[2].encode()
        while True:
            head, logged, leases = self._look(stream_id, audience.followers)
            if not any(tag_of(fields) == tag for _, fields in logged):
                raise DenylistUnavailableError("Redis has lost this revocation since it took it: revoke again.")
            confirmed = self._confirmed(revocation.id, [at for at, _ in leases.values()])
            elapsed = time.monotonic() - started
            self._longest_seen_ms = max([self._longest_seen_ms, *(length for _, length in leases.values())])
            outlasted = self._has_outlasted(head.birth_ms, at_ms=revocation.created_at_ms + elapsed * 1000)
            enforced = confirmed == len(leases) and outlasted
            if enforced or elapsed >= seconds:
                return Confirmation(enforced, confirmed, len(leases))
            time.sleep(_LOOK_SECONDS)

    def _has_outlasted(self, birth_ms: int, *, at_ms: float) -> bool:
        """Whether the epoch is older than any lease from before it.

        A flush takes the leases too. Who had one before it may still be fresh for as long as the longest lasts.
        """
        return at_ms - birth_ms >= max(self.own_ms, self._longest_seen_ms)

    def _confirmed(self, revocation_id: str, positions: list[str]) -> int:
        """How many of the positions are at the revocation, or at an entry of this log that comes after it.

        A follower may have read further in a log that Redis has lost since: what it read there was something else.
        """
        later = sorted({at for at in positions if order(at) > order(revocation_id)})
        known = {revocation_id}
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

    def _look(self, stream_id: str, ids: Sequence[str]) -> tuple[Head, list[Any], dict[str, tuple[str, int]]]:
        """The head, the revocation's own log entry and the leases, from one round trip: never from two states."""

        def ask(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            pipeline.mget(self._namespace.head, *map(self._namespace.lease, ids))
            pipeline.xrange(self._namespace.log, stream_id, stream_id)
            answers: list[Any] = pipeline.execute()
            return answers

        (head, *values), logged = self._link.call(ask)
        return Head.parse(head), logged, self._read(ids, values)

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
