"""What these tests share: a database of each kind, empty but for its tables, and the service in this process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.database import Database
from tests.app.api import Api, prepared, settings_for
from tests.support.postgres import new_database, postgres_url
from tests.support.servers import Server

__all__ = ["database", "database_url", "postgres_url"]


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'app.sqlite3'}"
    else:
        with new_database(request.getfixturevalue("postgres_url")) as url:
            yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The service, shared by the tests of one module."""
    with prepared(settings_for(valkey, tmp_path_factory.mktemp("service"))) as api:
        yield api
