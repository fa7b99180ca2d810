"""View: what the log says, in memory, and how far it has been read."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Literal

from revocation.denylist import UNCONDITIONAL
from revocation.handles import Handle
from revocation.redis.head import Head
from revocation.redis.protocol import CHANGE, FROM_START, LINK, UNDONE, order
from revocation.redis.records import about_taken_over, key_name_in, parse_revocation, parse_undo

#: What became of a log entry: `applied`; `junk`, which is no part of the chain and nobody's; `break`, where a
#: predecessor is missing that may still matter; `behind`, where lines were trimmed that this view has not read;
#: `unknown`, chained but of a form that this version cannot read.
Outcome = Literal["applied", "junk", "break", "behind", "unknown"]

#: Entries are dropped in bunches: those that end in the same minute, together.
_BUCKET_SECONDS: Final = 60.0


class View:
    """The live entries, keyed by the hash of their names, and the place in the log up to which they are true.

    A hash takes a third of the memory of a name. Two names with one hash, of which one is revoked: once in 10^13
    checks with a million entries, and then a good token is refused, never a revoked one accepted. Entries are dropped
    by the process's own clock, long after Redis forgot them, and never because Redis did: expiry, eviction, a flush
    and a failover look alike from here.
    """

    __slots__ = (
        "_buckets",
        "_collects_at",
        "_cutoffs",
        "_place",
        "_unconditional",
        "bound_seconds",
        "epochs",
        "everything_ms",
        "expected",
        "given_back_at",
        "has_lasting",
        "head",
        "keys",
        "remembered",
        "stamp",
    )

    def __init__(self) -> None:
        #: When the entry ends, as a bucket of the boot clock, by the hash of its name; -1: never.
        self._unconditional: dict[int, int] = {}
        #: Cut-off and bucket by the hash of the name.
        self._cutoffs: dict[int, tuple[float, int]] = {}
        #: The hashes of what ends in each bucket.
        self._buckets: dict[int, list[int]] = {}
        self._collects_at = -math.inf
        #: The last entry that was read at all, and the last of the chain.
        self._place: tuple[str, str | None] = ("0-0", None)
        #: The epoch that it follows and those that this one replaced; empty before the first head.
        self.epochs: tuple[str, ...] = ()
        self.everything_ms = 0
        #: The end of the log according to the head of the beat before: this beat must pass it.
        self.expected: str | None = None
        #: Whether what outlives the log was read.
        self.has_lasting = False
        #: The head that it was last judged by; None before the first.
        self.head: Head | None = None
        #: Every revocation of a key that is in force: its entry's name and its record, by its id.
        self.keys: dict[str, tuple[str, str]] = {}
        #: The same of the epoch before, until they were given back to Redis and read there.
        self.remembered: dict[str, tuple[str, str]] = {}
        #: When Redis took them, by the boot clock; inf: it has not.
        self.given_back_at = math.inf
        #: The longest finite bound that any process may decide with, according to the head.
        self.bound_seconds = math.inf
        #: True as of this instant of the boot clock. Set last, after everything it vouches for.
        self.stamp = -math.inf

    def __len__(self) -> int:
        return len(self._unconditional) + len(self._cutoffs)

    @property
    def epoch(self) -> str | None:
        """The epoch that it follows; None before the first head."""
        return self.epochs[0] if self.epochs else None

    @property
    def cursor(self) -> str:
        """The last entry that was read at all."""
        return self._place[0]

    @property
    def position(self) -> str | None:
        """The last chained entry that was applied, `<id>-<tag>`; None before the first."""
        return self._place[1]

    def follow(self, head: Head) -> None:
        """Take the epoch of a head for one's own."""
        self.epochs = (head.epoch, *head.replaced)

    def may_follow(self, head: Head) -> bool:
        """Whether this view's epoch is the one of the head, or one that the head's replaced.

        Otherwise an older epoch is back, or one by somebody who knew nothing of this one.
        """
        return self.epoch is None or self.epoch == head.epoch or self.epoch in head.replaced

    def restarted(self, head: Head, *, beside: Iterable[tuple[int, float, float]] = ()) -> "View":
        """A view that holds the same and reads the log from its beginning, for the epoch of this head.

        `beside` is held in addition: (hash of a name, cut-off, until when by the boot clock).
        """
        view = View()
        view._unconditional = dict(self._unconditional)
        view._cutoffs = dict(self._cutoffs)
        view._buckets = {bucket: list(keys) for bucket, keys in self._buckets.items()}
        view.everything_ms = head.everything_ms
        view.remembered = self.remembered | self.keys
        for number, cutoff, until in beside:
            view._hold(number, cutoff, until, weakening=False)
        view.follow(head)
        return view

    def begun_anew(self) -> "View":
        """A view that begins as that of a new follower does, for the same epoch.

        Lines that this one has not read were trimmed: what outlives them stands in `lasting` by now.
        """
        view = View()
        view.epochs, view.everything_ms = self.epochs, self.everything_ms
        # Should Redis lose its data before this view has read them, these are all that is known.
        view.remembered = self.remembered | self.keys
        return view

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off that is held for any of the handles, expired or not."""
        unconditional, cutoffs = self._unconditional, self._cutoffs
        latest: float = self.everything_ms
        for handle in handles:
            key = handle.number
            if key in unconditional:
                return UNCONDITIONAL
            held = cutoffs.get(key)
            if held is None:
                # The follower's thread may have moved it from the cut-offs to the unconditional ones in between.
                if key in unconditional:
                    return UNCONDITIONAL
            elif held[0] > latest:
                latest = held[0]
        return latest

    def read_head(self, head: Head) -> None:
        """Take what stands in the head and not in the log: the cut-off of everything."""
        self.head = head
        self.everything_ms = max(self.everything_ms, head.everything_ms)

    def read_lasting(self, records: Mapping[bytes, bytes], *, now_ms: int, now: float) -> None:
        """Take what outlives the log; a line of the log replaces it. `now` is the boot clock."""
        for id_, text in records.items():
            revocation = None if text == UNDONE else parse_revocation(id_.decode("ascii", "replace"), text)
            key_name = key_name_in(text) if revocation is None else None
            if key_name is not None:
                self._hold(hash(key_name), UNCONDITIONAL, math.inf, weakening=False)
                self.keys[id_.decode("ascii", "replace")] = (key_name, text.decode())
            if revocation is None or revocation.issued_before_ms is not None:
                continue
            left = math.inf if revocation.expires_at_ms is None else (revocation.expires_at_ms - now_ms) / 1000
            self._hold(revocation.handle.number, UNCONDITIONAL, now + left, weakening=False)
            if revocation.handle.kind == "key":
                self.keys[revocation.id] = (revocation.handle.name, text.decode())
        self.has_lasting = True

    def apply(
        self, entry_id: bytes, fields: Mapping[bytes, bytes], *, head: Head, now: float, begins: bool = True
    ) -> Outcome:
        """Take one entry of the log: it replaces what is held for its handle.

        Only where the view `begins`, having read what outlives the log, may it pass over lines that were trimmed.

        `head` was read after the entry, `now` is the boot clock.
        """
        id_ = entry_id.decode("ascii")
        text = fields.get(b"change", b"").decode("utf-8", "replace")
        change = CHANGE.fullmatch(text)
        chained = change or LINK.match(text)
        if chained is None:
            self._place = (id_, self.position)
            return "junk"
        position = self.position or FROM_START
        # What is missing may be missing if the log says that it begins behind it, on both sides.
        if chained["prev"] != position and max(order(chained["prev"]), order(position)) > order(head.floor):
            return "break"
        if chained["prev"] != position and not begins:
            return "behind"
        if change is None:
            return "unknown"
        _, tag, op, at, expires, name, in_force = change.groups()
        if in_force is None:
            self._drop(hash(name))
        else:
            # The entry counts from the instant of its line on, as if it were written now: too long, never too short.
            until = math.inf if expires == "never" else now + (int(expires) - int(at)) / 1000
            cutoff = UNCONDITIONAL if in_force == "*" else float(in_force)
            self._hold(hash(name), cutoff, until, weakening=op == "undo")
        if name.startswith("key:"):
            self._note_key(op, name, text, f"{id_}-{tag}", fields.get(b"about", b"").decode("utf-8", "replace"))
        self._place = (id_, f"{id_}-{tag}")
        return "applied"

    def _note_key(self, op: str, name: str, text: str, own_id: str, about: str) -> None:
        """Keep the ids of the revocations of a key that the line says are in force, and their records."""
        standing = {part.partition("=")[0].lstrip("+") for part in text.split(" ")[7:]}
        for id_ in [id_ for id_, (held, _) in self.keys.items() if held == name and id_ not in standing]:
            del self.keys[id_]
        undone = parse_undo(about.encode()) if op == "undo" else None
        if undone is not None:
            self.remembered.pop(undone[0], None)
        for id_ in standing - self.keys.keys():
            told = about if op == "restore" or id_ == own_id else about_taken_over(name)
            self.keys[id_] = (name, self.remembered.get(id_, (name, told))[1])

    def forget_remembered(self, *, asked_at: float) -> None:
        """Drop what was remembered, if this view has read all that Redis held at an instant after it took them."""
        if asked_at > self.given_back_at:
            self.remembered = {}

    def forget_keys(self, ids: Iterable[str]) -> None:
        """Drop revocations of keys that were undone while nobody told."""
        for id_ in ids:
            name, _ = self.keys.get(id_) or self.remembered.get(id_) or ("", "")
            self.keys.pop(id_, None)
            self.remembered.pop(id_, None)
            names = {held for held, _ in (*self.keys.values(), *self.remembered.values())}
            if name and name not in names:
                self._drop(hash(name))

    def collect(self, *, now: float) -> None:
        """Drop what has been dead for at least a minute; looked for once a minute."""
        if now < self._collects_at:
            return
        self._collects_at = now + _BUCKET_SECONDS
        due = [bucket for bucket in self._buckets if (bucket + 1) * _BUCKET_SECONDS < now]
        for bucket in due:
            for key in self._buckets.pop(bucket):
                if self._unconditional.get(key) == bucket:
                    del self._unconditional[key]
                held = self._cutoffs.get(key)
                if held is not None and held[1] == bucket:
                    del self._cutoffs[key]

    def _hold(self, key: int, cutoff: float, until: float, *, weakening: bool) -> None:
        bucket = -1 if until == math.inf else math.ceil(until / _BUCKET_SECONDS)
        held = (UNCONDITIONAL, self._unconditional[key]) if key in self._unconditional else self._cutoffs.get(key)
        known = held[1] if held else None
        if held is not None:
            # Where Redis lost the entry meanwhile, a later revocation of the same handle knows less than is held here.
            cutoff = cutoff if weakening else max(cutoff, held[0])
            bucket = -1 if -1 in (bucket, held[1]) else max(bucket, held[1])
        # The new place is written first: a reader in another thread finds one or the other, and never neither.
        if cutoff == UNCONDITIONAL:
            self._unconditional[key] = bucket
            self._cutoffs.pop(key, None)
        else:
            self._cutoffs[key] = (cutoff, bucket)
            self._unconditional.pop(key, None)
        if bucket not in (-1, known):
            self._buckets.setdefault(bucket, []).append(key)

    def _drop(self, key: int) -> None:
        self._unconditional.pop(key, None)
        self._cutoffs.pop(key, None)
