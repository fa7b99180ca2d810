"""Pool: how many connections one process has, and how long it waits for any of them."""

from typing import Any

import sqlalchemy as sa

#: The limit of every wait: for a connection, for a lock, for an answer.
TIMEOUT_SECONDS = 5

#: The same while the schema changes: a new index on a long audit trail takes its time, and other processes wait for it.
MIGRATION_SECONDS = 300

_CONNECTIONS = 5
_OVERFLOW = 5

#: Connections of a process that only its threads in the background use.
_IN_BACKGROUND = 2

#: The connections that the threads of a process may use at the same time to answer requests.
MOST_CONNECTIONS = _CONNECTIONS + _OVERFLOW - _IN_BACKGROUND


def pooled_engine(url: sa.URL, *, connect_args: dict[str, Any], pre_ping: bool = False) -> sa.Engine:
    """An engine with the pool of one process. It connects at its first statement."""
    return sa.create_engine(
        url,
        poolclass=sa.QueuePool,
        pool_size=_CONNECTIONS,
        max_overflow=_OVERFLOW,
        pool_timeout=TIMEOUT_SECONDS,
        pool_pre_ping=pre_ping,
        connect_args=connect_args,
        hide_parameters=True,  # the values of a statement may be hashes, and must stay out of error messages
    )
