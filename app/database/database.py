"""Database: the one way to SQL.

Every statement of the service runs in `Database.session()` or `Database.reading()`. A database that cannot run it
raises DatabaseUnavailableError: "could not ask" is never "no such user".
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.orm import Session

from app.database.errors import DatabaseUnavailableError
from app.database.pool import MIGRATION_SECONDS, MOST_CONNECTIONS, TIMEOUT_SECONDS
from app.database.schema import is_current, upgrade
from app.database.sqlite import locked_file, sqlite_engine
from app.database.turns import Turns
from app.database.url import parse_database_url


class Database:
    """A database of the service. Making one connects to nothing.

    Safe to inherit through a fork, as gunicorn's workers do: each process has a pool of its own, made at its first
    statement. Connections of the parent stay untouched in the child, because closing them there would end the parent's
    sessions (PostgreSQL) or break its locks (SQLite); a parent that forks should `close` first all the same.

    At most so many threads of a process use it at the same time, see Turns.
    """

    def __init__(self, url: str, *, most_threads: int = MOST_CONNECTIONS) -> None:
        self._url = parse_database_url(url)
        self._most_threads = most_threads
        self._open: ContextVar[Session | None] = ContextVar("open", default=None)
        self._turns: dict[int, Turns] = {}
        self._engines: dict[int, sa.Engine] = {}  # by process id; the docstring says why those of a parent are kept

    def __repr__(self) -> str:
        return f"Database({self._url.render_as_string(hide_password=True)!r})"

    @property
    def dialect(self) -> str:
        """`sqlite` or `postgresql`."""
        return self._url.get_backend_name()

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction that may write: committed at the end, rolled back on any error.

        Inside another one it is a part of that, so that several changes are made together or not at all.
        """
        if (outer := self._open.get()) is not None:
            yield outer
            # What the database refuses is raised where it was asked for.
            with self._errors():
                outer.flush()
            return
        with self._transaction("IMMEDIATE") as session:
            opened = self._open.set(session)
            try:
                yield session
            finally:
                self._open.reset(opened)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One transaction that only reads; in SQLite it waits for no writer. Inside `session` it is a part of that."""
        if (outer := self._open.get()) is not None:
            yield outer
            return
        with self._transaction("DEFERRED") as session:
            yield session

    def migrate(self) -> None:
        """Create the tables, or bring those of an earlier release to this one. Many processes may do it at once.

        Raises DatabaseUnavailableError, also for the database of a newer release.
        """
        with locked_file(Path(str(self._url.database))) if self.dialect == "sqlite" else nullcontext():
            with self.reading() as session:
                if is_current(session.connection()):
                    return
            engine = self._new_engine(timeout_seconds=MIGRATION_SECONDS)
            try:
                with self._errors(), engine.begin() as connection:
                    if self.dialect == "postgresql":
                        from app.database.postgresql import lock_schema

                        lock_schema(connection)
                    upgrade(connection)
            except exc.ProgrammingError as error:
                raise DatabaseUnavailableError(f"{self!r} cannot be migrated: {_first_line(error)}") from error
            finally:
                engine.dispose()

    def close(self) -> None:
        """Close this process's idle connections; the next statement opens new ones."""
        engine = self._engines.pop(os.getpid(), None)
        if engine is not None:
            engine.dispose()

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[Session]:
        bind = self._engine().execution_options(sqlite_begin=begin)
        with self._turn(), self._errors(), Session(bind, expire_on_commit=False) as session, session.begin():
            yield session

    def _turn(self) -> AbstractContextManager[None]:
        pid = os.getpid()
        turns = self._turns.get(pid) or self._turns.setdefault(pid, Turns(self._most_threads))
        return turns.taken()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (exc.IntegrityError, exc.DataError, exc.ProgrammingError, exc.NotSupportedError):
            raise  # these are about the statement or its values, and say nothing of the database's health
        except (exc.DBAPIError, exc.TimeoutError) as error:
            raise DatabaseUnavailableError(f"{self!r} cannot be used: {_first_line(error)}") from error

    def _engine(self) -> sa.Engine:
        # A lock here would stay locked in the child for ever if a thread of the parent held it during the fork.
        pid = os.getpid()
        return self._engines.get(pid) or self._engines.setdefault(pid, self._new_engine())

    def _new_engine(self, *, timeout_seconds: int = TIMEOUT_SECONDS) -> sa.Engine:
        if self.dialect == "sqlite":
            return sqlite_engine(self._url)
        # The driver takes a tenth of the service's start, and only who uses it pays for it.
        from app.database.postgresql import postgresql_engine

        return postgresql_engine(self._url, timeout_seconds=timeout_seconds)


def _first_line(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return next(iter(str(original).splitlines()), type(original).__name__)
