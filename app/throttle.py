"""Throttle: failed attempts to prove an identity, counted in the deny-list's Redis.

Keys, in the deny-list's namespace and so in its cluster slot:

    app:throttle:<kind>:<hash of the name>      sorted set: the buckets of an account, see lua/throttle.lua
    app:throttle:<kind>:at:<address>            sorted set: the bucket of an address, over all accounts
    app:throttle:<kind>:locked                  sorted set: accounts that exist and that somebody may have to wait for,
                                                by the instant (ms) at which nobody has to any more

Users and clients (the kinds) have nothing in common but the bounds.
"""

import hashlib
import ipaddress
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

from revocation import RedisDenylist

#: How many addresses may wait for their turn at one account.
_MOST_TURNS: Final = 10_000

#: How long an address may leave its turn unused.
_TURN_SECONDS: Final = 60

_IPV6_SITE_BITS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How many failures fill a bucket. A full bucket empties evenly in `window_seconds`."""

    window_seconds: int
    #: Of one account, from one address.
    place: int
    #: Of one account, from one device that signed in to it before.
    device: int
    #: Of one account, from all addresses together; and from all its known devices together.
    account: int
    #: From one address, whatever the account.
    address: int


class ThrottledError(Exception):
    """Too many failures; `retry_after_seconds` says when the throttle admits the next attempt."""

    def __init__(self, retry_after_seconds: int) -> None:
        self.retry_after_seconds = retry_after_seconds
        super().__init__(f"Too many failed attempts. Try again in {retry_after_seconds} seconds.")


@dataclass(frozen=True, slots=True)
class Bucket:
    """Failures that are still counted. `of` is `account`, `devices`, `device`, `address`, `place`, or `turn`.

    A `turn` is no failure but an address that waits: the account was full when it asked.
    """

    of: Literal["account", "devices", "device", "address", "place", "turn"]
    #: The address of a `place`, a `turn` or an `address`; the id of a `device`.
    value: str
    failures: int
    limit: int
    #: When the next attempt is admitted, in milliseconds of Redis' clock; None where it would be now.
    free_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was admitted, and waits for its outcome."""

    throttle: "Throttle"
    name: str
    address: str
    device: str
    #: Whether a success has anything to forgive.
    failed_before: bool

    def failed(self, *, exists: Callable[[], bool] = lambda: False) -> None:
        """Count a failure. Where the account is full now, and exists, it is listed as locked.

        Of names that nobody has there is no list: people type passwords there, and strangers type anything.
        """
        _, (until_ms,) = self.throttle.run("failed", self.name, address=self.address, device=self.device)
        if until_ms and exists():
            self.throttle.list_as_locked(self.name, until_ms=int(until_ms))

    def succeeded(self) -> None:
        """Forgive what this address, or this device, failed at this account."""
        if self.failed_before:
            self.throttle.run("succeeded", self.name, address=self.address, device=self.device)


class Throttle:
    """Counts failures, and refuses whoever has too many. Who gets in is not counted.

    Strangers fill the buckets of their addresses, and at last that of the account. A device that signed in to the
    account before has a bucket of its own, so it gets in all the while. Any other address gets in as well: where the
    account is full, each address that asks is given a turn, one after another, as fast as the account's bucket empties.

    The throttle is asked before an attempt and told after it: attempts that run at the same moment, at most one a
    thread, may pass together.
    """

    def __init__(self, denylist: RedisDenylist, kind: Literal["user", "client"], *, bounds: Bounds) -> None:
        self._denylist = denylist
        self._kind = kind
        self._bounds = bounds
        self._script = denylist.script("throttle", package="app")

    def admit(self, name: str, *, address: str, device: str | None = None) -> Attempt:
        """Raise ThrottledError where this device, or else the account or the address, has failed too often."""
        place, device = _site(address), device or ""
        word, answer = self.run("admit", name, address=place, device=device)
        if word == "wait":
            raise ThrottledError(max(1, math.ceil(int(answer[0]) / 1000)))
        return Attempt(self, name, place, device, failed_before=bool(answer[0]))

    def buckets_of(self, name: str) -> tuple[Bucket, ...]:
        """What is counted of an account, the fullest first."""
        of_account, _ = self._show(name, address="")
        return of_account

    def buckets_at(self, address: str) -> tuple[Bucket, ...]:
        """What is counted of an address over all accounts."""
        _, at_address = self._show("", address=address)
        return at_address

    def locked(self, *, skip: int = 0, limit: int) -> tuple[list[tuple[str, tuple[Bucket, ...]]], int | None]:
        """Accounts that somebody has to wait for, with what is full of each; and where the next page begins.

        Those that were locked last come first. A page may be short, and not be the last.
        """
        now_ms = self._denylist.now_ms()

        def read(client: Any) -> list[bytes]:
            client.zremrangebyscore(self._locked, "-inf", now_ms)
            names: list[bytes] = client.zrange(self._locked, skip, skip + limit, desc=True)
            return names

        names = [name.decode() for name in self._denylist.link.call(read)]
        found = [
            (name, tuple(bucket for bucket in self.buckets_of(name) if bucket.free_at_ms is not None))
            for name in names[:limit]
        ]
        return [(name, full) for name, full in found if full], skip + limit if len(names) > limit else None

    def list_as_locked(self, name: str, *, until_ms: int) -> None:
        """Put an account that exists on the list of those that somebody may have to wait for."""

        def write(client: Any) -> None:
            client.zadd(self._locked, {name: until_ms})
            client.pexpire(self._locked, 1000 * self._bounds.window_seconds)

        self._denylist.link.call(write)

    def lift(self, name: str) -> None:
        """Forget every failure of an account, wherever it came from, and who waits."""
        self._delete(self._of_account(name))
        self._denylist.link.call(lambda client: client.zrem(self._locked, name))

    def lift_address(self, address: str) -> None:
        """Forget the failures of an address; what is counted of an account at this address stays."""
        self._delete(self._at_address(_site(address)))

    def run(self, act: str, name: str, *, address: str, device: str = "") -> tuple[str, list[bytes]]:
        """One act of lua/throttle.lua."""
        bounds = self._bounds
        return self._script(
            keys=[self._of_account(name), self._at_address(address)],
            args=[
                *(act, address, device),
                *(bounds.window_seconds * 1000, bounds.place, bounds.device, bounds.account, bounds.address),
                *(_MOST_TURNS, _TURN_SECONDS * 1000),
            ],
        )

    def _show(self, name: str, *, address: str) -> tuple[tuple[Bucket, ...], tuple[Bucket, ...]]:
        _, (now, *answer) = self.run("show", name, address=_site(address))
        end = answer.index(b"")
        now_ms = int(now)
        return (
            self._buckets(answer[:end], now_ms, of_all="account", value=""),
            self._buckets(answer[end + 1 : -1], now_ms, of_all="address", value=_site(address)),
        )

    def _buckets(
        self, answer: list[bytes], now_ms: int, *, of_all: Literal["account", "address"], value: str
    ) -> tuple[Bucket, ...]:
        scores = {member.decode(): float(score) for member, score in zip(answer[::2], answer[1::2], strict=True)}
        found = [
            self._bucket(member, score, now_ms, of_all=of_all, value=value)
            for member, score in scores.items()
            if score > now_ms
        ]
        return tuple(sorted(found, key=lambda bucket: (bucket.of, -bucket.failures, bucket.value)))

    def _bucket(
        self, member: str, score: float, now_ms: int, *, of_all: Literal["account", "address"], value: str
    ) -> Bucket:
        bounds, window_ms = self._bounds, self._bounds.window_seconds * 1000
        name, _, told = member.partition(":")
        if name == "turn":
            turn_ms = int(score) - _TURN_SECONDS * 1000
            return Bucket("turn", told, 0, 1, turn_ms if turn_ms > now_ms else None)
        of, limit = _MEMBERS.get(name, (of_all, of_all))
        size: int = getattr(bounds, limit)
        free_ms = math.ceil(score + window_ms / size - window_ms)
        return Bucket(
            of,
            told or value,
            math.ceil((score - now_ms) * size / window_ms),
            size,
            free_ms if free_ms > now_ms else None,
        )

    def _delete(self, key: str) -> None:
        self._denylist.link.call(lambda client: client.delete(key))

    @property
    def _locked(self) -> str:
        return self._denylist.key(f"app:throttle:{self._kind}:locked")

    def _of_account(self, name: str) -> str:
        # The name is hashed, because a person may type a password there, and because it may be long.
        hashed = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
        return self._denylist.key(f"app:throttle:{self._kind}:{hashed}")

    def _at_address(self, address: str) -> str:
        return self._denylist.key(f"app:throttle:{self._kind}:at:{address}")


#: What a member of a set is the bucket of, and the bound that fills it.
_MEMBERS: Final[dict[str, tuple[Literal["place", "device", "devices"], str]]] = {
    "at": ("place", "place"),
    "device": ("device", "device"),
    "devices": ("devices", "account"),
}


def is_address(text: str) -> bool:
    """Whether this is an address as a request comes from one."""
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _site(address: str) -> str:
    """The address as it is counted: of IPv6 the first 64 bits, since one subscriber has all the others."""
    if not is_address(address):
        return address
    known = ipaddress.ip_address(address)
    if isinstance(known, ipaddress.IPv4Address):
        return str(known)
    if known.ipv4_mapped is not None:
        return str(known.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(known), _IPV6_SITE_BITS), strict=False))
