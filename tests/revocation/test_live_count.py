"""`revocation stats` counts what is in force at one instant, each revocation once, whatever happens meanwhile."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from revocation import Handle, Lifetimes, RedisDenylist
from revocation.cli.live_count import LiveCount, count_live
from revocation.cli.progress import Progress
from revocation.denylist import Page
from tests.support.command import Terminal, environment
from tests.support.denylists import opened, until
from tests.support.processes import spawned
from tests.support.requirements import require
from tests.support.servers import Server
from tests.support.tokens import ISSUER


def handles(kind: Any, count: int, *, first: int = 0) -> list[Handle]:
    return [Handle(kind, f"{kind}-{number}", issuer=ISSUER) for number in range(first, first + count)]


def counted(denylist: RedisDenylist) -> LiveCount:
    return count_live(denylist, Progress("Counting"))


def held(client: "redis.Redis", denylist: RedisDenylist) -> Counter[str]:
    """The entries that Redis holds, by kind, as it tells of its keys."""
    prefix = denylist.key("").encode()
    kinds = [key.removeprefix(prefix).split(b":")[0].decode() for key in client.scan_iter(prefix + b"*", count=10_000)]
    return Counter(kind for kind in kinds if kind in ("token", "session", "subject", "client", "key", "issuer"))


class Meanwhile(RedisDenylist):
    """Something happens after each page that is read."""

    happens: Callable[[], object] = staticmethod(lambda: None)

    def page(self, **asked: Any) -> Page:
        page = super().page(**asked)
        self.happens()
        return page


@pytest.fixture
def meanwhile(client: "redis.Redis", denylist: RedisDenylist, namespace: str) -> Meanwhile:
    return Meanwhile(client, namespace=namespace)


def test_the_figures_are_what_redis_holds_while_entries_expire(client: "redis.Redis", namespace: str) -> None:
    denylist = opened(client, namespace, lifetimes=Lifetimes(2, leeway_seconds=0, margin_seconds=0, session_seconds=1))
    denylist.revoke_many(handles("key", 3))
    seen = []

    def ended() -> bool:
        before = held(client, denylist)
        count = counted(denylist)
        # An entry that ended in between was in force at one of the two instants.
        assert before >= +count.by_kind >= held(client, denylist)
        assert count.uncertain == 0
        seen.append(count.by_kind.total())
        return held(client, denylist).total() == 3

    now = denylist.now_ms() / 1000
    for number, life in enumerate((0.2, 0.6, 1.0, 1.4)):
        denylist.revoke_many(
            [Handle("token", f"{number}-{each}", issuer=ISSUER, expires_at=now + life) for each in range(300)]
        )
    until(ended)

    assert sorted(seen, reverse=True) == seen
    assert counted(denylist).by_kind == {"key": 3}


def test_what_is_revoked_meanwhile_is_counted_once(denylist: RedisDenylist, meanwhile: Meanwhile) -> None:
    """Revocations of what outlives the log move the ranks by which the list has pages."""
    denylist.revoke_many(handles("session", 1200))
    made = iter(range(10_000, 20_000))
    meanwhile.happens = lambda: denylist.revoke_many(handles("session", 20, first=next(made) * 20))

    count = counted(meanwhile)

    after = counted(denylist)
    assert count.uncertain == 0
    assert count.as_of_ms < after.as_of_ms
    assert count.by_kind == after.by_kind
    assert after.by_kind["session"] > 1200


def test_what_is_undone_meanwhile_is_counted_anew(denylist: RedisDenylist, meanwhile: Meanwhile) -> None:
    revocations = iter(denylist.revoke_many(handles("session", 600)).revocations)
    undoings = iter(range(2))

    def undo() -> None:
        if next(undoings, None) is not None:
            denylist.undo(next(revocations).id)

    meanwhile.happens = undo

    count = counted(meanwhile)

    assert (count.by_kind, count.uncertain) == ({"session": 598}, 0)


def test_a_figure_that_was_disturbed_each_time_says_so(
    denylist: RedisDenylist, meanwhile: Meanwhile, monkeypatch: pytest.MonkeyPatch, terminal: Terminal
) -> None:
    revocations = iter(denylist.revoke_many(handles("token", 100)).revocations)
    meanwhile.happens = lambda: denylist.undo(next(revocations).id)
    monkeypatch.setattr("revocation.cli.chosen_denylist.ChosenDenylist.connected", lambda _: meanwhile)

    assert "give or take the" in terminal("stats").out
    assert terminal("stats", "--json").json["revocations"]["uncertain"] > 0


@pytest.fixture
def terminal(
    any_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Terminal:
    return Terminal(monkeypatch, capsys, REVOCATION_REDIS_URL=any_server.url, REVOCATION_NAMESPACE=namespace)


#: What `revocation stats --json` prints, and then the most memory that its process ever had, in kB.
_MEASURED = """
from pathlib import Path
from revocation.cli.commands import run
run(["stats", "--json"])
print(*[line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")])
"""


def test_fifty_thousand_are_counted_in_bounded_memory(valkey: Server, namespace: str) -> None:
    require(Path("/proc/self/status").exists(), "this system does not tell how much memory a process had")
    denylist = opened(valkey.client(), namespace)
    env = environment({"REVOCATION_REDIS_URL": valkey.url, "REVOCATION_NAMESPACE": namespace})

    def stats() -> tuple[dict[str, Any], int]:
        with spawned([sys.executable, "-c", _MEASURED], env=env, stdout=subprocess.PIPE) as process:
            out, _ = process.communicate(timeout=120)
        figures, memory = out.splitlines()
        return json.loads(figures)["revocations"], int(memory)

    _, without = stats()
    denylist.revoke_many(handles("token", 50_000))
    figures, memory = stats()

    assert (figures["total"], figures["by_kind"]["token"], figures["uncertain"]) == (50_000, 50_000, 0)
    assert memory < without + 15_000


@pytest.mark.parametrize("kind", ["token", "session"])
def test_no_step_of_a_count_asks_for_much(denylist: RedisDenylist, client: "redis.Redis", kind: str) -> None:
    denylist.revoke_many(handles(kind, 2_500))
    began = client.info("commandstats")
    calls = _calls(began)

    assert counted(denylist).by_kind == {kind: 2_500}

    made = _calls(client.info("commandstats")) - calls
    # 500 at a time at most: the log has that many pages, and each is looked for among the entries.
    assert made["xrevrange"] >= 5
    assert made["mget"] >= 5
    assert made.keys().isdisjoint({"keys", "hgetall", "smembers"})


def _calls(stats: Any) -> Counter[str]:
    return Counter({name.removeprefix("cmdstat_"): figures["calls"] for name, figures in stats.items()})
