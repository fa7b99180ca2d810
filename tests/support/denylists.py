"""Store: one deny-list under test, and what a test may see behind it."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import redis

from revocation import (
    Denylist,
    DenylistUnavailableError,
    Handle,
    Lifetimes,
    MemoryDenylist,
    RedisDenylist,
    Revocation,
)
from revocation.handles import Kind
from revocation.redis.cluster import ClusterSlot
from tests.support.tokens import ISSUER

SUBJECT = Handle("subject", "ada", issuer=ISSUER)
SESSION = Handle("session", "s-1", issuer=ISSUER)


@dataclass(frozen=True)
class Store:
    """A deny-list, and the client of its server where it has one."""

    denylist: Denylist
    client: "redis.Redis | None" = None

    def remaining_ms(self, handle: Handle) -> int | None:
        """How long the entry of a handle still stands; None: until it is undone. 0: there is none."""
        if self.client is not None:
            left = self.client.pttl(cast("RedisDenylist", self.denylist).key(handle.name))
            return None if left == -1 else max(left, 0)
        memory = cast("MemoryDenylist", self.denylist)
        entry = memory._entry(handle.name)
        if entry is None:
            return 0
        return None if entry.expires_at_ms is None else entry.expires_at_ms - memory.now_ms()


def opened(
    client: "redis.Redis | ClusterSlot",
    namespace: str,
    *,
    lifetimes: Lifetimes | None = None,
    longest_bound_seconds: float = 60.0,
) -> RedisDenylist:
    """A RedisDenylist whose first epoch is open and cuts nothing off, so that the test need not wait."""
    denylist = RedisDenylist(client, namespace=namespace, lifetimes=lifetimes)
    denylist.open(accept_existing=True, longest_bound_seconds=longest_bound_seconds)
    return denylist


def all_pages(denylist: Denylist, *, kind: Kind | None = None, limit: int = 50) -> list[Revocation]:
    """The whole live list, page by page."""
    found: list[Revocation] = []
    cursor: str | None = None
    for _ in range(1000):
        page = denylist.page(kind=kind, cursor=cursor, limit=limit)
        assert len(page.revocations) <= limit
        found += page.revocations
        cursor = page.next_cursor
        if cursor is None:
            return found
    raise AssertionError("the list never ends")


def log_of(denylist: RedisDenylist) -> list[tuple[str, dict[str, str]]]:
    """The log, as text."""
    entries = cast("list[Any]", denylist.link.client.xrange(denylist.key("log")))
    log = []
    for id_, fields in entries:
        text = {name.decode(): value.decode() for name, value in fields.items()}
        if "change" in text:
            names = ("prev", "tag", "op", "at", "expires", "name", "entry")
            text |= dict(zip(names, text["change"].split(" ", 6), strict=True))
        log.append((id_.decode(), text))
    return log


def until(condition: Callable[[], bool]) -> None:
    """Wait for Redis' clock, which no test can move."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "this never came true"
        time.sleep(0.02)


def can_mint(denylist: RedisDenylist) -> bool:
    try:
        denylist.now_ms()
    except DenylistUnavailableError:
        return False
    return True
