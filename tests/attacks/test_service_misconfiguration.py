"""Misconfiguration: what is set wrongly does not start, says everything that is wrong, and shows no secret."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from app import create_app, startup
from app.settings import VARIABLES, Settings
from app.startup import prepare
from app.stores import Stores
from revocation import ConfigurationError
from revocation.settings import with_variables
from tests.app.api import Api, prepared, settings_for
from tests.support.certificates import certificates
from tests.support.forks import done
from tests.support.servers import Server, StartServer

ROOT = Path(__file__).parents[2]
CANARY = "canary-canary-canary"


def started(*command: str, **env: str) -> "subprocess.CompletedProcess[str]":
    """`python -m app ...`, which must end by itself."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("APP_", "REVOCATION_"))}
    return done("app", *(command or ("serve",)), env=kept | env, timeout_seconds=60)


WRONG = {
    "APP_BIND": "8000",
    "APP_WORKERS": "0",
    "APP_WORKER_CLASS": "threads",
    "APP_THREADS": "many",
    "APP_ISSUER": "http://auth.example",
    "APP_AUDIENCE": "with spaces",
    "APP_ALGORITHM": "none",
    "APP_DATA_DIR": "a\x01b",
    "APP_KEYS_DIR": "",
    "APP_DATABASE_URL": f"mysql://user:{CANARY}@127.0.0.1/db",
    "APP_ACCESS_TTL": "15m",
    "APP_REFRESH_TTL": "-1",
    "APP_SESSION_TTL": "1e6",
    "APP_REFRESH_GRACE": "3600",
    "APP_ADMIN_PASSWORD": CANARY[:7],
    "APP_TRUSTED_PROXIES": "yes",
    "APP_WORKRES": "4",
    "REVOCATION_REDIS_URL": f"http://user:{CANARY}@127.0.0.1",
    "REVOCATION_MAX_STALENESS": "forever",
    "REVOCATION_TIMEOUT": "0",
    "REVOCATION_NAMESPACE": "a b",
    "REVOCATION_LEEWAY": "-5",
    "REVOCATION_MARGIN": "x",
    "REVOCATION_MAX_TOKEN_LIFETIME": "0",
    "REVOCATION_MIN_REPLICAS": "most",
    "REVOCATION_ALLOW_EVICTION": "maybe",
    "REVOCATION_TOKEN_CACHE_SIZE": "big",
}


def test_every_wrong_setting_is_named_at_once(tmp_path: Path) -> None:
    ended = started(**WRONG)

    assert ended.returncode == 2
    problems = [line for line in ended.stderr.splitlines() if line.startswith("  - ")]
    assert len(problems) == len(WRONG)
    for name in WRONG:
        assert [line for line in problems if line.startswith(f"  - {name} ")], name
    assert "did you mean APP_WORKERS?" in ended.stderr
    assert CANARY[:7] not in ended.stderr + ended.stdout


@pytest.mark.parametrize("command", ["init", "keys list", "clients list"])
def test_no_command_goes_on_with_a_wrong_setting(tmp_path: Path, command: str) -> None:
    ended = started(*command.split(), APP_ALGORITHM="none", APP_DATA_DIR=str(tmp_path / "data"))

    assert (ended.returncode, ended.stdout) == (2, "")
    assert "APP_ALGORITHM" in ended.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("what", ["directory", "database", "key"])
def test_what_cannot_be_used_is_said_in_plain_words(tmp_path: Path, what: str) -> None:
    data = tmp_path / "data"
    env = {"APP_DATA_DIR": str(data), "APP_BIND": "127.0.0.1:1", "APP_ADMIN_PASSWORD": CANARY}
    match what:
        case "directory":
            data.write_text("a file")
            named = str(data)
        case "database":
            env["APP_DATABASE_URL"] = f"postgresql://user:{CANARY}@127.0.0.1:1/db"
            named = "Connection refused"
        case _:
            (data / "keys").mkdir(parents=True)
            (data / "keys" / "mine.pem").write_text("not a key")
            named = str(data / "keys" / "mine.pem")

    ended = started(**env)

    assert ended.returncode in (1, 2)
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr
    assert CANARY not in ended.stderr + ended.stdout


def test_a_broken_key_file_makes_no_further_key(valkey: Server, tmp_path: Path) -> None:
    settings = settings_for(valkey, tmp_path)
    settings.keys_dir.mkdir()
    (settings.keys_dir / "mine.pem").write_text("not a key")

    with pytest.raises(ConfigurationError, match=r"mine\.pem"), preparing(settings) as stores:
        prepare(stores, settings)

    assert [path.name for path in settings.keys_dir.glob("*.pem")] == ["mine.pem"]


@contextmanager
def preparing(settings: Settings) -> Iterator[Stores]:
    stores = Stores.of(settings)
    try:
        yield stores
    finally:
        stores.database.close()
        stores.denylist.link.close()


def test_without_an_admin_password_a_service_on_a_redis_of_its_own_does_not_start(
    valkey: Server, tmp_path: Path
) -> None:
    """A password that is made up would be printed into the logs of some host."""
    settings = settings_for(valkey, tmp_path, APP_ADMIN_PASSWORD="")
    with preparing(settings) as stores:
        stores.denylist.open(accept_existing=True)
        with pytest.raises(ConfigurationError, match="APP_ADMIN_PASSWORD"):
            prepare(stores, settings)
        assert stores.users.get("admin") is None


def test_a_redis_that_evicts_is_refused(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "_PATIENCE_SECONDS", 0.1)
    server = start_server("valkey", "--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl")
    settings = settings_for(server, tmp_path)

    with pytest.raises(ConfigurationError, match="noeviction"), preparing(settings) as stores:
        prepare(stores, settings)


@pytest.mark.parametrize("fault", ["replica", "password", "file"])
def test_where_no_waiting_helps_the_start_ends_at_once_with_the_reason_and_the_variable(
    start_server: StartServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    def waits(_seconds: float) -> None:
        raise AssertionError("it waits")

    # Only there: a follower of another test may sleep in this process.
    monkeypatch.setattr(startup, "time", SimpleNamespace(monotonic=time.monotonic, sleep=waits))
    authority = tmp_path / "authority.pem"
    authority.write_bytes(certificates(tmp_path / "own", host="127.0.0.1").authority.read_bytes())
    server = start_server("valkey", *(("--replicaof", "127.0.0.1", "1") if fault == "replica" else ()))
    url, reason = {
        "replica": (server.url, "a replica.*Name the primary, 127.0.0.1:1."),
        "password": (server.url.replace("unix://", "unix://:wrong@"), "refuses the user or the password"),
        "file": (f"rediss://127.0.0.1:1?ssl_ca_certs={authority}", f"ssl_ca_certs names {authority}"),
    }[fault]
    with preparing(settings_for(server, tmp_path / "data", REVOCATION_REDIS_URL=url)) as stores:
        authority.unlink()
        with pytest.raises(ConfigurationError, match=reason) as refused:
            prepare(stores, settings_for(server, tmp_path / "data", REVOCATION_REDIS_URL=url))
    assert with_variables(refused.value, variables=VARIABLES).endswith("(REVOCATION_REDIS_URL)")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--appendonly", "no"), "appendonly is no"),
        (("--appendonly", "yes", "--maxmemory", "1500kb"), "of 1.5 MB (maxmemory)"),
    ],
)
def test_what_the_doctor_finds_is_said_at_the_start(
    start_server: StartServer, tmp_path: Path, options: tuple[str, ...], said: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings = settings_for(start_server("valkey", *options), tmp_path)

    with preparing(settings) as stores:
        prepare(stores, settings)

    (line,) = [record.getMessage() for record in caplog.records if record.name == "app.startup"]
    assert said in line
    assert "To mend it: redis-cli" in line


def test_a_redis_that_is_not_there_is_waited_for_and_then_said(
    valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(startup, "_PATIENCE_SECONDS", 0.2)
    settings = settings_for(valkey, tmp_path, REVOCATION_REDIS_URL=f"unix://{tmp_path}/nothing.sock")

    with pytest.raises(ConfigurationError, match="Redis"), preparing(settings) as stores:
        prepare(stores, settings)


@pytest.mark.parametrize(
    ("variable", "larger", "smaller"),
    [
        ("REVOCATION_MAX_TOKEN_LIFETIME", "90000", "900"),
        ("APP_ACCESS_TTL", "901", "60"),
        ("REVOCATION_LEEWAY", "40", "20"),
        ("APP_SESSION_TTL", str(60 * 86_400), str(20 * 86_400)),
    ],
)
def test_a_process_that_accepts_for_longer_than_entries_live_does_not_start_and_one_for_less_does(
    valkey: Server, tmp_path: Path, variable: str, larger: str, smaller: str
) -> None:
    with prepared(settings_for(valkey, tmp_path / "first")) as first:
        namespace = first.settings.revocation.namespace

        def start(value: str) -> None:
            settings = settings_for(valkey, tmp_path / value, REVOCATION_NAMESPACE=namespace, **{variable: value})
            with preparing(settings) as stores:
                prepare(stores, settings)

        standing = first.service.stores.denylist.head().settings
        with pytest.raises(ConfigurationError) as refused:
            start(larger)
        told = with_variables(refused.value, variables=VARIABLES)
        assert larger in told
        assert variable in told.rpartition("(")[2]
        start(smaller)
        assert first.service.stores.denylist.head().settings == standing


def test_without_keys_no_app_is_made(valkey: Server, tmp_path: Path) -> None:
    settings = settings_for(valkey, tmp_path)

    with pytest.raises(ConfigurationError, match=r"no \*\.pem"):
        create_app(settings)


def test_no_debugger_and_no_stack_trace_is_ever_shown(
    valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    with prepared(settings_for(valkey, tmp_path)) as api:
        break_something(api, monkeypatch)
        answer = api.post("/auth/login", json={"username": "admin", "password": "correct horse battery"})

        assert answer.status_code == 500
        assert answer.get_json() == {
            "type": "about:blank",
            "title": "Internal Server Error",
            "status": 500,
            "detail": "Something went wrong here. It has been logged.",
        }


def break_something(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret details")

    monkeypatch.setattr(api.service.stores.users, "authenticate", broken)
