"""View: what the log says, in memory, and how far it has been read."""

import math
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from revocation.denylist import UNCONDITIONAL
from revocation.handles import Handle
from revocation.redis.protocol import CHANGE, FROM_START, LINK, Head, order

#: What became of a log entry: `applied`; `junk`, which is no part of the chain and nobody's; `break`, where a
#: predecessor is missing that may still matter; `unknown`, chained but of a form that this version cannot read.
Outcome = Literal["applied", "junk", "break", "unknown"]

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
        "_changed_keys",
        "_collects_at",
        "_cutoffs",
        "_kept_at",
        "_kept_keys",
        "_place",
        "_unconditional",
        "epoch",
        "everything_ms",
        "revoked_keys",
        "stamp",
    )

    def __init__(self) -> None:
        #: Unconditional entries, and the bucket they are dropped with.
        self._unconditional: dict[int, int] = {}
        #: The others: cut-off (ms) and bucket.
        self._cutoffs: dict[int, tuple[float, int]] = {}
        self._buckets: dict[int, list[int]] = {}
        self.epoch: str | None = None
        self.everything_ms = 0
        #: Revoked signing keys, by the names of their entries: they outlive the log, and stand in the head.
        self.revoked_keys: frozenset[str] = frozenset()
        #: Those known before a new epoch: whoever opened it may not have known them.
        self._kept_keys: frozenset[str] = frozenset()
        self._kept_at = (0, 0)
        #: Keys revoked (True) and undone in the log, and where: the head may have been read before.
        self._changed_keys: dict[str, tuple[tuple[int, int], bool]] = {}
        #: Cursor and position in one: a fork or a thread's end between the two would look like a break in the chain.
        self._place: tuple[str, str | None] = ("0-0", None)
        self._collects_at = -math.inf
        #: True as of this instant of the boot clock. Set last, after everything it vouches for.
        self.stamp = -math.inf

    def __len__(self) -> int:
        return len(self._unconditional) + len(self._cutoffs)

    @property
    def cursor(self) -> str:
        """The last entry that was read at all."""
        return self._place[0]

    @property
    def position(self) -> str | None:
        """The last chained entry that was applied, `<id>-<tag>`; None before the first."""
        return self._place[1]

    def has_lost(self, head: Head) -> bool:
        """Whether this head, of another epoch, neither knows what was read here nor cuts it off: an old one is back."""
        return head.everything_ms < max(self.everything_ms, order(self.position or FROM_START)[0])

    def restarted(self, head: Head) -> "View":
        """A view that holds the same and reads the log from its beginning, for the epoch of this head."""
        view = View()
        view._unconditional = dict(self._unconditional)
        view._cutoffs = dict(self._cutoffs)
        view._buckets = {bucket: list(keys) for bucket, keys in self._buckets.items()}
        view.everything_ms = max(self.everything_ms, head.everything_ms)
        view.revoked_keys = view._kept_keys = frozenset(self.known_keys())
        view._kept_at = order(self.position or FROM_START)
        view.epoch = head.epoch
        return view

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off that is held for any of the handles, expired or not."""
        unconditional, cutoffs = self._unconditional, self._cutoffs
        latest: float = self.everything_ms
        for handle in handles:
            key = handle.number
            if key in unconditional or handle.name in self.revoked_keys:
                return UNCONDITIONAL
            held = cutoffs.get(key)
            if held is not None and held[0] > latest:
                latest = held[0]
        return latest

    def read_head(self, head: Head) -> None:
        """Take what stands in the head and not in the log: the cut-off of everything, and the revoked keys."""
        self.everything_ms = max(self.everything_ms, head.everything_ms)
        keys, last = {*head.keys, *self._kept_keys}, order(head.last_id)
        self._changed_keys = {name: change for name, change in self._changed_keys.items() if change[0] > last}
        for name, (_, revoked) in self._changed_keys.items():
            (keys.add if revoked else keys.discard)(name)
        self.revoked_keys = frozenset(keys)

    def apply(
        self, entry_id: bytes, fields: Mapping[bytes, bytes], *, head: Head, horizon_ms: int, now: float
    ) -> Outcome:
        """Take one entry of the log: it replaces what is held for its handle.

        `head` was read before the entry, `now` is the boot clock.
        """
        id_ = entry_id.decode("ascii")
        text = fields.get(b"change", b"").decode("utf-8", "replace")
        change = CHANGE.fullmatch(text)
        chained = change or LINK.match(text)
        if chained is None:
            self._place = (id_, self.position)
            return "junk"
        position = self.position or FROM_START
        if chained["prev"] != position:
            # Older than the horizon: trimmed, and nothing it concerned lives. From before the epoch: cut off with it.
            # That must hold for both ends: what was read here and is missing there was lost.
            missing_ms = max(order(chained["prev"])[0], order(position)[0])
            if missing_ms > max(order(head.last_id)[0] - horizon_ms, head.birth_ms):
                return "break"
        if change is None:
            return "unknown"
        _, tag, op, expires, name, in_force = change.groups()
        at = order(id_)
        if in_force is None:
            self._drop(hash(name))
        else:
            # From its own instant on, as if it were written now: too long, and never too short.
            until = math.inf if expires == "never" else now + (int(expires) - at[0]) / 1000
            cutoff = UNCONDITIONAL if in_force == "*" else float(in_force)
            self._hold(hash(name), cutoff, until, weakening=op == "undo")
        if name.startswith("key:"):
            self._changed_keys[name] = (at, in_force is not None)
            if in_force is None and at > self._kept_at:
                self._kept_keys -= {name}
        self._place = (id_, f"{id_}-{tag}")
        return "applied"

    def known_keys(self) -> list[str]:
        """The names of the keys that are revoked as far as this view has read, the log beyond the head included."""
        changed = {name: revoked for name, (_, revoked) in self._changed_keys.items()}
        kept = {name for name in self.revoked_keys if changed.get(name, True)}
        return sorted(kept | {name for name, revoked in changed.items() if revoked})

    def may_miss(self, head: Head) -> bool:
        """Whether the entry that the head names as its last may be missing from the log.

        It may if it is from before the epoch, and this view knows nothing that is later.
        """
        last = order(head.last_id)
        behind = self.position is not None and last <= order(self.position)
        return last[0] <= head.birth_ms and not behind

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
        # The new place first: a reader in another thread finds one or the other, and never neither.
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
