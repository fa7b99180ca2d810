"""Audit: the trail of acts, each with its actor, action, target, instant, reason and address."""

import base64
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.database import AuditRow, Database, DatabaseUnavailableError, InvalidValueError
from app.instants import utc_now
from revocation import Receipt
from revocation.metrics import count

_log = logging.getLogger(__name__)

MAX_PAGE = 200
_ACTION = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_MAX_ACTOR = 300
_MAX_TARGET = 1000
_MAX_REASON = 1000
_MAX_ADDRESS = 100
_MAX_REVOCATION_ID = 100
_HIGHEST_ID = 2**63 - 1


class InvalidCursorError(InvalidValueError):
    """A cursor that `Audit.page` did not make."""

    def __init__(self) -> None:
        super().__init__(
            "cursor", "this is not a cursor from an earlier page; leave it out to start at the newest record"
        )


@dataclass(frozen=True, slots=True)
class Actor:
    """A user, a client or an operator who does something, and the address of the request, if there is one."""

    name: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One record of the trail. Its texts are printable: other characters stand in them as escapes."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    reason: str
    address: str
    revocation_id: str | None


class Audit:
    """The audit trail. It offers no way to change or delete a record."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def record(
        self,
        *,
        actor: str,
        action: str,
        target: str,
        reason: str = "",
        address: str = "",
        revocation_id: str | None = None,
    ) -> AuditRecord:
        """Write down what was done. Texts of any kind are accepted, made printable and cut to their bounds.

        What was done is done: refusing to record it over a line feed in its reason would lose the trace. Only `action`,
        which is ours, must be a slug (InvalidValueError).
        """
        if not _ACTION.fullmatch(action):
            raise InvalidValueError("action", f"an action is a slug such as user.disable, not {action[:80]!a}")
        row = AuditRow(
            at=self._clock(),
            actor=_printable(actor, _MAX_ACTOR),
            action=action,
            target=_printable(target, _MAX_TARGET),
            reason=_printable(reason, _MAX_REASON),
            address=_printable(address, _MAX_ADDRESS),
            revocation_id=None if revocation_id is None else _printable(revocation_id, _MAX_REVOCATION_ID),
        )
        with self._database.session() as session:
            session.add(row)
        return _record(row)

    def note(self, action: str, *, actor: Actor, target: str, receipt: Receipt | None = None, reason: str = "") -> None:
        """Write down what is done already, and count what was revoked.

        A database that fails now must not make the act look undone: the log gets the record instead.
        """
        revocation = receipt.revocation if receipt else None
        if receipt is not None:
            count(receipt)
        fields = {
            "actor": actor.name,
            "action": action,
            "target": target,
            "reason": reason or (revocation.reason if revocation else ""),
            "address": actor.address,
            "revocation_id": revocation.id if revocation else None,
        }
        try:
            self.record(**fields)  # type: ignore[arg-type]  # mypy widens the dict's values
        except (DatabaseUnavailableError, sa.exc.SQLAlchemyError):
            _log.exception("%s could not be written into the audit trail.", action, extra={"fields": fields})

    def page(self, cursor: str | None = None, *, limit: int = 50) -> tuple[tuple[AuditRecord, ...], str | None]:
        """Records, the newest first, and the cursor of the next page, None at the end.

        InvalidCursorError for a cursor from elsewhere, InvalidValueError for a limit out of bounds.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidValueError("limit", f"a page has 1 to {MAX_PAGE} records")
        query = sa.select(AuditRow).order_by(AuditRow.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(AuditRow.id < _id_of(cursor))
        with self._database.reading() as session:
            records = [_record(row) for row in session.scalars(query)]
        more = len(records) > limit
        return tuple(records[:limit]), _cursor(records[limit - 1].id) if more else None


def _printable(text: str, most: int) -> str:
    """The text without line feeds, reordering marks and the like, so that nobody forges a line of a log with it."""
    escaped = "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text[: most + 1]
    )
    return escaped if len(escaped) <= most else f"{escaped[: most - 1]}…"


def _cursor(record_id: int) -> str:
    return base64.urlsafe_b64encode(b"audit:%d" % record_id).decode("ascii").rstrip("=")


def _id_of(cursor: str) -> int:
    match = None
    if len(cursor) <= len(_cursor(_HIGHEST_ID)) and re.fullmatch(r"[A-Za-z0-9_-]+", cursor):
        padding = "=" * (-len(cursor) % 4)
        try:
            match = re.fullmatch(rb"audit:([1-9][0-9]{0,18})", base64.urlsafe_b64decode(cursor + padding))
        except ValueError:
            match = None
    if match is None or int(match[1]) > _HIGHEST_ID or _cursor(int(match[1])) != cursor:
        raise InvalidCursorError
    return int(match[1])


def _record(row: AuditRow) -> AuditRecord:
    return AuditRecord(
        id=row.id,
        at=row.at,
        actor=row.actor,
        action=row.action,
        target=row.target,
        reason=row.reason,
        address=row.address,
        revocation_id=row.revocation_id,
    )
