"""MemoryDenylist: the same promises without Redis, for the tests of one process."""

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from revocation.denylist import (
    AHEAD,
    HOUR_MS,
    MAX_REVOCATIONS_PER_ENTRY,
    MAX_REVOKED_KEYS,
    NO_CUTOFF,
    UNCONDITIONAL,
    Change,
    Following,
    Lifetimes,
    Note,
    Page,
    Receipt,
    Revocation,
    checked_cutoffs,
    takes_no_cutoff,
)
from revocation.errors import ConflictError, DenylistEmptyError
from revocation.handle_kinds import ClaimHandle, HandleKinds
from revocation.handles import KINDS, Handle, Kind


@dataclass(slots=True)
class _Entry:
    """The revocations of one handle, and until when it stands (None: until undone)."""

    revocations: list[Revocation] = field(default_factory=list)
    merged: list[Revocation] = field(default_factory=list)
    expires_at_ms: int | None = 0

    def cutoff(self) -> float:
        cutoffs = [one.issued_before_ms for one in (*self.merged, *self.revocations)]
        return UNCONDITIONAL if None in cutoffs else float(max(c for c in cutoffs if c is not None))


class MemoryDenylist:
    """A deny-list in a dict. It forgets with the process, so it is for tests and never for production."""

    def __init__(
        self,
        *,
        lifetimes: Lifetimes | None = None,
        handles: "Mapping[str, str | tuple[str, ...] | ClaimHandle] | HandleKinds | None" = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._told = handles if isinstance(handles, HandleKinds) else HandleKinds(handles)
        self._lifetimes = lifetimes or Lifetimes()
        self._clock = clock
        self._entries: dict[str, _Entry] = {}
        self._everything_ms = NO_CUTOFF
        self._opened = True
        self._count = 0
        self._changes: list[Change] = []

    @property
    def lifetimes(self) -> Lifetimes:
        """How long entries live."""
        return self._lifetimes

    @property
    def handle_kinds(self) -> HandleKinds:
        """The kinds of handles that a guard looks for in tokens."""
        return self._told

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds by which can be revoked."""
        self._require_open()
        return self._told.names

    def is_unconditional(self, kind: Kind) -> bool:
        """Whether revoking a handle of this kind takes back everything under it."""
        if kind not in KINDS:
            self._require_open()
        return self._told.is_unconditional(kind)

    def __len__(self) -> int:
        return len(self._entries)

    def now_ms(self) -> int:
        """The time for a token that is minted now."""
        self._require_open()
        return round(self._clock() * 1000)

    def copy(self) -> "MemoryDenylist":
        """What it holds now, on its own."""
        copied = MemoryDenylist(lifetimes=self._lifetimes, handles=self._told, clock=self._clock)
        copied._entries = {
            name: _Entry(list(entry.revocations), list(entry.merged), entry.expires_at_ms)
            for name, entry in self._entries.items()
        }
        copied._everything_ms, copied._opened = self._everything_ms, self._opened
        return copied

    def flush(self) -> None:
        """Forget everything, as a flushed Redis does."""
        self._entries.clear()
        self._opened = False

    def open(self, *, accept_existing: bool = False) -> None:
        """Open it again after a flush; nothing issued before is accepted, unless `accept_existing`."""
        if not self._opened:
            self._opened = True
            self._everything_ms = NO_CUTOFF if accept_existing else self.now_ms() + 1

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off in force for any of the handles."""
        self._require_open()
        entries = [self._entry(handle.name) for handle in handles]
        return max([self._everything_ms, *(entry.cutoff() for entry in entries if entry)])

    def latest_cutoffs(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """The same for several tokens or sessions."""
        self._require_open()
        return [self.latest_cutoff(handles) for handles in many]

    def revoke(
        self,
        handle: Handle,
        *,
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Take back everything under the handle. Nobody follows, so that there is nobody to wait for."""
        return self.revoke_many(
            [handle],
            reason=reason,
            actor=actor,
            address=address,
            action=action,
            issued_before_ms=issued_before_ms,
        )

    def revoke_many(
        self,
        handles: Sequence[Handle],
        *,
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Revoke several handles."""
        checked_cutoffs(handles, issued_before_ms)
        batch = secrets.token_hex(8) if len(handles) > 1 else ""
        note = Note(actor, reason, address, action, batch).checked()
        now = self.now_ms()
        for kind in {handle.kind for handle in handles}:
            if self.is_unconditional(kind) and issued_before_ms is not None:
                raise takes_no_cutoff(kind)
        if issued_before_ms is not None and issued_before_ms > now + 1:
            raise ValueError(AHEAD)
        new_keys = sum(
            handle.kind == "key" and self._twin(handle, None, None, actor=actor, reason=reason) is None
            for handle in handles
        )
        if new_keys and self._revoked_keys() + new_keys > MAX_REVOKED_KEYS:
            raise ConflictError(f"{MAX_REVOKED_KEYS} keys are revoked already.")
        standing = []
        count = self._count
        for handle in handles:
            cutoff = None
            if not self.is_unconditional(handle.kind):
                cutoff = now + 1 if issued_before_ms is None else issued_before_ms
            must, expires_at_ms = self._ends(handle, max(now, cutoff or 0))
            if must is not None and must <= now:
                continue
            twin = self._twin(handle, cutoff, must, actor=actor, reason=reason)
            if twin is None:
                self._count += 1
                id_ = f"{now}-{self._count}-{secrets.token_hex(4)}"
                own = replace(handle, expires_at=None)
                twin = Revocation.noted(
                    id_, own, issued_before_ms=cutoff, expires_at_ms=expires_at_ms, created_at_ms=now, note=note
                )
                self._add(twin)
                self._changes.append(Change(id_, False, twin, id_, now, note))
            standing.append(twin)
        return Receipt(
            tuple(standing),
            enforced=True,
            followers_confirmed=0,
            followers_total=0,
            elapsed_seconds=0.0,
            written=self._count > count,
        )

    def _revoked_keys(self) -> int:
        """How many revocations of keys are in force."""
        entries = [entry for name, entry in self._entries.items() if name.startswith("key:")]
        return sum(len(entry.revocations) + len(entry.merged) for entry in entries)

    def _twin(
        self, handle: Handle, cutoff: int | None, must: int | None, *, actor: str, reason: str
    ) -> Revocation | None:
        """A revocation in force by the same actor for the same reason that does all that is asked for."""
        entry = self._entry(handle.name)
        if entry is None or not actor:
            return None
        if entry.expires_at_ms is not None and (must is None or entry.expires_at_ms < must):
            return None
        for revocation in entry.revocations:
            reaches = revocation.issued_before_ms is None or (
                cutoff is not None and revocation.issued_before_ms >= cutoff
            )
            if reaches and (revocation.actor, revocation.reason) == (actor, reason):
                return revocation
        return None

    def undo(
        self, revocation_id: str, *, reason: str = "", actor: str = "", address: str = "", action: str = ""
    ) -> bool:
        """Take back exactly this revocation."""
        self._require_open()
        note = Note(actor, reason, address, action).checked()
        for name, entry in list(self._entries.items()):
            if any(one.id == revocation_id for one in entry.merged) and self._entry(name):
                raise ConflictError("This revocation was merged with others and cannot be undone on its own.")
            for one in entry.revocations:
                if one.id == revocation_id and self._entry(name):
                    entry.revocations.remove(one)
                    if not entry.revocations and not entry.merged:
                        del self._entries[name]
                    now = self.now_ms()
                    self._count += 1
                    id_ = f"{now}-{self._count}-{secrets.token_hex(4)}"
                    self._changes.append(Change(id_, True, one, revocation_id, now, note))
                    return True
        return False

    def find(self, revocation_id: str) -> Revocation | None:
        """The live revocation with this id."""
        return next((one for one in self._alive() if one.id == revocation_id), None)

    def of_handle(self, handle: Handle) -> tuple[Revocation, ...]:
        """The live revocations of exactly this handle, oldest first; those that were merged are not told apart."""
        self._require_open()
        entry = self._entry(handle.name)
        return tuple(entry.revocations) if entry else ()

    def changes(self, *, after: str | None = None, limit: int = 100) -> tuple[tuple[Change, ...], str]:
        """What happened after a cursor, oldest first, and the cursor for the next question."""
        self._require_open()
        if after is None:
            return (), str(len(self._changes))
        if not after.isdecimal():
            raise ValueError("this cursor did not come from a list of changes")
        changes = tuple(self._changes[int(after) : int(after) + limit])
        return changes, str(int(after) + len(changes))

    def follow(self, *, shortest_seconds: float, longest_seconds: float) -> Following | None:
        """None: a look into the dict costs what a look into a copy would."""
        return None

    def page(self, *, kind: Kind | None = None, cursor: str | None = None, limit: int = 50) -> Page:
        """Live revocations, newest first."""
        alive = sorted(self._alive(), key=lambda one: int(one.id.split("-")[1]), reverse=True)
        wanted = [one for one in alive if kind in (None, one.handle.kind)]
        if cursor is not None and not cursor.isdecimal():
            raise ValueError("this cursor did not come from a page")
        first = int(cursor or 0)
        more = first + limit < len(wanted)
        return Page(tuple(wanted[first : first + limit]), str(first + limit) if more else None)

    def _alive(self) -> list[Revocation]:
        self._require_open()
        standing = [entry for entry in map(self._entry, list(self._entries)) if entry]
        return [one for entry in standing for one in (*entry.merged, *entry.revocations)]

    def _entry(self, name: str) -> _Entry | None:
        entry = self._entries.get(name)
        if entry is not None and entry.expires_at_ms is not None and entry.expires_at_ms <= self.now_ms():
            del self._entries[name]
            return None
        return entry

    def _add(self, revocation: Revocation) -> None:
        entry = self._entry(revocation.handle.name) or self._entries.setdefault(revocation.handle.name, _Entry())
        entry.revocations.append(revocation)
        if len(entry.revocations) + bool(entry.merged) > MAX_REVOCATIONS_PER_ENTRY:
            merging = 1 if entry.merged else 2
            entry.merged += entry.revocations[:merging]
            del entry.revocations[:merging]
        if entry.expires_at_ms is not None:
            later = revocation.expires_at_ms
            entry.expires_at_ms = None if later is None else max(entry.expires_at_ms, later)

    def _ends(self, handle: Handle, now: int) -> tuple[int | None, int | None]:
        """How long an entry must stand, and how long it will: an end that counts from now is rounded up."""
        if handle.kind == "key":
            return None, None
        if handle.expires_at is not None:
            dead = self._lifetimes.dead_at_ms(handle.expires_at)
            return dead, dead
        must = now + self._lifetimes.entry_ms(handle.kind)
        return must, (must // HOUR_MS + 2) * HOUR_MS

    def _require_open(self) -> None:
        if not self._opened:
            raise DenylistEmptyError
