"""AuditCopier: copies the deny-list's log into the audit trail, and counts what it copies for the alarms.

Every revocation and undo, by whatever process, stands in the log with who, why and from where, so no request waits for
the database. The log drops a line at the deny-list's horizon, so while the database is away, the process that copies
keeps the lines beside the log (audit_backlog.py). What went while no process did is named in the trail as a gap.
"""

import logging
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.audit import Act, Audit, LogPosition, is_action
from app.audit_backlog import AuditBacklog
from app.background import Background
from app.database import DatabaseUnavailableError
from app.instants import utc_now
from revocation import Change, DenylistUnavailableError, RedisDenylist
from revocation.metrics import REVOCATIONS, UNDONE
from revocation.redis.protocol import order

_log = logging.getLogger(__name__)

#: For so long one process copies without being asked again; when it is gone, another one takes over. A database that
#: does not answer keeps it waiting for longer than a statement may take twice.
_LEASE_MS: Final = 15_000

#: Lines read, and written down, at a time.
_BATCH: Final = 200

#: The pause between two looks for records that are too old to keep.
_FORGET_SECONDS: Final = 3600

_BEGINNING: Final = "0-0"


class AuditCopier:
    """Copies in a thread of its own, in one process of those that share a deny-list at a time.

    Which one does is settled by a key in Redis, `app:audit`, which holds its id and how many seconds it is behind. The
    key saves work and is no guarantee, and none is needed: the trail holds each line once, however many copy it.
    """

    def __init__(
        self,
        denylist: RedisDenylist,
        audit: Audit,
        *,
        keep_seconds: int = 0,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._denylist = denylist
        self._audit = audit
        self._backlog = AuditBacklog(denylist)
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._id = ""
        self._namespace = denylist.namespace.prefix
        self._position: LogPosition | None = None
        #: When the oldest line was written that is known not to be copied.
        self._waiting_since_ms: int | None = None
        self._background = Background(
            "audit", self._look, failed="The deny-list's log could not be copied into the audit trail."
        )
        self._is_failing = False
        self._forget_at = 0.0
        #: Told after each look how many seconds the trail is behind the log.
        self.on_look: Callable[[float], object] = _nothing

    @property
    def behind_seconds(self) -> float:
        """How old the oldest line is that this process could not copy yet; 0 where there is none."""
        if self._waiting_since_ms is None:
            return 0.0
        return max(0.0, self._clock().timestamp() - self._waiting_since_ms / 1000)

    def fleet_behind_seconds(self) -> float | None:
        """How far the process that copies is behind, as it told last; None where none copies."""
        told: Any = self._denylist.link.call(lambda client: client.get(self._denylist.key("app:audit")))
        if told is None:
            return None
        behind = told.decode().partition(" ")[2]
        return float(behind) if behind else 0.0

    def start(self) -> None:
        """Copy from now on, in this process."""
        self._id = secrets.token_hex(8)
        self._background.start()

    def stop(self) -> None:
        """Copy no more, and let another process do it at once."""
        self._background.stop()
        self._give_up_lease()

    def copy(self, *, most_batches: int | None = None) -> None:
        """Copy what the trail lacks, or the oldest so many batches of it.

        Raises DenylistUnavailableError or DatabaseUnavailableError; then the rest is copied by a later call.
        """
        done = 0
        while self._copy_batch():
            done += 1
            if done == most_batches:
                return

    def _copy_batch(self) -> bool:
        """Whether there may be more."""
        head = self._denylist.head()
        known = self._position
        if known is not None and (known.epoch, known.log_id) == (head.epoch, head.last_id):
            self._waiting_since_ms = None
            return False
        if self._waiting_since_ms is None:
            self._waiting_since_ms = head.at_ms
        # Another process may have copied meanwhile.
        position = self._audit.position(self._namespace)
        kept = self._backlog.oldest(_BATCH)
        if kept is not None:
            self._take_over(kept.changes, position, floor=kept.floor, reached=kept.reached)
            self._backlog.drop(kept.last)
            return True
        # In another epoch the log may have begun anew, with ids from before the position.
        after = _BEGINNING if position is None or position.epoch != head.epoch else position.log_id
        changes, cursor = self._denylist.changes(after=after, limit=_BATCH)
        self._take_over(changes, position, floor=head.floor, reached=LogPosition(head.epoch, cursor))
        return cursor != after

    def _take_over(
        self, changes: Sequence[Change], position: LogPosition | None, *, floor: str, reached: LogPosition
    ) -> None:
        self._waiting_since_ms = changes[0].at_ms if changes else None
        acts = [_act(change) for change in changes if not self._is_too_old(change)]
        if position is not None and order(floor) > order(position.log_id):
            acts.append(_gap(floor, position.log_id))
        new = self._audit.take_over(acts, namespace=self._namespace, position=reached)
        self._position, self._waiting_since_ms = reached, None
        for change in changes:
            if change.id in new:
                _count(change)

    def _is_too_old(self, change: Change) -> bool:
        oldest = self._oldest()
        return oldest is not None and change.at_ms < 1000 * oldest.timestamp()

    def _oldest(self) -> datetime | None:
        return self._clock() - timedelta(seconds=self._keep_seconds) if self._keep_seconds else None

    def _look(self) -> None:
        try:
            self._copy_where_it_is_ours()
        except (DenylistUnavailableError, DatabaseUnavailableError) as error:
            if not self._is_failing:
                self._is_failing = True
                _log.warning("The audit trail waits: %s It is copied from the deny-list's log afterwards.", error)
        else:
            if self._is_failing:
                self._is_failing = False
                _log.warning("The audit trail has caught up with the deny-list's log.")
        finally:
            self.on_look(self.behind_seconds)

    def _copy_where_it_is_ours(self) -> None:
        if not self._has_lease():
            self._waiting_since_ms = None
            return
        try:
            while not self._background.is_stopping and self._copy_batch():
                self._has_lease()
        except DatabaseUnavailableError:
            self._backlog.keep(self._denylist.head(), position=self._position)
            raise
        oldest = self._oldest()
        if oldest is None or time.monotonic() < self._forget_at:
            return
        while not self._background.is_stopping and self._audit.forget(before=oldest):
            self._has_lease()
        self._forget_at = time.monotonic() + _FORGET_SECONDS

    def _has_lease(self) -> bool:
        """Whether it is this process that copies, for the next seconds."""
        key, told = self._denylist.key("app:audit"), f"{self._id} {self.behind_seconds:.3f}"

        def ask(client: Any) -> bool:
            if client.set(key, told, nx=True, px=_LEASE_MS):
                return True
            return self._holds(client, key) and bool(client.set(key, told, px=_LEASE_MS))

        return self._denylist.link.call(ask)

    def _give_up_lease(self) -> None:
        key = self._denylist.key("app:audit")

        def ask(client: Any) -> None:
            if self._holds(client, key):
                client.delete(key)

        try:
            self._denylist.link.call(ask)
        except DenylistUnavailableError:
            return  # it runs out by itself

    def _holds(self, client: Any, key: str) -> bool:
        return bool((client.get(key) or b"").partition(b" ")[0] == self._id.encode())


def _act(change: Change) -> Act:
    handle = change.revocation.handle if change.revocation else None
    named = f"{handle.kind}:{handle.value or handle.issuer}" if handle else change.revocation_id
    plain = "revocation.undo" if change.undone else "revocation.create"
    action = change.note.action if is_action(change.note.action) else plain
    # An act that has a name of its own names the kind of its target as well: session.logout, key.revoke.
    is_plain = handle is None or action.startswith("revocation.")
    return Act(
        actor=change.note.actor,
        action=action,
        target=named if is_plain or handle is None else handle.value or handle.issuer,
        reason=change.note.reason,
        address=change.note.address,
        revocation_id=change.revocation_id,
        at=datetime.fromtimestamp(change.at_ms / 1000, UTC),
        log_id=change.id,
    )


def _gap(floor: str, copied: str) -> Act:
    reason = (
        f"The deny-list dropped lines after {copied} up to {floor} before anybody copied or kept them: no service ran, "
        "or the database was away until the backlog was full."
    )
    return Act(actor="service", action="audit.gap", target="log", reason=reason, log_id=f"gap-{floor}")


def _count(change: Change) -> None:
    if change.undone:
        UNDONE.inc()
    elif change.revocation is not None:
        REVOCATIONS.labels(change.revocation.handle.kind).inc()


def _nothing(_: float) -> None:
    pass
