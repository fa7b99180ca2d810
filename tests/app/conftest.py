"""What these tests share: a database of each kind, and the service in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.database import Base, Database
from tests.app.api import Api, prepared, settings_for
from tests.support.postgres import new_database, postgres_url
from tests.support.servers import Server

__all__ = ["postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def database_url(dialect: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database of its own, without tables."""
    if dialect == "sqlite":
        yield f"sqlite:///{tmp_path / 'app.sqlite3'}"
    else:
        with new_database(request.getfixturevalue("postgres_url")) as url:
            yield url


@pytest.fixture(scope="session")
def shared_database_url(postgres_url: str) -> Iterator[str]:
    """One database with the tables in PostgreSQL, which takes a second to make another one."""
    with new_database(postgres_url) as url:
        database = Database(url)
        database.migrate()
        database.close()
        yield url


@pytest.fixture
def database(dialect: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database with empty tables: the test's own where it asks for the URL as well, or else a shared one."""
    shared = dialect == "postgresql" and "database_url" not in request.fixturenames
    database = Database(request.getfixturevalue("shared_database_url" if shared else "database_url"))
    if shared:
        _empty(database)
    else:
        database.migrate()
    yield database
    database.close()


def _empty(database: Database) -> None:
    tables = ", ".join(table.name for table in Base.metadata.sorted_tables)
    with database.session() as session:
        session.execute(sa.text("SET LOCAL lock_timeout = '30s'"))
        session.execute(sa.text(f"TRUNCATE {tables} RESTART IDENTITY"))


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The service, shared by the tests of one module."""
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("service"))) as api:
        yield api
