"""The live list where there is much of it: what was revoked together is one, and a page costs what it shows."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest
import redis

from revocation import Handle, RedisDenylist, Revocation
from revocation.denylist import Note, Page
from tests.support.denylists import all_pages, opened
from tests.support.servers import Server, running
from tests.support.tokens import ISSUER

MANY = 50_000


def sessions(name: str, number: int) -> list[Handle]:
    return [Handle("session", f"{name}-{each}", issuer=ISSUER) for each in range(number)]


def folded_pages(denylist: RedisDenylist, *, limit: int = 50) -> list[Page]:
    pages: list[Page] = []
    cursor = None
    while not pages or cursor is not None:
        pages.append(denylist.page(fold=True, cursor=cursor, limit=limit))
        cursor = pages[-1].next_cursor
    return pages


def test_what_one_call_took_back_is_a_batch_and_what_was_taken_alone_is_none(denylist: RedisDenylist) -> None:
    together = denylist.revoke_many(sessions("s", 300), reason="breach", actor="ada").revocations
    (alone,) = denylist.revoke_many(sessions("alone", 1)).revocations

    (batch,) = {one.batch for one in together}
    assert batch != alone.batch == ""
    assert [denylist.find(one.id) for one in together[::100]] == list(together[::100])
    assert {one.batch for one in all_pages(denylist)} == {batch, ""}


def test_several_calls_may_be_one_batch(denylist: RedisDenylist) -> None:
    for part in range(3):
        denylist.revoke_many(sessions(f"part-{part}", 2), batch="0123456789abcdef")

    (page,) = (page for page in folded_pages(denylist) if page.revocations)

    assert page.batches == {"0123456789abcdef": 6}


@pytest.mark.parametrize("outlives_the_log", [False, True])
def test_a_batch_is_one_row_that_counts_what_is_still_in_force(
    denylist: RedisDenylist, client: "redis.Redis", outlives_the_log: bool
) -> None:
    before = denylist.revoke(Handle("session", "before", issuer=ISSUER)).revocation
    together = denylist.revoke_many(sessions("s", 300)).revocations
    after = denylist.revoke(Handle("session", "after", issuer=ISSUER)).revocation
    assert before is not None
    assert after is not None
    for one in (together[3], together[299]):
        denylist.undo(one.id)
    if outlives_the_log:
        client.xtrim(denylist.key("log"), maxlen=1, approximate=False)

    pages = folded_pages(denylist, limit=2)

    rows = [(one.batch, one.handle.value) for page in pages for one in page.revocations]
    assert {batch for batch, _ in rows} == {"", together[0].batch}
    assert {value for batch, value in rows if not batch} == {"before", "after"}
    assert sum(page.batches.get(together[0].batch, 0) for page in pages) == 298
    assert len(all_pages(denylist, limit=7)) == 300


def test_only_what_matches_is_listed(denylist: RedisDenylist) -> None:
    denylist.revoke_many(sessions("s", 120), reason="breach", actor="ada")
    wanted = denylist.revoke(Handle("session", "x", issuer=ISSUER), reason="lost phone", actor="eve").revocation
    denylist.revoke_many(sessions("t", 120), reason="breach", actor="ada")

    found: list[Revocation] = []
    cursor = None
    for _ in range(10):
        page = denylist.page(matching=lambda one: "phone" in one.reason, cursor=cursor, limit=1)
        found += page.revocations
        cursor = page.next_cursor
        if cursor is None:
            break

    assert found == [wanted]


class Busy:
    """A link on which others do something before every question."""

    def __init__(self, link: Any, others: Callable[[], object]) -> None:
        self._link = link
        self._others = others
        self._is_busy = False

    def call(self, ask: Callable[[Any], Any]) -> Any:
        if not self._is_busy:
            # What they do asks as well.
            self._is_busy = True
            self._others()
            self._is_busy = False
        return self._link.call(ask)


@pytest.mark.parametrize("seed", range(10))
def test_pages_show_every_row_that_lived_throughout_exactly_once_whatever_others_do(
    denylist: RedisDenylist, client: "redis.Redis", seed: int
) -> None:
    """A row that is undone moves among those that outlive the log, and a line that is dropped leaves it."""
    random = Random(seed)
    numbers = itertools.count()
    alive: dict[str, Revocation] = {}

    def revoke() -> None:
        kind, number = random.choice(["session", "subject"]), random.choice([1, 2, 20])
        handles = [Handle(kind, f"v-{next(numbers)}", issuer=ISSUER) for _ in range(number)]
        alive.update({one.id: one for one in denylist.revoke_many(handles, wait_seconds=0).revocations})

    def undo() -> None:
        for id_ in random.sample(sorted(alive), min(len(alive), random.choice([1, 5, 20]))):
            denylist.undo(id_)
            del alive[id_]

    def drop() -> None:
        client.xtrim(denylist.key("log"), maxlen=random.randrange(1, 60), approximate=False)

    def others() -> None:
        if random.random() < 0.5:
            random.choices([revoke, undo, drop], weights=[2, 3, 1])[0]()

    for _ in range(20):
        revoke()
    drop()
    before = set(alive)
    ledger: Any = denylist._ledger
    ledger._link = ledger._lasting._link = Busy(ledger._link, others)

    shown = [one.id for one in all_pages(denylist, limit=random.choice([5, 10, 25]))]

    assert len(shown) == len(set(shown)), "twice"
    assert before.intersection(alive) <= set(shown)


def test_undoing_a_batch_page_by_page_leaves_nothing_of_it(denylist: RedisDenylist, client: "redis.Redis") -> None:
    """Each page moves what the next one counted."""
    together = denylist.revoke_many(sessions("s", 120)).revocations
    denylist.revoke(Handle("session", "after", issuer=ISSUER))
    client.xtrim(denylist.key("log"), maxlen=1, approximate=False)

    cursor, undone = None, 0
    for _ in range(100):
        page = denylist.page(matching=lambda one: one.batch == together[0].batch, cursor=cursor, limit=7)
        undone += sum(denylist.undo(one.id) for one in page.revocations)
        cursor = page.next_cursor
        if cursor is None:
            break

    assert undone == 120
    assert [one.handle.value for one in all_pages(denylist)] == ["after"]


@pytest.fixture(scope="module")
def quiet() -> Iterator[Server]:
    """A server that nobody else uses: it counts the commands of its own client alone."""
    with running("valkey") as server:
        yield server


@pytest.fixture(scope="module")
def crowded(quiet: Server) -> RedisDenylist:
    """Fifty thousand live revocations: half of them made one by one, and then half by one call."""
    denylist = opened(quiet.client(), "crowded")
    for first in range(0, MANY // 2, 256):
        # One step for many that belong to no batch, since so many calls would take a minute.
        denylist._revoke_batch(
            sessions(f"alone-{first}", min(256, MANY // 2 - first)),
            note=Note("eve", f"ticket {first}"),
            issued_before_ms=None,
            records=None,
            indexes=(),
        )
    denylist.revoke_many(sessions("together", MANY // 2), reason="breach", actor="ada", wait_seconds=0)
    return denylist


@dataclass(frozen=True)
class Cost:
    """What Redis did for something."""

    commands: int
    answered_bytes: int


def cost_of(denylist: RedisDenylist, ask: Callable[[], object]) -> Cost:
    client: Any = denylist.link.client
    before = client.info("stats")
    ask()
    after = client.info("stats")
    # The second question is one command, and the answer to the first some kilobytes.
    return Cost(
        after["total_commands_processed"] - before["total_commands_processed"] - 1,
        after["total_net_output_bytes"] - before["total_net_output_bytes"],
    )


def test_the_first_page_of_fifty_thousand_costs_what_it_shows(crowded: RedisDenylist) -> None:
    page = crowded.page()

    cost = cost_of(crowded, crowded.page)

    assert len(page.revocations) == 50
    assert cost.commands <= 4
    assert cost.answered_bytes < 50_000


def test_a_batch_of_thousands_costs_a_bounded_page_and_all_of_them_are_counted(crowded: RedisDenylist) -> None:
    costs = [cost_of(crowded, lambda: crowded.page(fold=True))]
    page = crowded.page(fold=True)
    (row,), counted = page.revocations, page.batches[page.revocations[0].batch]
    while counted < MANY // 2:
        cursor = page.next_cursor
        costs.append(cost_of(crowded, partial(crowded.page, fold=True, cursor=cursor)))
        page = crowded.page(fold=True, cursor=cursor)
        counted += page.batches[row.batch]

    assert counted == MANY // 2
    assert len(costs) == 3
    assert max(cost.commands for cost in costs) <= 60
    assert max(cost.answered_bytes for cost in costs) < 6_000_000


def test_a_search_among_fifty_thousand_reads_a_bounded_part_at_a_time(crowded: RedisDenylist) -> None:
    def matching(cursor: str | None) -> Page:
        return crowded.page(matching=lambda one: one.reason == "ticket 0", cursor=cursor, limit=500)

    found, costs, cursor = 0, [], None
    while True:
        costs.append(cost_of(crowded, partial(matching, cursor)))
        page = matching(cursor)
        found, cursor = found + len(page.revocations), page.next_cursor
        if cursor is None or cursor.startswith("lasting"):
            break

    assert found == 256
    assert len(costs) <= 6
    assert max(cost.commands for cost in costs) <= 60
    assert max(cost.answered_bytes for cost in costs) < 6_000_000
