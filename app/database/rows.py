"""Rows: the tables of the service, and how an instant is stored in them."""

from datetime import UTC, datetime

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Instant(sa.TypeDecorator[datetime]):
    """An instant in UTC with milliseconds. SQLite keeps no zone, so there it is stored without one."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("An instant needs a time zone.")
        utc = value.astimezone(UTC)
        utc = utc.replace(microsecond=utc.microsecond // 1000 * 1000)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Base(DeclarativeBase):
    """The tables as this release has them; `app/database/migrations` says how each came to be."""


class UserRow(Base):
    """An account. Rows are never deleted, so that a username never comes to mean somebody else.

    Of an account that was deleted `username` holds a hash (see app/users.py), and the row nothing else of a person.
    """

    __tablename__ = "users"

    username: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    password_hash: Mapped[str] = mapped_column(sa.String(255))
    scope: Mapped[str] = mapped_column(sa.String(1000))
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(Instant)


class ClientRow(Base):
    """A confidential client of the token endpoint."""

    __tablename__ = "clients"

    client_id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(100))
    secret_hash: Mapped[str] = mapped_column(sa.String(64))
    #: The secret before this one, which is good for a while.
    previous_secret_hash: Mapped[str | None] = mapped_column(sa.String(64))
    previous_secret_until: Mapped[datetime | None] = mapped_column(Instant)
    scope: Mapped[str] = mapped_column(sa.String(1000))
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(Instant)


class AuditRow(Base):
    """One record of the audit trail. The service inserts records and never changes one; those too old to keep go."""

    __tablename__ = "audit"
    __table_args__ = ({"sqlite_autoincrement": True},)  # SQLite never uses an id twice, so a cursor stays true

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant, index=True)
    actor: Mapped[str] = mapped_column(sa.String(300), index=True)
    action: Mapped[str] = mapped_column(sa.String(64))
    target: Mapped[str] = mapped_column(sa.String(1000), index=True)
    reason: Mapped[str] = mapped_column(sa.String(1000))
    address: Mapped[str] = mapped_column(sa.String(100))
    revocation_id: Mapped[str | None] = mapped_column(sa.String(100))
    #: The line of the deny-list's log that this was copied from; None for what is in no log.
    log_id: Mapped[str | None] = mapped_column(sa.String(100), unique=True, index=True)


class AuditPositionRow(Base):
    """How far the log of one deny-list has been copied into the audit trail."""

    __tablename__ = "audit_positions"

    namespace: Mapped[str] = mapped_column(sa.String(200), primary_key=True)
    epoch: Mapped[str] = mapped_column(sa.String(64))
    log_id: Mapped[str] = mapped_column(sa.String(64))


class DebtRow(Base):
    """A revocation that a change of an account is still owed, see app/debts.py. It goes when it has been made."""

    __tablename__ = "debts"
    __table_args__ = ({"sqlite_autoincrement": True},)  # an id that was paid never names another debt

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16))
    value: Mapped[str] = mapped_column(sa.String(64))
    since_ms: Mapped[int] = mapped_column(sa.BigInteger())
    #: None until Redis has been asked for it.
    cutoff_ms: Mapped[int | None] = mapped_column(sa.BigInteger())
    reason: Mapped[str] = mapped_column(sa.String(256))
    actor: Mapped[str] = mapped_column(sa.String(256))
    address: Mapped[str] = mapped_column(sa.String(256))
    ends_sessions: Mapped[bool] = mapped_column()
