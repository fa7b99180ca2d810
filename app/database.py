"""Users, clients and the audit trail in SQL: SQLite in a file, or PostgreSQL.

Every statement of the service runs in `Database.session()` or `Database.reading()`. What the database cannot do there
is a DatabaseUnavailableError: "could not ask" is never "no such user".
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
import sqlalchemy as sa
from sqlalchemy import event, exc
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

_TIMEOUT_SECONDS = 5
_IDLE_IN_TRANSACTION_SECONDS = 30
_SCHEMA_LOCK_SECONDS = 30
_SCHEMA_LOCK_POLL_SECONDS = 0.02
_SCHEMA_ADVISORY_LOCK = 0x7265766F6B65  # any number will do on which all hosts agree
_HIGHEST_PORT = 65_535
_POOL_CONNECTIONS = 5
_POOL_OVERFLOW = 5  # at most 10 connections per process; then a request waits _TIMEOUT_SECONDS and is a 503

#: What `parse_database_url` takes, in words.
DATABASE_URLS = "sqlite:///path/of/file (no query, not in memory) or postgresql://user:password@host:port/database"


class DatabaseUnavailableError(Exception):
    """The database had to be asked and could not answer. The cause is kept; its text is for logs, not for clients."""

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        #: Whole seconds after which asking again makes sense (HTTP ``Retry-After``).
        self.retry_after_seconds = retry_after_seconds
        super().__init__(message)


class InvalidValueError(ValueError):
    """A value that must not be stored. The message is for whoever sent it and repeats no secret."""

    def __init__(self, field: str, message: str) -> None:
        #: Which value it was: ``username``, ``scope``, ...
        self.field = field
        super().__init__(message)


def utc_now() -> datetime:
    """This instant in UTC, in whole milliseconds."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


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
    """What `create_schema` creates."""


class UserRow(Base):
    """An account. Rows are never deleted, so that a username never comes to mean somebody else."""

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
    scope: Mapped[str] = mapped_column(sa.String(1000))
    disabled: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(Instant)


class AuditRow(Base):
    """Who did what to whom, when, why and from where. Only ever inserted."""

    __tablename__ = "audit"
    __table_args__ = ({"sqlite_autoincrement": True},)  # an id is never used twice, so a cursor stays true

    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer(), "sqlite"), primary_key=True)
    at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(sa.String(300))
    action: Mapped[str] = mapped_column(sa.String(64))
    target: Mapped[str] = mapped_column(sa.String(1000))
    reason: Mapped[str] = mapped_column(sa.String(1000))
    address: Mapped[str] = mapped_column(sa.String(100))
    revocation_id: Mapped[str | None] = mapped_column(sa.String(100))


def parse_database_url(value: str) -> sa.URL:
    """The URL of a database that this service can use; InvalidValueError says which those are.

    postgres:// and postgresql:// are read as postgresql+psycopg://, the driver that is installed.
    """
    try:
        url = sa.make_url(value)
    except (exc.ArgumentError, ValueError):
        raise InvalidValueError("database_url", DATABASE_URLS) from None  # the cause may quote a password
    if not value.isprintable():
        raise InvalidValueError("database_url", DATABASE_URLS)
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        if url.port is not None and not 1 <= url.port <= _HIGHEST_PORT:
            raise InvalidValueError("database_url", DATABASE_URLS)
        return url.set(drivername="postgresql+psycopg")
    # Not in memory: every worker would have another database there.
    if url.drivername != "sqlite" or url.host or url.query or (url.database or ":memory:").startswith((":", "file:")):
        raise InvalidValueError("database_url", DATABASE_URLS)
    return url


class Database:
    """The one way to SQL. Making one connects to nothing.

    Safe to inherit through a fork, as gunicorn's workers do: each process has a pool of its own, made at its first
    statement. Connections of the parent stay untouched in the child, because closing them there would end the parent's
    sessions (PostgreSQL) or break its locks (SQLite); a parent that forks should `close` first all the same.
    """

    def __init__(self, url: str) -> None:
        self._url = parse_database_url(url)
        self._engines: dict[int, sa.Engine] = {}  # by process id; see above why older ones are kept

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)!r})"

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._url.get_backend_name()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write: committed at the end, rolled back on any error."""
        with self._transaction("IMMEDIATE") as session:
            yield session

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads; in SQLite it waits for no writer."""
        with self._transaction("DEFERRED") as session:
            yield session

    def ping(self) -> None:
        """Return when the database answers and has our tables."""
        try:
            with self.reading() as session:
                session.execute(sa.select(UserRow.username).limit(1))
        except exc.ProgrammingError as error:
            raise DatabaseUnavailableError(
                f"{self!r} does not have the tables of this service; `python -m app init` creates them."
            ) from error

    def create_schema(self) -> None:
        """Create what is missing. Does nothing where all is there; any number of processes may do it at once."""
        if self.dialect == "sqlite":
            with self._sqlite_file() as path:
                self._enable_wal(path)
                self._create_all()
        else:
            self._create_all()

    def close(self) -> None:
        """Close this process's idle connections; the next statement opens new ones."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Session]:
        bind = self._engine().execution_options(sqlite_begin=begin)
        with self._errors(), Session(bind, expire_on_commit=False) as session, session.begin():
            yield session

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (exc.IntegrityError, exc.DataError, exc.ProgrammingError, exc.NotSupportedError):
            raise  # about our statement or our data, not about the database's health
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise DatabaseUnavailableError(f"{self!r} cannot be used: {_first_line(error)}") from error

    def _engine(self) -> sa.Engine:
        # No lock: one that a thread of the parent holds during the fork would stay locked in the child for ever.
        pid = os.getpid()
        return self._engines.get(pid) or self._engines.setdefault(pid, self._new_engine())

    def _new_engine(self) -> sa.Engine:
        url = self._url
        if self.dialect == "sqlite":
            # Never create the file here: a lost database must be noticed, and not be an empty one.
            url = url.set(database=f"file:{quote(str(url.database))}", query={"uri": "true", "mode": "rw"})
        engine = sa.create_engine(
            url,
            poolclass=sa.QueuePool,
            pool_size=_POOL_CONNECTIONS,
            max_overflow=_POOL_OVERFLOW,
            pool_timeout=_TIMEOUT_SECONDS,
            pool_pre_ping=self.dialect == "postgresql",
            connect_args={k: v for k, v in self._connect_arguments().items() if k not in self._url.query},
            hide_parameters=True,  # hashes stay out of error messages
        )
        if self.dialect == "sqlite":
            event.listen(engine, "connect", _configure_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        else:
            event.listen(engine, "do_connect", _connect_postgresql)
            event.listen(engine, "connect", _configure_postgresql)
        return engine

    def _connect_arguments(self) -> dict[str, str | int]:
        if self.dialect == "sqlite":
            return {"timeout": _TIMEOUT_SECONDS}
        return {
            "connect_timeout": _TIMEOUT_SECONDS,
            "client_encoding": "utf8",
            "application_name": "revocation",
            # A host that vanished without a word would otherwise hold its connections for minutes.
            "keepalives_idle": _TIMEOUT_SECONDS,
            "keepalives_interval": 1,
            "keepalives_count": _TIMEOUT_SECONDS,
            "tcp_user_timeout": _TIMEOUT_SECONDS * 1000,
        }

    def _create_all(self) -> None:
        with self.session() as session:
            if self.dialect == "postgresql":
                # CREATE TABLE IF NOT EXISTS alone fails when two do it at once: both insert into the catalogue.
                session.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_ADVISORY_LOCK)))
            Base.metadata.create_all(session.connection())

    @contextmanager
    def _sqlite_file(self) -> Iterator[Path]:
        """The database file, which exists and is ours alone to change the schema of."""
        path = Path(str(self._url.database))
        lock_path = path.with_name(f"{path.name}.lock")
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # It holds password hashes. SQLite gives its -wal and -shm files the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DatabaseUnavailableError(f"{self!r} cannot be used: {error}") from error
        try:
            self._wait_for(lock, lock_path)
            yield path
        finally:
            os.close(lock)

    def _wait_for(self, lock: int, path: Path) -> None:
        deadline = time.monotonic() + _SCHEMA_LOCK_SECONDS
        while True:
            try:
                return fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    message = f"Another process has held {path} for {_SCHEMA_LOCK_SECONDS} s; is it stopped?"
                    raise DatabaseUnavailableError(message) from error
            except OSError as error:
                raise DatabaseUnavailableError(f"{path} cannot be locked: {error}") from error
            time.sleep(_SCHEMA_LOCK_POLL_SECONDS)

    def _enable_wal(self, path: Path) -> None:
        # Once, under the lock, because it stays in the file; two at once get "database is locked" without any waiting.
        try:
            with closing(sqlite3.connect(path, timeout=_TIMEOUT_SECONDS)) as connection:
                (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.Error as error:
            raise DatabaseUnavailableError(f"{self!r} cannot be used: {error}") from error
        if mode != "wal":
            raise DatabaseUnavailableError(f"{self!r} is on a file system without shared memory; use a local disk.")


def _configure_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins too late, and deferred; `_begin_sqlite` does it
    connection.execute("PRAGMA synchronous = FULL")  # with WAL the default may lose the last commits in a power cut
    connection.execute(f"PRAGMA busy_timeout = {_TIMEOUT_SECONDS * 1000}")
    connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A deferred transaction that reads and then writes is refused at once when another wrote in between: busy_timeout
    # does not apply to it. So what may write says so from the start.
    connection.exec_driver_sql(f"BEGIN {connection.get_execution_options().get('sqlite_begin', 'IMMEDIATE')}")


class _ImpatientConnection(psycopg.Connection[Any]):
    """A server that takes a question and never answers must not keep the thread: the driver itself waits for ever."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._answered(gen), *args, **kwargs)

    def _answered(self, waiting: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        # A little longer than the server's own statement_timeout, whose message says more.
        deadline = time.monotonic() + _TIMEOUT_SECONDS + 1
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {_TIMEOUT_SECONDS + 1} s")
                wanted = waiting.send(ready)
        except StopIteration as done:
            return done.value


def _connect_postgresql(
    _dialect: sa.Dialect, _record: object, arguments: tuple[Any, ...], options: dict[str, Any]
) -> "psycopg.Connection[Any]":
    return _ImpatientConnection.connect(*arguments, **options)


def _configure_postgresql(connection: Any, _record: object) -> None:
    # Not as `options` of the connection: PgBouncer refuses those.
    connection.autocommit = True
    connection.execute(
        f"SET statement_timeout = '{_TIMEOUT_SECONDS}s';"
        f" SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_SECONDS}s'"
    )
    connection.autocommit = False


def _first_line(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return next(iter(str(original).splitlines()), type(original).__name__)
