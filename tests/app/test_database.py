import sqlite3
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from app.database import (
    AuditRow,
    Base,
    Database,
    DatabaseUnavailableError,
    InvalidValueError,
    UserRow,
    parse_database_url,
)
from app.instants import utc_now
from app.scopes import ADMIN_SCOPE
from app.users import LastAdministratorError, Users
from tests.support.garbage import collecting_nothing
from tests.support.processes import spawned

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)


def add_user(database: Database, username: str) -> None:
    with database.session() as session:
        session.add(UserRow(username=username, password_hash="-", scope="", disabled=False, created_at=NOON))


def usernames(database: Database) -> list[str]:
    with database.reading() as session:
        return list(session.scalars(sa.select(UserRow.username).order_by(UserRow.username)))


def run_forks(script: str, *arguments: str) -> str:
    """Run a script that forks in a process of its own: this one has threads."""
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_making_a_database_connects_to_nothing(tmp_path: Path) -> None:
    Database(f"sqlite:///{tmp_path / 'missing' / 'app.sqlite3'}")
    Database("postgresql://nobody:secret@127.0.0.1:1/none")

    assert not list(tmp_path.iterdir())


def test_the_schema_is_created_once_and_what_is_in_it_stays(database: Database) -> None:
    add_user(database, "ada")

    database.migrate()

    assert usernames(database) == ["ada"]


def test_the_directory_is_made_and_the_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "data" / "deep" / "app.sqlite3"
    database = Database(f"sqlite:///{path}")

    database.migrate()
    add_user(database, "ada")

    files = [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    assert {file.name for file in files} >= {path.name, f"{path.name}-wal"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    database.close()


@pytest.mark.parametrize("name", ["with space.db", "question?mark.db", "per%41cent.db", "hash#.db", "ümlaut.db"])
def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    url = sa.URL.create("sqlite", database=str(tmp_path / name)).render_as_string()
    database = Database(url)

    database.migrate()
    add_user(database, "ada")
    database.close()

    assert {file.name for file in tmp_path.iterdir()} == {name, f"{name}.lock"}


def test_sqlite_is_set_up_not_to_lose_commits(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'app.sqlite3'}")
    database.migrate()

    with database.reading() as session:
        pragmas = {
            name: session.execute(sa.text(f"PRAGMA {name}")).scalar_one()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }

    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 5000, "foreign_keys": 1}
    database.close()


def test_postgresql_has_timeouts(postgres_url: str) -> None:
    database = Database(postgres_url)

    with database.reading() as session:
        settings = {
            name: session.execute(sa.text(f"SHOW {name}")).scalar_one()
            for name in ("statement_timeout", "idle_in_transaction_session_timeout", "client_encoding")
        }

    assert settings == {
        "statement_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
        "client_encoding": "UTF8",
    }
    database.close()


SCHEMA_RACE = """
import os, sys, traceback
from app.database import Database
from app.scopes import ADMIN_SCOPE
from app.users import LastAdministratorError, Users
database = Database(sys.argv[1])
read_end, write_end = os.pipe()
children = []
for _ in range(8):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            os.close(write_end)
            os.read(read_end, 1)  # returns in all of them when the parent closes the other end
            database.migrate()
            with database.reading():
                status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stderr.flush()
            os._exit(status)
    children.append(pid)
os.close(write_end)
print([os.waitpid(child, 0)[1] for child in children])
"""


def test_eight_processes_create_the_schema_at_once(database_url: str) -> None:
    statuses = run_forks(SCHEMA_RACE, database_url)

    assert statuses.strip() == str([0] * 8)


def test_eight_threads_create_the_schema_at_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(8)]
    start = threading.Barrier(8)

    def create(database: Database) -> None:
        start.wait(30)
        database.migrate()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, databases))

    for database in databases:
        assert usernames(database) == []
        database.close()
    assert sorted(Base.metadata.tables) == ["audit", "audit_positions", "clients", "debts", "users"]


FORK = """
import os, sys
import sqlalchemy as sa
from app.database import Database
from app.scopes import ADMIN_SCOPE
from app.users import LastAdministratorError, Users
database = Database(sys.argv[1])
backend = "SELECT pg_backend_pid()" if database.dialect == "postgresql" else "SELECT 0"

def ask():
    with database.reading() as session:
        return session.execute(sa.text(backend)).scalar_one()

before = ask()
children = []
for _ in range(4):
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            others = [ask() for _ in range(20)]
            status = 2 if database.dialect == "postgresql" and before in others else 0
            database.close()
        finally:
            os._exit(status)
    children.append(pid)
same = all(ask() == before for _ in range(20))
print([os.waitpid(child, 0)[1] for child in children], same, ask() == before)
"""


def test_a_forked_child_leaves_the_connections_of_its_parent_alone(database: Database, database_url: str) -> None:
    assert run_forks(FORK, database_url).strip() == "[0, 0, 0, 0] True True"


def test_a_session_commits_at_its_end_and_takes_everything_back_on_an_error(database: Database) -> None:
    add_user(database, "ada")

    def add_and_fail() -> None:
        with database.session() as session:
            session.add(UserRow(username="eve", password_hash="-", scope="", disabled=False, created_at=NOON))
            session.flush()
            raise KeyError

    with pytest.raises(KeyError):
        add_and_fail()

    assert usernames(database) == ["ada"]


def test_a_taken_key_is_about_the_data_and_not_about_the_database(database: Database) -> None:
    add_user(database, "ada")

    with pytest.raises(exc.IntegrityError):
        add_user(database, "ada")


def test_read_and_write_in_one_transaction_loses_no_update(database: Database) -> None:
    def append(letter: str) -> None:
        with database.session() as session:
            row = session.get_one(UserRow, "ada", with_for_update=True)
            row.scope += letter

    add_user(database, "ada")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(append, "abcdefghijklmnopqrstuvwxyz"))

    with database.reading() as session:
        assert sorted(session.get_one(UserRow, "ada").scope) == list("abcdefghijklmnopqrstuvwxyz")


def test_reading_waits_for_no_writer(database: Database, database_url: str) -> None:
    add_user(database, "ada")
    other = Database(database_url)

    with database.session() as session:
        session.get_one(UserRow, "ada").scope = "changed"
        session.flush()
        with other.reading() as reading:
            assert reading.get_one(UserRow, "ada").scope == ""
    other.close()


def test_what_runs_inside_a_transaction_is_a_part_of_it(database: Database) -> None:
    def add_both_and_fail() -> None:
        with database.session():
            add_user(database, "ada")
            assert usernames(database) == ["ada"]
            add_user(database, "bob")
            raise KeyError

    with pytest.raises(KeyError):
        add_both_and_fail()
    assert usernames(database) == []

    def add_twice() -> None:
        with database.session():
            add_user(database, "ada")
            with pytest.raises(exc.IntegrityError):
                add_user(database, "ada")
            raise KeyError

    with pytest.raises(KeyError):
        add_twice()
    assert usernames(database) == []


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
def test_an_instant_comes_back_in_utc_with_milliseconds(database: Database, zone: timezone) -> None:
    with database.session() as session:
        at = (NOON + timedelta(microseconds=456)).astimezone(zone)
        session.add(AuditRow(at=at, actor="", action="x", target="", reason="", address="", revocation_id=None))

    with database.reading() as session:
        found = session.scalars(sa.select(AuditRow)).one().at

    assert found == NOON
    assert found.tzinfo is UTC


def test_an_instant_without_a_zone_is_refused(database: Database) -> None:
    naive = NOON.replace(tzinfo=None)
    row = AuditRow(at=naive, actor="", action="x", target="", reason="", address="", revocation_id=None)

    with pytest.raises(exc.StatementError, match="needs a time zone"), database.session() as session:
        session.add(row)


def test_now_is_in_utc_and_in_whole_milliseconds() -> None:
    now = utc_now()

    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0


def test_a_lost_file_is_an_error_and_not_an_empty_database(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite3"

    with pytest.raises(DatabaseUnavailableError):
        usernames(Database(f"sqlite:///{path}"))

    assert not path.exists()


def test_a_file_that_is_no_database_is_unavailable(tmp_path: Path) -> None:
    path = tmp_path / "app.sqlite3"
    path.write_text("Dear diary, " * 100)
    database = Database(f"sqlite:///{path}")

    for ask in (lambda: usernames(database), database.migrate):
        with pytest.raises(DatabaseUnavailableError, match="not a database"):
            ask()
    database.close()


def test_a_server_that_is_not_there_is_unavailable_and_the_cause_is_kept() -> None:
    database = Database("postgresql://ada:s3cret@127.0.0.1:1/none")
    asks: tuple[Callable[[], object], ...] = (lambda: usernames(database), database.migrate)

    for ask in asks:
        with pytest.raises(DatabaseUnavailableError) as caught:
            ask()
        assert isinstance(caught.value.__cause__, exc.OperationalError)
        assert "s3cret" not in str(caught.value) + repr(database)


def test_a_connection_that_the_server_closed_is_replaced(postgres_url: str) -> None:
    database = Database(postgres_url)
    other = Database(postgres_url)
    with database.reading() as session:
        backend = session.execute(sa.text("SELECT pg_backend_pid()")).scalar_one()
    with other.reading() as session:
        session.execute(sa.text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": backend})

    with database.reading() as session:
        assert session.execute(sa.text("SELECT pg_backend_pid()")).scalar_one() != backend
    database.close()
    other.close()


def test_a_connection_that_breaks_in_a_transaction_is_unavailable(postgres_url: str) -> None:
    database = Database(postgres_url)

    with pytest.raises(DatabaseUnavailableError), database.reading() as session:
        session.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))
    database.close()


def test_a_locked_file_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "app.sqlite3"
    monkeypatch.setattr("app.database.sqlite.TIMEOUT_SECONDS", 0)
    database = Database(f"sqlite:///{path}")
    database.migrate()

    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailableError, match="locked"):
            add_user(database, "ada")
    database.close()


def test_who_has_waited_and_was_refused_writes_after_somebody_else_has(tmp_path: Path) -> None:
    """SQLite keeps the snapshot of a statement that nobody has read to its end, and then refuses to write."""
    path = tmp_path / "app.sqlite3"
    waiting, writing = Database(f"sqlite:///{path}"), Database(f"sqlite:///{path}")
    waiting.migrate()
    users = Users(waiting)
    users.create("admin", password="correct horse battery", scope=ADMIN_SCOPE)

    def refused() -> bool:
        with pytest.raises(LastAdministratorError):
            users.delete("admin")
        return True

    with collecting_nothing(), ThreadPoolExecutor(1) as pool:
        with writing.session() as session:
            session.execute(sa.delete(UserRow).where(UserRow.username == "nobody"))
            waits = pool.submit(refused)
            with pytest.raises(TimeoutError):
                waits.result(0.05)
        assert waits.result(60)
        add_user(writing, "ada")
        try:
            add_user(waiting, "bob")
        except DatabaseUnavailableError as error:
            raise AssertionError("the snapshot of before is still there") from error
    waiting.close()
    writing.close()


def test_who_waits_for_a_locked_file_lets_other_greenlets_run(tmp_path: Path) -> None:
    script = """
from gevent import monkey; monkey.patch_all()
import pathlib, sqlite3, sys, gevent
import sqlalchemy as sa
from app.database import Database, UserRow
from app.scopes import ADMIN_SCOPE
from app.users import LastAdministratorError, Users

path = pathlib.Path(sys.argv[1])
database = Database(f"sqlite:///{path}")
database.migrate()
other = sqlite3.connect(path, isolation_level=None)
other.execute("BEGIN IMMEDIATE")

def write():
    with database.session() as session:
        session.execute(sa.delete(UserRow))

writer = gevent.spawn(write)
turns = 0
while turns < 20 and not writer.ready():
    gevent.sleep(0.01)
    turns += 1
print(turns, writer.ready())
other.execute("ROLLBACK")
writer.get(timeout=30)
print("written")
"""
    assert run_forks(script, str(tmp_path / "app.sqlite3")) == "20 False\nwritten\n"


def test_errors_and_reprs_show_neither_hashes_nor_passwords(database: Database) -> None:
    def add() -> None:
        with database.session() as session:
            session.add(UserRow(username="ada", password_hash="$h4sh", scope="", disabled=False, created_at=NOON))

    add()
    with pytest.raises(exc.IntegrityError) as caught:
        add()

    assert "$h4sh" not in str(caught.value)
    assert "s3cret" not in repr(Database("postgresql://ada:s3cret@h/d"))


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_name_of_postgresql_means_the_installed_driver(scheme: str) -> None:
    url = parse_database_url(f"{scheme}://ada:s3cret@db:5432/revocation?sslmode=require")

    assert url.render_as_string(hide_password=False) == (
        "postgresql+psycopg://ada:s3cret@db:5432/revocation?sslmode=require"
    )


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.sqlite3",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:app.sqlite3?mode=memory&uri=true",
        "sqlite://host/app.sqlite3",
        "sqlite:///app.sqlite3?mode=memory",
        "sqlite+aiosqlite:///app.sqlite3",
        "sqlite:///app\0.sqlite3",
        "mysql://u:s3cret@h/d",
        "postgresql+psycopg2://u:s3cret@h/d",
        "postgresql://u:s3cret@h:99999/d",
        "postgresql://u:s3cret@h:0/d",
        "postgresql://u:s3cret@h:x/d",
        "postgresql://u:s3cret@h/d\ud800",
    ],
)
def test_other_databases_are_refused_without_showing_a_password(url: str) -> None:
    with pytest.raises(InvalidValueError, match="sqlite:///path/of/file") as caught:
        Database(url)

    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_settings_in_the_url_outrank_ours(postgres_url: str) -> None:
    database = Database(f"{postgres_url}&application_name=ours")

    with database.reading() as session:
        assert session.execute(sa.text("SHOW application_name")).scalar_one() == "ours"
    database.close()


def test_a_process_that_keeps_the_lock_does_not_hang_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "app.sqlite3"
    monkeypatch.setattr("app.database.sqlite._SCHEMA_LOCK_SECONDS", 0)
    holder = (
        "import fcntl, os, sys\n"
        "fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600), fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", holder, f"{path}.lock"]
    with spawned(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        with pytest.raises(DatabaseUnavailableError, match=r"app\.sqlite3\.lock"):
            Database(f"sqlite:///{path}").migrate()


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "data").touch()

    with pytest.raises(DatabaseUnavailableError, match="data"):
        Database(f"sqlite:///{tmp_path / 'data' / 'app.sqlite3'}").migrate()
