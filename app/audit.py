"""The audit trail: who did what to whom, when, why and from where."""

import base64
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.database import AuditRow, Database, InvalidValueError
from app.instants import utc_now

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
class AuditRecord:
    """One line of the trail. Texts are printable: what was not is written as its escape."""

    id: int
    at: datetime
    actor: str
    action: str
    target: str
    reason: str
    address: str
    revocation_id: str | None


class Audit:
    """The trail. There is no way to change or delete a record."""

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
