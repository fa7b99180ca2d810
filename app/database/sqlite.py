"""SQLite: a file on a local disk, written ahead (WAL) so that readers wait for no writer."""

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event, exc

from app.database.errors import DatabaseUnavailableError
from app.database.pool import TIMEOUT_SECONDS, pooled_engine

_SCHEMA_LOCK_SECONDS = 30
_SCHEMA_LOCK_POLL_SECONDS = 0.02
_BUSY_POLL_SECONDS = 0.005


def sqlite_engine(url: sa.URL) -> sa.Engine:
    """An engine on the file of a URL, which must exist: a lost database is an error, and not an empty database."""
    existing = url.set(database=f"file:{quote(str(url.database))}", query={"uri": "true", "mode": "rw"})
    engine = pooled_engine(existing, connect_args={"timeout": TIMEOUT_SECONDS})
    event.listen(engine, "connect", _configure)
    event.listen(engine, "begin", _begin)
    return engine


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Make the file where it is missing, and keep other processes from changing its schema until the block ends."""
    lock_path = path.with_name(f"{path.name}.lock")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The file holds password hashes. SQLite gives its -wal and -shm files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise DatabaseUnavailableError(f"The database {path} cannot be used: {error}") from error
    try:
        _wait_for(lock, lock_path)
        _enable_wal(path)
        yield
    finally:
        os.close(lock)


def _wait_for(lock: int, path: Path) -> None:
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


def _enable_wal(path: Path) -> None:
    # The mode stays in the file, so one process sets it once, under the lock: SQLite answers two processes that set it
    # together with "database is locked", and waits for neither.
    try:
        with closing(sqlite3.connect(path, timeout=TIMEOUT_SECONDS)) as connection:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    except sqlite3.Error as error:
        raise DatabaseUnavailableError(f"The database {path} cannot be used: {error}") from error
    if mode != "wal":
        raise DatabaseUnavailableError(f"{path} is on a file system without shared memory; use a local disk.")


def _configure(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None  # the driver begins too late, and deferred; `_begin` does it instead
    connection.execute("PRAGMA synchronous = FULL")  # the default with WAL may lose the last commits in a power cut
    connection.execute("PRAGMA foreign_keys = ON")


def _begin(connection: sa.Connection) -> None:
    # SQLite refuses a deferred transaction that reads and then writes at once when another process wrote in between:
    # busy_timeout does not apply to it. So a transaction that may write says so from the start.
    kind = connection.get_execution_options().get("sqlite_begin", "IMMEDIATE")
    if kind == "DEFERRED":
        connection.exec_driver_sql("BEGIN DEFERRED")
        return
    # SQLite waits for another writer inside the driver, where gevent cannot switch to another request. Python waits.
    _set(connection, busy_timeout=0)
    try:
        _wait_to_write(connection)
    finally:
        _set(connection, busy_timeout=TIMEOUT_SECONDS * 1000)


def _wait_to_write(connection: sa.Connection) -> None:
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except exc.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(_BUSY_POLL_SECONDS)
        else:
            return


def _set(connection: sa.Connection, *, busy_timeout: int) -> None:
    # SQLite answers with a row. While nobody has read that, it keeps the snapshot of the transaction beyond its end:
    # this connection cannot write any more once somebody else has.
    connection.exec_driver_sql(f"PRAGMA busy_timeout = {busy_timeout}").close()


def _is_busy(error: exc.OperationalError) -> bool:
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
