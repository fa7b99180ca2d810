"""Epochs: opening a deny-list, opening it anew after Redis lost its data, and what is looked at before that."""

import logging
import secrets
import time
from collections.abc import Iterable
from typing import Any, cast

import redis

from revocation.denylist import Lifetimes
from revocation.errors import ConfigurationError, DenylistUnavailableError
from revocation.redis.leases import Leases
from revocation.redis.link import Link
from revocation.redis.protocol import CLOCKS_DIFFER_MS, Head, Namespace, majority, other_lifetime
from revocation.redis.script import Script

_log = logging.getLogger(__name__)


class Epochs:
    """The epoch of one namespace, for a process with these lifetimes.

    The first use checks the server's eviction policy: a Redis that evicts forgets revocations, and is refused unless
    `allow_eviction`.
    """

    def __init__(
        self, link: Link, namespace: Namespace, leases: Leases, *, lifetimes: Lifetimes, allow_eviction: bool
    ) -> None:
        self._link = link
        self._namespace = namespace
        self._leases = leases
        self._lifetimes = lifetimes
        self._allow_eviction = allow_eviction
        self._inspected = False
        self._init = Script(link, "init")

    def head(self) -> Head:
        """The head as it stands. Raises DenylistEmptyError where the deny-list was never opened, or lost its data."""
        self.inspect()
        text = self._link.call(lambda client: client.get(self._namespace.head))
        return self.accept(Head.parse(cast("bytes | None", text)))

    def accept(self, head: Head) -> Head:
        """The head, if this process is set to the same longest token life; else DenylistUnavailableError."""
        if head.max_token_seconds != self._lifetimes.max_token_seconds:
            # A shorter lifetime here would let entries end before tokens that others accept.
            raise other_lifetime(head.max_token_seconds, self._lifetimes.max_token_seconds)
        return head

    def inspect(self) -> None:
        """Look once at the eviction policy. Raises DenylistUnavailableError where Redis may forget revocations."""
        if self._inspected:
            return
        policy = self._link.call(_eviction_policy)
        if policy is None:
            _log.warning("The eviction policy of Redis cannot be read; make sure that maxmemory-policy is noeviction.")
        elif policy != "noeviction" and not self._allow_eviction:
            raise DenylistUnavailableError(
                f"Redis' maxmemory-policy is {policy}: it may forget revocations, which would let revoked tokens in "
                "again. Set it to noeviction, or allow eviction if you accept that.",
                settings=["allow_eviction"],
            )
        self._inspected = True

    def open(self, *, accept_existing: bool = False, new_epoch: bool = False) -> tuple[Head, bool]:
        """Open the first epoch; nothing issued before it is accepted, unless `accept_existing`.

        Where one is open already nothing happens, unless `new_epoch`: then everything from before now is cut off,
        as it must be after a backup was restored. Returns the head in force, and whether this call opened it.
        Raises ConfigurationError where the deny-list was opened for another longest token life, and where the clocks
        of this host and of Redis are further apart than verifiers forgive. A new epoch may bring a new longest life,
        but not while processes follow with the old one: they would all refuse to answer.
        """
        self.inspect()
        self._require_one_time()
        self._require_majority()
        text = cast("bytes | None", self._link.call(lambda client: client.get(self._namespace.head)))
        standing = None if text is None else Head.parse(text)
        epoch = secrets.token_hex(8)
        if standing is None and accept_existing and self._leases.living():
            raise ConfigurationError(
                "Processes follow this deny-list already: its data was lost, and nobody knows what was revoked. Open "
                "it without --accept-existing."
            )
        if (
            standing is not None
            and standing.max_token_seconds != self._lifetimes.max_token_seconds
            and (not new_epoch or self._leases.living())
        ):
            raise ConfigurationError(
                f"{other_lifetime(standing.max_token_seconds, self._lifetimes.max_token_seconds)} To change it, stop "
                "them all, then open a new epoch.",
                settings=["max_token_lifetime_seconds"],
            )
        if standing is None or new_epoch:
            # No host minted anything before this that is later than the cut-off, as clocks may differ by a second.
            cutoff = 0 if accept_existing else int(time.time() * 1000) + CLOCKS_DIFFER_MS
            _, answer = self._init(
                keys=[self._namespace.head, self._namespace.log],
                args=[standing.epoch if standing else "", epoch, cutoff, self._lifetimes.max_token_seconds],
            )
            text = bytes(answer[0]) or None
        head = Head.parse(text)
        try:
            self.accept(head)
        except DenylistUnavailableError as error:
            raise ConfigurationError(str(error), settings=error.settings) from error
        return head, head.epoch == epoch

    def open_after_loss(self, *, seen: str, newest_ms: int, revoked_keys: Iterable[str]) -> Head:
        """Open a new epoch in place of the one that was seen ('' = none), unless somebody else has.

        Its cut-off is later than everything that the noticer (`newest_ms`: the latest log entry it read), its clock
        and Redis know of; the keys that it knows to be revoked stay so.
        """
        cutoff = max(int(time.time() * 1000), newest_ms) + CLOCKS_DIFFER_MS
        _, answer = self._init(
            keys=[self._namespace.head, self._namespace.log],
            args=[seen, secrets.token_hex(8), cutoff, self._lifetimes.max_token_seconds, *revoked_keys],
        )
        return self.accept(Head.parse(bytes(answer[0]) or None))

    def _require_majority(self) -> None:
        """Two groups of a partition must never both have enough replicas."""
        try:
            answer: Any = self._link.call(lambda client: client.info("replication"))
        except DenylistUnavailableError as error:
            if self._link.min_replicas or not isinstance(error.__cause__, redis.ResponseError):
                raise
            return
        replicas, least = int(answer.get("connected_slaves", 0)), self._link.min_replicas
        if least and replicas < least:
            raise DenylistUnavailableError(
                f"Redis has {replicas} replicas, and {least} are asked for (min_replicas).", settings=["min_replicas"]
            )
        if least and least < majority(replicas):
            raise ConfigurationError(
                f"min_replicas={least} is no majority of {replicas + 1} data nodes: set it to {majority(replicas)}",
                settings=["min_replicas"],
            )
        if replicas and not least:
            _log.warning(
                "Redis has %d replicas and min_replicas is 0: a failover may lose acknowledged revocations, "
                "and an isolated old primary goes on answering. Set it to %d.",
                replicas,
                majority(replicas),
            )

    def _require_one_time(self) -> None:
        seconds, microseconds = self._link.call(lambda client: client.time())
        ahead = time.time() - (seconds + microseconds / 1e6)
        # The cut-off of a first epoch allows for one second, whatever the leeway.
        allowed = max(CLOCKS_DIFFER_MS // 1000, self._lifetimes.leeway_seconds)
        if abs(ahead) > allowed:
            raise ConfigurationError(
                f"This host's clock is {ahead:+.1f} s from Redis' clock, further than {allowed} s: set both by NTP."
            )


def _eviction_policy(client: "redis.Redis") -> str | None:
    try:
        policy = client.info("memory").get("maxmemory_policy")
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        # Forbidden by an ACL, or unknown to the server.
        return None
    return None if policy is None else str(policy)
