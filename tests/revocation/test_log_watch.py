"""LogWatch: every change of the log once, over whatever happens to the server, and a word where some may be missing."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import pytest
import redis

from revocation import DenylistUnavailableError, Handle, Lifetimes, RedisDenylist, connect
from revocation.cli.log_watch import LogWatch
from revocation.denylist import Change
from tests.support.denylists import SUBJECT, can_mint, opened, until
from tests.support.servers import StartServer, plain
from tests.support.tokens import ISSUER

LOST = "Redis has lost data"
TRIMMED = "The log was trimmed"


class Watched:
    """A watch, and what it said."""

    def __init__(self, denylist: RedisDenylist, *, from_start: bool = False) -> None:
        self.said: list[str] = []
        self.log = LogWatch(denylist, say=self.said.append, from_start=from_start)
        self._changes: Iterator[Change] = self.log.changes()

    def next(self, count: int) -> list[str]:
        """The values of the next changes, which must come."""
        return [change.revocation.handle.value for change in islice(self._changes, count) if change.revocation]


def revoke(denylist: RedisDenylist, *values: str) -> None:
    for value in values:
        denylist.revoke(Handle("token", value, issuer=ISSUER))


def names(count: int) -> list[str]:
    return [f"t-{number}" for number in range(count)]


def test_every_change_comes_once_and_in_order(denylist: RedisDenylist) -> None:
    revoke(denylist, "before")
    watched, from_start = Watched(denylist), Watched(denylist, from_start=True)

    denylist.revoke_many([Handle("token", value, issuer=ISSUER) for value in names(250)])

    assert watched.next(250) == names(250)
    assert from_start.next(251) == ["before", *names(250)]
    assert watched.said == from_start.said == []


def test_what_is_no_part_of_the_chain_is_passed_over(denylist: RedisDenylist, client: "redis.Redis") -> None:
    watched = Watched(denylist)
    revoke(denylist, "one")
    client.xadd(denylist.key("log"), {"some": "junk"})
    revoke(denylist, "two")

    assert watched.next(2) == ["one", "two"]
    assert watched.said == []


def test_a_line_that_somebody_took_away_is_missed_aloud(denylist: RedisDenylist, client: "redis.Redis") -> None:
    watched = Watched(denylist)
    revoke(denylist, "seen")
    assert watched.next(1) == ["seen"]
    revoke(denylist, "gone")
    last: Any = client.xrevrange(denylist.key("log"), count=1)
    client.xdel(denylist.key("log"), last[0][0])
    revoke(denylist, "after")

    assert watched.next(1) == ["after"]
    assert [LOST in word for word in watched.said] == [True]


def test_a_deleted_log_is_missed_aloud_and_once(denylist: RedisDenylist, client: "redis.Redis") -> None:
    watched = Watched(denylist)
    revoke(denylist, "gone")
    client.delete(denylist.key("log"))
    for _ in range(4):
        assert watched.log.look()[0] == []
    revoke(denylist, "after")

    assert watched.next(1) == ["after"]
    assert [LOST in word for word in watched.said] == [True]


def test_lines_that_were_trimmed_before_they_were_read_are_missed_aloud(client: "redis.Redis", namespace: str) -> None:
    denylist = opened(client, namespace, lifetimes=Lifetimes(1, leeway_seconds=0, margin_seconds=0))
    watched = Watched(denylist)
    revoke(denylist, "seen")
    assert watched.next(1) == ["seen"]
    revoke(denylist, "trimmed")
    log = denylist.key("log")

    def is_trimmed() -> bool:
        revoke(denylist, f"after-{client.xlen(log)}")
        lines: Any = client.xrange(log)
        return not any(b"trimmed" in fields[b"about"] for _, fields in lines)

    until(is_trimmed)

    assert watched.next(1)[0].startswith("after")
    assert [TRIMMED in word for word in watched.said] == [True]


def test_an_older_copy_of_the_data_is_noticed_and_what_it_holds_is_not_told_again(
    denylist: RedisDenylist, client: "redis.Redis"
) -> None:
    """So does a failover to a replica that lagged behind."""
    watched = Watched(denylist)
    revoke(denylist, "both have it")
    keys = [denylist.key(name) for name in ("head", "log", "clock")]
    copies = {key: client.dump(key) for key in keys}
    revoke(denylist, "lost")
    assert watched.next(2) == ["both have it", "lost"]

    for key, copy in copies.items():
        assert isinstance(copy, bytes)
        client.restore(key, 0, copy, replace=True)
    revoke(denylist, "afterwards")

    assert watched.next(1) == ["afterwards"]
    assert [LOST in word for word in watched.said] == [True]


def test_a_new_epoch_is_told_since_it_refuses_more_than_any_line(denylist: RedisDenylist) -> None:
    watched = Watched(denylist)
    denylist.open(new_epoch=True)
    until(lambda: can_mint(denylist))
    revoke(denylist, "after")

    assert watched.next(1) == ["after"]
    [said] = watched.said
    assert said.startswith(f"Epoch {denylist.head().epoch} began: nothing issued before 2")


def test_over_a_restart_no_change_is_missing(start_server: StartServer) -> None:
    server = start_server("valkey", "--appendonly", "yes", "--appendfsync", "always")
    denylist = RedisDenylist(plain(connect(server.url, timeout_seconds=1)))
    opened(server.client(), "denylist")
    watched = Watched(denylist)
    revoke(denylist, "before")
    assert watched.next(1) == ["before"]

    server.kill()
    with pytest.raises(DenylistUnavailableError):
        revoke(denylist, "during")
    # The watch goes on in a thread of its own while nobody answers.
    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(watched.next, 150)
        until(lambda: bool(watched.said))
        server.start()
        others = RedisDenylist(server.client())
        until(lambda: can_mint(others))
        others.revoke_many([Handle("token", value, issuer=ISSUER) for value in names(150)])
        assert seen.result(60) == names(150)

    until(lambda: not watched.log.look()[0] and len(watched.said) == 2)
    first, second = watched.said
    assert first.endswith("Trying again.")
    assert second == "It answers again, and no change is missing."


def test_a_server_that_forgot_everything_is_told_once_and_its_new_log_is_read_whole(start_server: StartServer) -> None:
    server = start_server("valkey")
    denylist = opened(server.client(), "denylist")
    watched = Watched(denylist)
    revoke(denylist, "before")
    assert watched.next(1) == ["before"]

    with ThreadPoolExecutor(1) as pool:
        seen = pool.submit(watched.next, 4)
        server.kill()
        server.start()
        until(lambda: bool(watched.said))
        others = opened(server.client(), "denylist")
        others.revoke_many([Handle("token", value, issuer=ISSUER) for value in names(3)])
        others.revoke(SUBJECT)
        assert seen.result(60) == [*names(3), "ada"]

    assert sum(word.endswith("Trying again.") for word in watched.said) == 1
    assert sum(LOST in word for word in watched.said) == 1
    assert sum(word.startswith("Epoch") for word in watched.said) == 1
