"""Ledger: what administrators read in the deny-list: one revocation, those of a handle, all of them, what happened."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from revocation.denylist import NO_CUTOFF, Change, Page, Revocation
from revocation.errors import DenylistUnavailableError
from revocation.handles import Handle, Kind
from revocation.redis.epochs import Epochs
from revocation.redis.head import Head
from revocation.redis.lasting import Lasting, Place
from revocation.redis.link import Link
from revocation.redis.protocol import (
    CHANGE,
    REVOCATION_ID,
    UNDONE,
    Namespace,
    cutoff_in,
    ids_in,
    order,
    standing_in,
    stream_id_of,
)
from revocation.redis.records import parse_logged, parse_revocation, parse_undo
from revocation.redis.view import View

#: Log entries read at a time, and at most, for one page of the live list.
_READ_AT_ONCE: Final = 500
_READ_AT_MOST: Final = 10_000

_NOT_WHOLE: Final = (
    "The log of the deny-list misses lines, so that nobody knows what is revoked. A process that follows notices it, "
    "and opens a new epoch; `revocation init --new-epoch` does it by hand."
)


@dataclass(frozen=True, slots=True)
class Standing:
    """What stood for some handles at one instant of Redis' clock."""

    now_ms: int = 0
    everything_ms: int = 0
    #: By the names of the handles that have any: what is in force, and the revocations, oldest first.
    cutoffs: Mapping[str, float] = field(default_factory=dict)
    revocations: Mapping[str, tuple[Revocation, ...]] = field(default_factory=dict)

    def latest_cutoff(self, handles: Iterable[Handle]) -> float:
        """The latest cut-off in force for any of the handles, all of which were asked about."""
        return max([float(self.everything_ms), *(self.cutoffs.get(handle.name, NO_CUTOFF) for handle in handles)])

    def of(self, handle: Handle) -> tuple[Revocation, ...]:
        """The live revocations of exactly this handle, oldest first; those that were merged are not told apart."""
        return self.revocations.get(handle.name, ())


@dataclass(slots=True)
class _Sheet:
    """A page while it is filled."""

    limit: int
    wants: Callable[[Revocation], bool]
    fold: bool
    rows: list[Revocation] = field(default_factory=list)
    batches: dict[str, int] = field(default_factory=dict)

    @property
    def is_full(self) -> bool:
        """Whether it takes no more whatever comes; one that folds may still take what is of a batch on it."""
        return not self.fold and len(self.rows) == self.limit

    def takes(self, revocation: Revocation) -> bool:
        """Put the revocation on the page; False where it has no room."""
        batch = revocation.batch if self.fold else ""
        if batch not in self.batches:
            if len(self.rows) == self.limit:
                return False
            self.rows.append(revocation)
        if batch:
            self.batches[batch] = self.batches.get(batch, 0) + 1
        return True

    def page(self, next_cursor: str | None) -> Page:
        return Page(tuple(self.rows), next_cursor, self.batches)


def _sizes(first: int) -> Iterator[int]:
    """How many lines to read, time and again: a page whose every line counts asks for no more than it shows."""
    read, size = 0, min(first, _READ_AT_ONCE)
    while read < _READ_AT_MOST:
        yield size
        read, size = read + size, min(2 * size, _READ_AT_ONCE)


class Ledger:
    """Reads the log and the records of one namespace. It changes nothing."""

    def __init__(self, link: Link, namespace: Namespace, epochs: Epochs) -> None:
        self._link = link
        self._namespace = namespace
        self._epochs = epochs
        self._lasting = Lasting(link, namespace)

    def find(self, revocation_id: str) -> Revocation | None:
        """The live revocation with this id; None where it is unknown, expired or undone."""
        found = self._find(revocation_id)
        return None if found is None else found[0]

    def find_with_others(self, revocation_id: str) -> tuple[Revocation, tuple[Revocation, ...]] | None:
        """The same, and all that `standing` tells of its handle."""
        found = self._find(revocation_id)
        if found is None:
            return None
        revocation, entry = found
        return revocation, self._recorded_in({revocation.handle.name: entry}).get(revocation.handle.name, ())

    def standing(self, handles: Iterable[Handle]) -> Standing:
        """What stands for the handles: one question, and another one for the records where anything stands."""
        self._epochs.inspect()
        names = list(dict.fromkeys(handle.name for handle in handles))

        def ask(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            pipeline.mget([self._namespace.head, *map(self._namespace.key, names)])
            pipeline.time()
            answers: list[Any] = pipeline.execute()
            return answers

        (text, *entries), (seconds, microseconds) = self._link.call(ask)
        head = self._epochs.read(text)
        held = {name: entry for name, entry in zip(names, entries, strict=True) if entry is not None}
        return Standing(
            now_ms=int(seconds) * 1000 + int(microseconds) // 1000,
            everything_ms=head.everything_ms,
            cutoffs={name: cutoff_in(entry) for name, entry in held.items()},
            revocations=self._recorded_in(held),
        )

    def _find(self, revocation_id: str) -> tuple[Revocation, bytes] | None:
        """A live revocation and its entry."""
        self._epochs.inspect()
        recorded, head = self._records([revocation_id], with_head=True)
        # A Redis that has lost its data does not know what it has lost.
        self._epochs.read(head)
        return next(self._in_force(list(recorded.values())), None)

    def _recorded_in(self, entries: Mapping[str, bytes]) -> dict[str, tuple[Revocation, ...]]:
        """The revocations that each entry names, by the entry's name; those that were merged are not told apart."""
        ids = {name: [id_ for id_ in ids_in(entry) if id_[0] != "+"] for name, entry in entries.items()}
        recorded, _ = self._records([id_ for named in ids.values() for id_ in named])
        return {name: tuple(recorded[id_] for id_ in named if id_ in recorded) for name, named in ids.items()}

    def page(
        self,
        *,
        kind: Kind | None = None,
        matching: Callable[[Revocation], bool] = lambda _: True,
        fold: bool = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Live revocations, newest first; those that outlive the log follow, the longest-lived first.

        With `fold` the first of a batch stands for those of it that follow on the page. A page may be short, and even
        empty, and not be the last: so many lines are read for one at most. Raises ValueError for a cursor that did not
        come from a page.
        """
        # A Redis that has lost its data has no empty list: the head raises.
        self._epochs.head()
        sheet = _Sheet(limit, lambda revocation: kind in (None, revocation.handle.kind) and matching(revocation), fold)
        place, _, after = (cursor or "log:+").partition(":")
        if place == "log" and re.fullmatch(r"\+|[0-9]{1,19}-[0-9]{1,19}", after):
            return sheet.page("lasting:-:") if re.fullmatch("0+-0+", after) else self._page_of_log(sheet, after)
        # Which lines the pages of the log have shown, and what outlives the log and was shown since.
        floor, colon, shown = after.partition(":")
        begin = Place.parsed(shown)
        if place == "lasting" and colon and begin is not None and re.fullmatch("-|[0-9]{1,19}-[0-9]{1,19}", floor):
            return self._page_of_lasting(sheet, begin, floor=floor)
        raise ValueError("this cursor did not come from a page")

    def changes(self, *, after: str | None = None, limit: int = 100) -> tuple[tuple[Change, ...], str]:
        """What the log says after a cursor, oldest first, and the cursor for the next question.

        Without a cursor: nothing yet, and the end of the log, from which to go on. Raises ValueError for a cursor that
        did not come from here.
        """
        head = self._epochs.head()
        if after is None:
            return (), head.last_id
        if not re.fullmatch(r"[0-9]{1,19}-[0-9]{1,19}", after):
            raise ValueError("this cursor did not come from a list of changes")
        entries: Any = self._link.call(lambda client: client.xrange(self._namespace.log, f"({after}", "+", count=limit))
        return self.read_lines(entries), entries[-1][0].decode() if entries else after

    def standing_by(self, kinds: Iterable[Kind]) -> tuple[list[str], Head]:
        """The names of all entries of some kinds that stand, and the head as of which there are no others.

        Raises DenylistUnavailableError where the log misses lines: then nobody knows what is revoked.
        """
        head, prefixes = self._epochs.head(), tuple(f"{kind}:" for kind in kinds)
        told = {name for name in (*self._logged_names(head), *self._lasting_names()) if name.startswith(prefixes)}
        names, standing = sorted(told), []
        for first in range(0, len(names), _READ_AT_ONCE):
            batch = names[first : first + _READ_AT_ONCE]
            entries = self._entries(batch)
            standing += [name for name, entry in zip(batch, entries, strict=True) if entry is not None]
        return standing, head

    def _entries(self, names: Sequence[str]) -> list[bytes | None]:
        found: Any = self._link.call(lambda client: client.mget([self._namespace.key(name) for name in names]))
        return list(found)

    def _logged_names(self, head: Head) -> Iterator[str]:
        """The names that the whole log tells of, up to this head or further."""
        view, after = View(), "-"
        is_reached = order(head.end) <= order(head.floor)
        while lines := self._log_after(after):
            for entry_id, fields in lines:
                if view.apply(entry_id, fields, head=head, now=0.0) in ("break", "unknown"):
                    raise DenylistUnavailableError(_NOT_WHOLE)
                change = CHANGE.fullmatch(fields.get(b"change", b"").decode("utf-8", "replace"))
                if change is not None:
                    yield change["name"]
                is_reached = is_reached or view.position == head.end
            after = f"({lines[-1][0].decode()}"
        if not is_reached:
            raise DenylistUnavailableError(_NOT_WHOLE)

    def _log_after(self, oldest: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        entries: Any = self._link.call(
            lambda client: client.xrange(self._namespace.log, oldest, "+", count=_READ_AT_ONCE)
        )
        return list(entries)

    def _lasting_names(self) -> Iterator[str]:
        """The names of what outlives the log."""
        place: Place | None = Place()
        while place is not None:
            recorded, place = self._lasting.after(place, _READ_AT_ONCE)
            yield from (revocation.handle.name for _, revocation in recorded if revocation is not None)

    def read_lines(self, lines: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> tuple[Change, ...]:
        """What lines of the log say, each with its id and its fields, as somebody who watches sees it."""
        read = [self._change(entry_id, fields) for entry_id, fields in lines]
        return tuple(change for change in read if change is not None)

    def _change(self, entry_id: bytes, fields: dict[bytes, bytes]) -> Change | None:
        """A log entry as somebody who watches sees it; None for what is not this version's."""
        made = parse_logged(entry_id, fields)
        if made is not None:
            return Change(made.id, False, made, made.id, made.created_at_ms, made.note)
        change = CHANGE.fullmatch(fields.get(b"change", b"").decode("utf-8", "replace"))
        if change is None or change["op"] != "undo":
            return None
        undo = parse_undo(fields.get(b"about", b""))
        if undo is None:
            return None
        undone, note = undo
        line = f"{entry_id.decode()}-{change['tag']}"
        return Change(line, True, self.recorded(undone), undone, int(change["at"]), note)

    def _page_of_log(self, sheet: "_Sheet", after: str) -> Page:
        for number in _sizes(sheet.limit):
            entries = self._log_before(after, number)
            read = [parse_logged(entry_id, fields) for entry_id, fields in entries]
            for revocation in self._alive([one for one in read if one is not None and sheet.wants(one)]):
                if not sheet.takes(revocation):
                    return sheet.page(f"log:{after}")
                after = stream_id_of(revocation.id)
                if sheet.is_full:
                    return sheet.page(f"log:{after}")
            if len(entries) < number:
                floor = entries[-1][0].decode() if entries else after.replace("+", "-")
                return sheet.page(f"lasting:{floor}:")
            after = entries[-1][0].decode()
        return sheet.page(f"log:{after}")

    def _log_before(self, after: str, number: int) -> list[tuple[bytes, dict[bytes, bytes]]]:
        newest = after if after == "+" else f"({after}"
        entries: Any = self._link.call(lambda client: client.xrevrange(self._namespace.log, newest, "-", count=number))
        return list(entries)

    def _page_of_lasting(self, sheet: "_Sheet", place: Place, *, floor: str) -> Page:
        # From its line `floor` on the log has shown what it tells of, and may have dropped it since. Only of a key that
        # was given back after a loss it never told.
        def is_of_log(revocation: Revocation) -> bool:
            return floor != "-" and revocation.handle.kind != "key" and order(revocation.id) >= order(floor)

        for number in _sizes(sheet.limit):
            recorded, following = self._lasting.after(place, number)
            wanted = [one for _, one in recorded if one is not None and sheet.wants(one) and not is_of_log(one)]
            logged = self._logged([one.id for one in wanted if one.handle.kind == "key"])
            ends = {one.id: end for end, one in recorded if one is not None}
            for revocation in self._alive([one for one in wanted if one.id not in logged]):
                if not sheet.takes(revocation):
                    return sheet.page(f"lasting:{floor}:{place}")
                place = ends[revocation.id]
                if sheet.is_full:
                    return sheet.page(f"lasting:{floor}:{place}")
            if following is None:
                return sheet.page(None)
            place = following
        return sheet.page(f"lasting:{floor}:{place}")

    def _logged(self, ids: Sequence[str]) -> set[str]:
        """Those of the revocations that the log tells of; what was given back after a loss is not among them."""

        def ask(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for id_ in ids:
                pipeline.xrange(self._namespace.log, stream_id_of(id_), stream_id_of(id_))
            lines: list[Any] = pipeline.execute()
            return lines

        lines = self._link.call(ask) if ids else []
        read = [parse_logged(entry_id, fields) for found in lines for entry_id, fields in found]
        return {revocation.id for revocation in read if revocation is not None}.intersection(ids)

    def recorded(self, revocation_id: str) -> Revocation | None:
        """The revocation with this id as the log or `lasting` keeps it, in force or not."""
        return self._records([revocation_id])[0].get(revocation_id)

    def _records(self, ids: Sequence[str], *, with_head: bool = False) -> tuple[dict[str, Revocation], bytes | None]:
        """Revocations as they were written, by their ids, and the head."""
        wanted = [match[0] for match in map(REVOCATION_ID.fullmatch, ids) if match is not None]

        def ask(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            if with_head:
                pipeline.get(self._namespace.head)
            for id_ in wanted:
                pipeline.xrange(self._namespace.log, stream_id_of(id_), stream_id_of(id_))
            if wanted:
                pipeline.hmget(self._namespace.lasting, wanted)
            answers: list[Any] = pipeline.execute()
            return answers

        answers = self._link.call(ask) if wanted or with_head else []
        head = answers.pop(0) if with_head else None
        if not wanted:
            return {}, head
        *lines, lasting = answers
        found = {}
        for id_, logged, text in zip(wanted, lines, lasting, strict=True):
            read = [parse_logged(entry_id, fields) for entry_id, fields in logged]
            record = parse_revocation(id_, text) if text else None
            revocation = next((one for one in read if one is not None and one.id == id_), record)
            if revocation is not None:
                found[id_] = revocation
        return found, head

    def _alive(self, recorded: Sequence[Revocation]) -> Iterator[Revocation]:
        """Those that are still in force, of some that were written once."""
        return (revocation for revocation, _ in self._in_force(recorded))

    def _in_force(self, recorded: Sequence[Revocation]) -> Iterator[tuple[Revocation, bytes]]:
        """The same, each with its entry."""
        if not recorded:
            return

        entries: Any = self._link.call(
            lambda client: client.mget([self._namespace.entry(revocation.handle) for revocation in recorded])
        )
        how = [standing_in(entry, revocation.id) for revocation, entry in zip(recorded, entries, strict=True)]
        # `lasting` repeats whole records, so it is asked only for what an entry does not tell.
        merged = [revocation.id for revocation, word in zip(recorded, how, strict=True) if word == "merged"]
        marks: Any = self._link.call(lambda client: client.hmget(self._namespace.lasting, merged)) if merged else []
        undone = {id_ for id_, mark in zip(merged, marks, strict=True) if mark == UNDONE}
        for revocation, entry, word in zip(recorded, entries, how, strict=True):
            if word and revocation.id not in undone:
                yield revocation, entry
