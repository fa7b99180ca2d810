"""LiveCount: how many revocations are in force, by kind, at one instant of Redis' clock."""

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from revocation.cli.progress import Progress
from revocation.denylist import Revocation
from revocation.handles import Handle
from revocation.redis.denylist import RedisDenylist
from revocation.redis.head import Head
from revocation.redis.protocol import order

_PAGE: Final = 500

#: What ends within so many milliseconds from the beginning of a count is looked at once more at its end.
_ENDING_MS: Final = 300_000

#: So often a count begins anew because something was undone meanwhile.
_TRIES: Final = 3

#: Revocations that are made while `lasting` is read move its ranks, so that the last ones of so many pages come again.
_REPEATED: Final = 4


@dataclass(frozen=True, slots=True)
class LiveCount:
    """The revocations in force at an instant."""

    by_kind: Counter[str]
    as_of_ms: int
    #: So many were undone during each try to count: the figure may be wrong by as many. 0: it is exact.
    uncertain: int


def count_live(denylist: RedisDenylist, progress: Progress) -> LiveCount:
    """Count in small steps, none of which keeps Redis from others, and keep no more than figures."""
    for _ in range(_TRIES):
        progress.done = 0
        began = denylist.head()
        count = _Count(now_ms=denylist.standing(()).now_ms)
        for revocation in _made_until(began, denylist):
            count.add(revocation)
            progress.done += 1
        undone = _add_made_since(began, denylist, count)
        by_kind, as_of_ms = count.in_force(denylist)
        if denylist.head().epoch != began.epoch:
            undone += 1
        if not undone:
            break
    return LiveCount(by_kind, as_of_ms, undone)


class _Count:
    """Figures by kind, and the handles of what ends soon."""

    def __init__(self, *, now_ms: int) -> None:
        self._by_kind: Counter[str] = Counter()
        self._ending: list[tuple[int, Handle]] = []
        self._ends_soon_ms = now_ms + _ENDING_MS

    def add(self, revocation: Revocation) -> None:
        self._by_kind[revocation.handle.kind] += 1
        ends_ms = revocation.expires_at_ms
        if ends_ms is not None and ends_ms <= self._ends_soon_ms:
            self._ending.append((ends_ms, revocation.handle))

    def in_force(self, denylist: RedisDenylist) -> tuple[Counter[str], int]:
        """The figures by kind without what has ended, and as of when. An entry may outlive its end by some ms."""
        now_ms = denylist.standing(()).now_ms
        over = [handle for ends_ms, handle in self._ending if ends_ms <= now_ms]
        by_kind = Counter(self._by_kind)
        for first in range(0, len(over), _PAGE):
            part = over[first : first + _PAGE]
            standing = denylist.standing(part)
            now_ms = standing.now_ms
            by_kind.subtract(handle.kind for handle in part if handle.name not in standing.cutoffs)
        return +by_kind, now_ms


def _made_until(began: Head, denylist: RedisDenylist) -> Iterator[Revocation]:
    """Every revocation in force that was made up to the end of the log as this head names it, each once."""
    milliseconds, number = order(began.last_id)
    cursor: str | None = f"log:{milliseconds}-{number + 1}"
    before: deque[set[str]] = deque(maxlen=_REPEATED)
    while cursor is not None:
        page = denylist.page(cursor=cursor, limit=_PAGE)
        for revocation in page.revocations:
            is_new = not any(revocation.id in ids for ids in before)
            if is_new and order(revocation.id) <= (milliseconds, number):
                yield revocation
        before.append({revocation.id for revocation in page.revocations})
        cursor = page.next_cursor


def _add_made_since(began: Head, denylist: RedisDenylist, count: _Count) -> int:
    """Count what was made after this head; how many of those before it were undone since, counted or not."""
    made: dict[str, Revocation] = {}
    undone = 0
    position = began.last_id
    while True:
        changes, after = denylist.changes(after=position, limit=_PAGE)
        for change in changes:
            if change.revocation is not None and not change.undone:
                made[change.revocation_id] = change.revocation
            elif made.pop(change.revocation_id, None) is None:
                undone += 1
        if after == position:
            break
        position = after
    for revocation in made.values():
        count.add(revocation)
    return undone
