"""PostgreSQL: connections that give up on a server that does not answer."""

import time
from collections.abc import Generator
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from app.database.pool import TIMEOUT_SECONDS, pooled_engine

_IDLE_IN_TRANSACTION_SECONDS = 30
_SCHEMA_LOCK = 0x7265766F6B65  # any number serves on which all hosts agree

_CONNECT_ARGUMENTS: dict[str, str | int] = {
    "connect_timeout": TIMEOUT_SECONDS,
    "client_encoding": "utf8",
    "application_name": "revocation",
    # A host that vanished without a word would otherwise hold its connections for minutes.
    "keepalives_idle": TIMEOUT_SECONDS,
    "keepalives_interval": 1,
    "keepalives_count": TIMEOUT_SECONDS,
    "tcp_user_timeout": TIMEOUT_SECONDS * 1000,
}


def postgresql_engine(url: sa.URL) -> sa.Engine:
    """An engine on the server of a URL, whose query outranks the settings here."""
    arguments = {name: value for name, value in _CONNECT_ARGUMENTS.items() if name not in url.query}
    engine = pooled_engine(url, connect_args=arguments, pre_ping=True)
    event.listen(engine, "do_connect", _connect)
    event.listen(engine, "connect", _configure)
    return engine


def lock_schema(session: Session) -> None:
    """Keep other processes from changing the schema until the transaction ends.

    CREATE TABLE IF NOT EXISTS fails when two processes run it together: both insert into the catalogue.
    """
    session.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))


class _ImpatientConnection(psycopg.Connection[Any]):
    """A server that takes a statement and never answers must not keep the thread: the driver itself waits for ever."""

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._answered(gen), *args, **kwargs)

    def _answered(self, waiting: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        # The driver waits a little longer than the server's own statement_timeout, whose message says more.
        deadline = time.monotonic() + TIMEOUT_SECONDS + 1
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {TIMEOUT_SECONDS + 1} s")
                wanted = waiting.send(ready)
        except StopIteration as done:
            return done.value


def _connect(
    _dialect: sa.Dialect, _record: object, arguments: tuple[Any, ...], options: dict[str, Any]
) -> "psycopg.Connection[Any]":
    return _ImpatientConnection.connect(*arguments, **options)


def _configure(connection: Any, _record: object) -> None:
    # PgBouncer refuses these as `options` of the connection.
    connection.autocommit = True
    connection.execute(
        f"SET statement_timeout = '{TIMEOUT_SECONDS}s';"
        f" SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_SECONDS}s'"
    )
    connection.autocommit = False
