"""Audit: the trail of acts, each with its actor, action, target, instant, reason and address."""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.database import AuditPositionRow, AuditRow, Database, InvalidValueError
from app.instants import milliseconds, utc_now
from revocation.instants import rfc3339

MAX_PAGE = 200
_ACTION = re.compile(r"[a-z][a-z0-9_.-]{0,63}")
_MAX_ACTION = 64
_MAX_ACTOR = 300
_MAX_TARGET = 1000
_MAX_REASON = 1000
_MAX_ADDRESS = 100
_MAX_REVOCATION_ID = 100
_HIGHEST_ID = 2**63 - 1

#: Records deleted in one transaction, so that nobody else waits long for SQLite.
_FORGOTTEN_AT_ONCE: Final = 1000

#: Records read at a time where all of them are.
_READ_AT_ONCE: Final = 1000


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What somebody did, as it goes into the trail. Texts of any kind are made printable and cut to their bounds.

    What was done is done: refusing to record it over a line feed in its reason would lose the trace. Only `action`,
    which is ours, must be a slug (InvalidValueError).
    """

    actor: str
    action: str
    target: str
    reason: str = ""
    address: str = ""
    revocation_id: str | None = None
    #: None: now.
    at: datetime | None = None
    #: The line of the deny-list's log that tells of it; the trail holds each line once.
    log_id: str | None = None

    def values(self, now: datetime) -> dict[str, Any]:
        """The columns of its record."""
        if not is_action(self.action):
            raise InvalidValueError("action", f"an action is a slug such as user.disable, not {self.action[:80]!a}")
        id_ = self.revocation_id
        return {
            "at": self.at or now,
            "actor": _printable(self.actor, _MAX_ACTOR),
            "action": self.action,
            "target": _printable(self.target, _MAX_TARGET),
            "reason": _printable(self.reason, _MAX_REASON),
            "address": _printable(self.address, _MAX_ADDRESS),
            "revocation_id": None if id_ is None else _printable(id_, _MAX_REVOCATION_ID),
            "log_id": self.log_id,
        }


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

    def members(self) -> dict[str, str | None]:
        """The record in JSON, without its id."""
        return {
            "at": rfc3339(milliseconds(self.at)),
            "actor": self.actor,
            "action": self.action,
            "target": self.target,
            "reason": self.reason,
            "address": self.address,
            "revocation_id": self.revocation_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """The records that somebody looks for; None: any. `since` is included, `until` is not.

    `reason` is a part of it in any case, and `text` a part of the actor, action, target, reason or address.

    Raises InvalidValueError for an instant that is on no calendar in UTC.
    """

    actor: str | None = None
    action: str | None = None
    target: str | None = None
    reason: str | None = None
    address: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        for name, instant in (("since", self.since), ("until", self.until)):
            try:
                instant is None or instant.astimezone(UTC)
            except OverflowError as error:
                raise InvalidValueError(name, f"{name} lies outside of the calendar") from error

    @classmethod
    def of(cls, named: Mapping[str, Any]) -> Self:
        """Those of its fields that a query or a command line names; the rest of that is for others."""
        return cls(**{field.name: named.get(field.name) for field in fields(cls)})

    def conditions(self) -> list[sa.ColumnElement[bool]]:
        """What a record has to meet."""
        # Texts are looked for as they were written down.
        equal = (
            (AuditRow.actor, self.actor, _MAX_ACTOR),
            (AuditRow.action, self.action, _MAX_ACTION),
            (AuditRow.target, self.target, _MAX_TARGET),
            (AuditRow.address, self.address, _MAX_ADDRESS),
        )
        found = [column == _printable(text, most) for column, text, most in equal if text is not None]
        anywhere = (AuditRow.actor, AuditRow.action, AuditRow.target, AuditRow.reason, AuditRow.address)
        for columns, text in (((AuditRow.reason,), self.reason), (anywhere, self.text)):
            if text:
                part = _printable(text, _MAX_REASON)
                found.append(sa.or_(*(column.icontains(part, autoescape=True) for column in columns)))
        if self.since is not None:
            found.append(AuditRow.at >= self.since)
        if self.until is not None:
            found.append(AuditRow.at < self.until)
        return found


@dataclass(frozen=True, slots=True)
class LogPosition:
    """How far the log of a deny-list was copied: its epoch then, and the id of the last line."""

    epoch: str
    log_id: str


_EVERYTHING: Final = AuditFilter()


class Audit:
    """The audit trail. It offers no way to change a record, and deletes none but those that are too old to keep."""

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def record(self, act: Act) -> AuditRecord:
        """Write down what was done, in the transaction that is open, if one is."""
        row = AuditRow(**act.values(self._clock()))
        with self._database.session() as session:
            session.add(row)
        return _record(row)

    def note(self, action: str, *, actor: Actor, target: str, reason: str = "") -> None:
        """Write down a change, in the transaction that makes it."""
        self.record(Act(actor=actor.name, action=action, target=target, reason=reason, address=actor.address))

    def page(
        self, cursor: str | None = None, *, limit: int = 50, wanted: AuditFilter = _EVERYTHING
    ) -> tuple[tuple[AuditRecord, ...], str | None]:
        """Records, those that were written last first, and the cursor of the next page, None at the end.

        InvalidCursorError for a cursor from elsewhere, InvalidValueError for a limit out of bounds.
        """
        if not 1 <= limit <= MAX_PAGE:
            raise InvalidValueError("limit", f"a page has 1 to {MAX_PAGE} records")
        query = sa.select(AuditRow).where(*wanted.conditions()).order_by(AuditRow.id.desc()).limit(limit + 1)
        if cursor is not None:
            query = query.where(AuditRow.id < _id_of(cursor))
        with self._database.reading() as session:
            records = [_record(row) for row in session.scalars(query)]
        more = len(records) > limit
        return tuple(records[:limit]), _cursor(records[limit - 1].id) if more else None

    def everything(self, *, after: int = 0, wanted: AuditFilter = _EVERYTHING) -> Iterator[AuditRecord]:
        """Every record after the one with an id, in the order in which they were written."""
        while True:
            query = sa.select(AuditRow).where(AuditRow.id > after, *wanted.conditions())
            with self._database.reading() as session:
                records = [_record(row) for row in session.scalars(query.order_by(AuditRow.id).limit(_READ_AT_ONCE))]
            if not records:
                return
            yield from records
            after = records[-1].id

    def forget(self, *, before: datetime) -> int:
        """Delete some of the records that are older, the oldest first; how many. None is left when it says 0."""
        old = sa.select(AuditRow.id).where(AuditRow.at < before).order_by(AuditRow.at).limit(_FORGOTTEN_AT_ONCE)
        with self._database.session() as session:
            ids = list(session.scalars(old))
            session.execute(sa.delete(AuditRow).where(AuditRow.id.in_(ids)))
        return len(ids)

    # The deny-list's log, which is copied into the trail

    def position(self, namespace: str) -> LogPosition | None:
        """How far the log of a namespace has been copied; None where that never began."""
        with self._database.reading() as session:
            row = session.get(AuditPositionRow, namespace)
        return None if row is None else LogPosition(row.epoch, row.log_id)

    def take_over(self, acts: Sequence[Act], *, namespace: str, position: LogPosition) -> set[str]:
        """Write down what the log tells of, up to a position; the ids of the lines that the trail did not have yet.

        Several processes may do it at once, and again after any failure: the trail holds each line once.
        """
        insert = postgresql.insert if self._database.dialect == "postgresql" else sqlite.insert
        here = {"epoch": position.epoch, "log_id": position.log_id}
        moved = insert(AuditPositionRow).values(namespace=namespace, **here)
        with self._database.session() as session:
            new: set[str] = set()
            if acts:
                rows = [act.values(self._clock()) for act in acts]
                added = insert(AuditRow).values(rows).on_conflict_do_nothing(index_elements=["log_id"])
                new = {str(id_) for id_ in session.scalars(added.returning(AuditRow.log_id))}
            session.execute(moved.on_conflict_do_update(index_elements=["namespace"], set_=here))
        return new


def is_action(text: str) -> bool:
    """Whether this can be the name of an act."""
    return _ACTION.fullmatch(text) is not None


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
