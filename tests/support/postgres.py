"""A private PostgreSQL from the binaries of the system: its own directory, a Unix socket, gone with the session."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
from psycopg import sql

from tests.support.processes import START_SECONDS, end

_STOP_SECONDS = 20
_POLL_SECONDS = 0.05
_SUPERUSER = "revocation"
# Nothing here outlives the session, so nothing has to survive a power cut.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "150",
    "shared_buffers": "32MB",
}


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a database on a server of this test process alone. `new_database` makes further ones."""
    binaries = _binaries()
    # Not under pytest's directory: the server's account may not enter that, and a socket's path has 107 bytes.
    directory = Path(tempfile.mkdtemp(prefix="postgres-"))
    try:
        as_account = _as_unprivileged(directory)
        _init(binaries, directory, as_account)
        with _server(binaries, directory, as_account):
            yield _url(directory).render_as_string(hide_password=False)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def new_database(postgres_url: str) -> Iterator[str]:
    """The URL of an empty database on the server; it is dropped afterwards."""
    url = sa.make_url(postgres_url)
    name = f"test_{uuid4().hex}"
    with _connect(url) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with _connect(url) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def frozen(postgres_url: str) -> Iterator[None]:
    """Stop every process of the server, which then neither answers nor refuses anything, until the block ends."""
    directory = Path(str(sa.make_url(postgres_url).query["host"]))
    postmaster = int((directory / "data" / "postmaster.pid").read_text().split()[0])
    # The postmaster first: it starts no process any more while the others are stopped.
    os.kill(postmaster, signal.SIGSTOP)
    stopped = [postmaster]
    try:
        for child in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split():
            os.kill(int(child), signal.SIGSTOP)
            stopped.append(int(child))
        yield
    finally:
        for pid in reversed(stopped):
            os.kill(pid, signal.SIGCONT)


def _binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if found:
        return found[-1].parent
    on_path = shutil.which("initdb")
    if not on_path:
        _missing("PostgreSQL is not installed: apt-get install postgresql")
    return Path(on_path).resolve().parent


def _missing(reason: str) -> NoReturn:
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def _as_unprivileged(directory: Path) -> list[str]:
    """How a command begins that runs as the owner of the directory; that is not root, whom the server refuses."""
    setpriv = shutil.which("setpriv")
    command = [setpriv, "--pdeathsig", "INT"] if setpriv else []  # even a killed test run leaves no server behind
    if os.geteuid() != 0:
        return command
    if not setpriv:
        _missing("PostgreSQL does not run as root, and there is no setpriv to run it as somebody else")
    account = next((user for user in pwd.getpwall() if user.pw_name == "postgres"), None) or pwd.getpwnam("nobody")
    os.chown(directory, account.pw_uid, account.pw_gid)
    return [*command, "--reuid", str(account.pw_uid), "--regid", str(account.pw_gid), "--clear-groups"]


def _init(binaries: Path, directory: Path, as_account: list[str]) -> None:
    command = [str(binaries / "initdb"), "--pgdata", str(directory / "data"), "--username", _SUPERUSER]
    options = ["--auth", "trust", "--encoding", "UTF8", "--no-locale", "--no-sync"]
    done = subprocess.run(
        [*as_account, *command, *options], cwd=directory, capture_output=True, text=True, check=False, timeout=120
    )
    if done.returncode != 0:
        pytest.fail(f"initdb failed: {done.stderr}")


@contextmanager
def _server(binaries: Path, directory: Path, as_account: list[str]) -> Iterator[None]:
    settings = _SETTINGS | {"unix_socket_directories": str(directory)}
    options = [argument for name, value in settings.items() for argument in ("-c", f"{name}={value}")]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(
            [*as_account, str(binaries / "postgres"), "-D", str(directory / "data"), *options],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_ready(process, directory)
        yield
    finally:
        process.send_signal(signal.SIGQUIT)  # at once, whoever is connected; setpriv became the server, same pid
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            end(process)


def _wait_until_ready(process: subprocess.Popen[bytes], directory: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            _connect(_url(directory)).close()
        except psycopg.OperationalError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"PostgreSQL does not start: {error}\n{(directory / 'log').read_text(errors='replace')}")
            time.sleep(_POLL_SECONDS)
        else:
            return


def _url(directory: Path) -> sa.URL:
    return sa.URL.create("postgresql+psycopg", username=_SUPERUSER, database="postgres", query={"host": str(directory)})


def _connect(url: sa.URL) -> "psycopg.Connection[tuple[object, ...]]":
    return psycopg.connect(
        host=str(url.query["host"]), user=url.username, dbname=url.database, autocommit=True, connect_timeout=5
    )
