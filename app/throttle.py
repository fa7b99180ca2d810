"""Throttle: failed attempts to prove an identity, per account and per address, counted in the deny-list's Redis."""

import hashlib
import math
import time
from functools import partial
from typing import Final

import redis
from limits import RateLimitItem, parse
from limits.storage import RedisStorage
from limits.strategies import MovingWindowRateLimiter

from revocation import RedisDenylist

#: Failures only: who gets in is not counted, and nobody is locked out of a session that lives.
PER_ACCOUNT: Final = parse("10 per 5 minutes")
PER_ADDRESS: Final = parse("50 per 5 minutes")


class ThrottledError(Exception):
    """Too many failures; `retry_after_seconds` says when the throttle admits the next attempt."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"Too many failed attempts. Try again in {retry_after_seconds} seconds.")


class Throttle:
    """Counts failures, and refuses an account or an address that has too many.

    It is looked at before an attempt and counted after it: attempts that run at the same moment, at most one a thread,
    may pass together.
    """

    def __init__(self, denylist: RedisDenylist) -> None:
        self._denylist = denylist
        self._limiters: tuple[redis.Redis, MovingWindowRateLimiter] | None = None

    def admit(self, *, account: str, address: str) -> None:
        """Raise ThrottledError where the account or the address has failed too often."""
        for item, key in self._limits(account, address):
            retry_at = self._denylist.link.call(partial(self._full_until, item, key))
            if retry_at is not None:
                raise ThrottledError(max(1, math.ceil(retry_at - time.time())))

    def failed(self, *, account: str, address: str) -> None:
        """Count a failure."""
        for item, key in self._limits(account, address):
            self._denylist.link.call(partial(self._hit, item, key))

    def _full_until(self, item: RateLimitItem, key: str, client: redis.Redis) -> float | None:
        limiter = self._limiter(client)
        return None if limiter.test(item, key) else limiter.get_window_stats(item, key).reset_time

    def _hit(self, item: RateLimitItem, key: str, client: redis.Redis) -> None:
        self._limiter(client).hit(item, key)

    def _limiter(self, client: redis.Redis) -> MovingWindowRateLimiter:
        """A limiter on the present connections of the deny-list, with their timeouts and in its cluster slot."""
        known = self._limiters
        if known is None or known[0] is not client:
            prefix = self._denylist.key("app:limits")
            storage = RedisStorage("redis://", connection_pool=client.connection_pool, key_prefix=prefix)
            known = self._limiters = (client, MovingWindowRateLimiter(storage))
        return known[1]

    @staticmethod
    def _limits(account: str, address: str) -> list[tuple[RateLimitItem, str]]:
        # The account is hashed, because a person may type a password there, and because a name may be long.
        hashed = hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()
        return [(PER_ACCOUNT, f"account:{hashed}"), (PER_ADDRESS, f"address:{address}")]
