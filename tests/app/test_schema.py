"""The tables in their versions: what an upgrade keeps, and what is refused before it becomes an outage."""

import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from app.audit import Audit
from app.clients import Clients
from app.database import Base, Database, DatabaseUnavailableError, parse_database_url
from app.database.schema import _VERSIONS
from app.passwords import Passwords
from app.users import Users

PASSWORD = "correct horse battery"

#: What the first release created, which kept no version.
FIRST_RELEASE = """
CREATE TABLE audit (
    id {number} NOT NULL PRIMARY KEY {counted},
    at {instant} NOT NULL,
    actor VARCHAR(300) NOT NULL,
    action VARCHAR(64) NOT NULL,
    target VARCHAR(1000) NOT NULL,
    reason VARCHAR(1000) NOT NULL,
    address VARCHAR(100) NOT NULL,
    revocation_id VARCHAR(100)
);
CREATE TABLE clients (
    client_id VARCHAR(64) NOT NULL,
    name VARCHAR(100) NOT NULL,
    secret_hash VARCHAR(64) NOT NULL,
    scope VARCHAR(1000) NOT NULL,
    disabled BOOLEAN NOT NULL,
    created_at {instant} NOT NULL,
    PRIMARY KEY (client_id)
);
CREATE TABLE users (
    username VARCHAR(64) NOT NULL,
    password_hash VARCHAR(255) NOT NULL,
    scope VARCHAR(1000) NOT NULL,
    disabled BOOLEAN NOT NULL,
    created_at {instant} NOT NULL,
    PRIMARY KEY (username)
);
INSERT INTO users VALUES ('ada', '{hash}', 'reports:read', false, '{at}');
INSERT INTO users VALUES ('eve', '{hash}', '', true, '{at}');
INSERT INTO clients VALUES ('c1', 'Reports', '-', 'reports:read', false, '{at}');
INSERT INTO audit (at, actor, action, target, reason, address, revocation_id)
    VALUES ('{at}', 'admin', 'user.change', 'eve', 'account changed: disabled', '192.0.2.7', '1-0-ab');
"""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """One of its own, whose tables a test may change."""
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@pytest.fixture
def first_release(database_url: str) -> Iterator[Database]:
    """A database as the first release left it, with two users, a client and an act."""
    url, at = parse_database_url(database_url), "2026-03-01 12:00:00.123000"
    types = {"number": "INTEGER", "counted": "AUTOINCREMENT", "instant": "DATETIME"}
    if url.get_backend_name() == "postgresql":
        types = {"number": "BIGSERIAL", "counted": "", "instant": "TIMESTAMP WITH TIME ZONE"}
        at += "+00"
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        for statement in FIRST_RELEASE.format(**types, hash=Passwords().rehash(PASSWORD), at=at).split(";\n"):
            if statement.strip():
                connection.execute(sa.text(statement.replace(":", r"\:")))
    engine.dispose()
    database = Database(database_url)
    yield database
    database.close()


def differences(database: Database) -> list[object]:
    """What Alembic would change to make the tables those of `app/database/rows.py`."""
    with database.reading() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def execute(database: Database, statement: str) -> None:
    with database.session() as session:
        session.execute(sa.text(statement))


def test_an_upgrade_of_the_first_release_keeps_what_is_there(first_release: Database) -> None:
    first_release.migrate()

    users = Users(first_release)
    ada = users.authenticate("ada", PASSWORD)
    assert ada is not None
    assert ada.scope == "reports:read"
    assert users.authenticate("eve", PASSWORD) is None
    assert [client.name for client in Clients(first_release).list()] == ["Reports"]
    (record,), _ = Audit(first_release).page()
    assert (record.actor, record.target, record.revocation_id) == ("admin", "eve", "1-0-ab")
    assert record.at == datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def test_an_upgraded_database_is_one_of_this_release(first_release: Database) -> None:
    first_release.migrate()

    assert differences(first_release) == []


def test_a_new_database_is_one_of_this_release(database: Database) -> None:
    assert differences(database) == []


def test_an_upgraded_database_goes_on_being_used(first_release: Database) -> None:
    first_release.migrate()
    Users(first_release).create("bob", password=PASSWORD, scope="")
    first_release.migrate()

    assert Users(first_release).get("bob") is not None


def test_eight_threads_upgrade_at_once(first_release: Database, database_url: str) -> None:
    start = threading.Barrier(8)

    def upgrade(_: int) -> None:
        other = Database(database_url)
        start.wait(30)
        other.migrate()
        other.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(upgrade, range(8)))

    assert differences(first_release) == []
    assert Users(first_release).authenticate("ada", PASSWORD) is not None


def test_a_database_of_a_newer_release_is_refused_with_what_to_do(database: Database) -> None:
    execute(database, "UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(DatabaseUnavailableError, match=r"schema 9999 of a newer release.*Start the newer release, or"):
        database.migrate()


def test_a_column_that_somebody_dropped_is_named_at_the_start(database: Database) -> None:
    execute(database, "ALTER TABLE users DROP COLUMN disabled")

    with pytest.raises(DatabaseUnavailableError, match=r"table users lacks disabled.*changed it by hand"):
        database.migrate()


def test_a_table_that_somebody_dropped_is_named_at_the_start(database: Database) -> None:
    execute(database, "DROP TABLE clients")

    with pytest.raises(DatabaseUnavailableError, match="table clients lacks client_id, name"):
        database.migrate()


def test_who_may_not_create_tables_is_told_so(postgres_url: str) -> None:
    owner = Database(postgres_url)
    execute(owner, "CREATE ROLE reader LOGIN")
    url = sa.make_url(postgres_url).set(username="reader").render_as_string(hide_password=False)
    database = Database(url)
    try:
        with pytest.raises(DatabaseUnavailableError, match="cannot be migrated: permission denied"):
            database.migrate()
    finally:
        database.close()
        execute(owner, "DROP ROLE reader")
        owner.close()


def test_nothing_waits_for_a_writer_where_nothing_is_to_do(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        database.migrate()
    database.close()


def test_the_files_of_the_steps_are_named_by_their_numbers_which_make_one_chain() -> None:
    config = Config()
    config.set_main_option("script_location", "app.database:migrations")

    chain = [step.revision for step in ScriptDirectory.from_config(config).walk_revisions()]

    assert chain == sorted(_VERSIONS, reverse=True)
