"""The URL of a database."""

import sqlalchemy as sa

from app.database.errors import InvalidValueError

_HIGHEST_PORT = 65_535

#: The URLs that `parse_database_url` takes, in words.
DATABASE_URLS = "sqlite:///path/of/file (no query, not in memory) or postgresql://user:password@host:port/database"


def parse_database_url(value: str) -> sa.URL:
    """The URL of a database that this service can use; InvalidValueError says which those are.

    postgres:// and postgresql:// are read as postgresql+psycopg://, the driver that is installed.
    """
    try:
        url = sa.make_url(value)
    except (sa.exc.ArgumentError, ValueError):
        raise InvalidValueError(
            "database_url", DATABASE_URLS
        ) from None  # the message of the cause may quote a password
    if not value.isprintable():
        raise InvalidValueError("database_url", DATABASE_URLS)
    if url.drivername in ("postgres", "postgresql", "postgresql+psycopg"):
        if url.port is not None and not 1 <= url.port <= _HIGHEST_PORT:
            raise InvalidValueError("database_url", DATABASE_URLS)
        return url.set(drivername="postgresql+psycopg")
    # Every worker would have a database of its own in memory.
    if url.drivername != "sqlite" or url.host or url.query or (url.database or ":memory:").startswith((":", "file:")):
        raise InvalidValueError("database_url", DATABASE_URLS)
    return url
