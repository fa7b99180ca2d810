"""PostgreSQL: connections that give up on a server that does not answer."""

import time
from collections.abc import Generator
from typing import Any

import psycopg
import sqlalchemy as sa
from sqlalchemy import event

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


def postgresql_engine(url: sa.URL, *, timeout_seconds: int) -> sa.Engine:
    """An engine on the server of a URL, whose query outranks the settings here; a statement may take so long."""
    arguments = {name: value for name, value in _CONNECT_ARGUMENTS.items() if name not in url.query}
    engine = pooled_engine(url, connect_args=arguments, pre_ping=True)

    def connect(_dialect: sa.Dialect, _record: object, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        connection = _ImpatientConnection.connect(*args, **options)
        connection.patience_seconds = timeout_seconds + 1
        return connection

    def configure(connection: Any, _record: object) -> None:
        # PgBouncer refuses these as `options` of the connection.
        connection.autocommit = True
        connection.execute(
            f"SET statement_timeout = '{timeout_seconds}s';"
            f" SET idle_in_transaction_session_timeout = '{_IDLE_IN_TRANSACTION_SECONDS}s'"
        )
        connection.autocommit = False

    event.listen(engine, "do_connect", connect)
    event.listen(engine, "connect", configure)
    return engine


def lock_schema(connection: sa.Connection) -> None:
    """Keep other processes from changing the schema until the transaction ends.

    CREATE TABLE IF NOT EXISTS fails when two processes run it together: both insert into the catalogue.
    """
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_SCHEMA_LOCK)))


class _ImpatientConnection(psycopg.Connection[Any]):
    """A server that takes a statement and never answers must not keep the thread: the driver itself waits for ever."""

    #: A little longer than the server's own statement_timeout, whose message says more.
    patience_seconds = TIMEOUT_SECONDS + 1

    def wait(self, gen: Generator[Any, Any, Any], *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._answered(gen), *args, **kwargs)

    def _answered(self, waiting: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
        deadline = time.monotonic() + self.patience_seconds
        try:
            wanted = next(waiting)
            while True:
                ready = yield wanted
                if not ready and time.monotonic() > deadline:
                    self.close()
                    raise psycopg.OperationalError(f"no answer within {self.patience_seconds} s")
                wanted = waiting.send(ready)
        except StopIteration as done:
            return done.value
