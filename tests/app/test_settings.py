import math
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database import Database
from app.settings import Settings
from app.throttle import Bounds
from revocation.errors import ConfigurationError
from revocation.redis.url import redact
from revocation.settings import RevocationSettings

ROOT = Path(__file__).parents[2]
DAY = 86_400


def problems(env: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigurationError) as caught:
        Settings.from_mapping(env)
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def problem(env: dict[str, str]) -> str:
    (only,) = problems(env)
    return only


def test_nothing_set_is_a_service_on_this_machine() -> None:
    settings = Settings.from_mapping({})

    assert settings == Settings(
        revocation=RevocationSettings(
            redis_url="embedded",
            max_staleness=1.0,
            timeout_seconds=0.1,
            namespace="denylist",
            leeway_seconds=30,
            margin_seconds=60,
            max_token_lifetime_seconds=None,
            min_replicas=0,
            allow_eviction=False,
            token_cache_size=10_000,
        ),
        bind="127.0.0.1:8000",
        workers=2,
        worker_class="gthread",
        threads=4,
        issuer="http://127.0.0.1:8000",
        audience="http://127.0.0.1:8000",
        algorithm="ES256",
        data_dir=Path(".data"),
        keys_dir=Path(".data/keys"),
        database_url="sqlite:///.data/app.sqlite3",
        access_ttl_seconds=900,
        refresh_ttl_seconds=14 * DAY,
        session_ttl_seconds=30 * DAY,
        refresh_grace_seconds=10,
        guesses=Bounds(window_seconds=300, place=10, device=10, account=300, address=100),
        admin_password=None,
        audit_retention_seconds=365 * DAY,
        audit_sign_ins=False,
        trusted_proxies=0,
        drain_seconds=5,
        cors_origins=(),
    )


def test_everything_can_be_set() -> None:
    settings = Settings.from_mapping(
        {
            "REVOCATION_REDIS_URL": "rediss://app:s3cret@redis.example:6380/1",
            "REVOCATION_MAX_STALENESS": "2.5",
            "REVOCATION_TIMEOUT": ".25",
            "REVOCATION_NAMESPACE": "deny-list_2.x",
            "REVOCATION_LEEWAY": "0",
            "REVOCATION_MARGIN": "120",
            "REVOCATION_MAX_TOKEN_LIFETIME": "3600",
            "REVOCATION_MIN_REPLICAS": "1",
            "REVOCATION_ALLOW_EVICTION": "1",
            "REVOCATION_TOKEN_CACHE_SIZE": "0",
            "APP_BIND": "0.0.0.0:80",
            "APP_WORKERS": "8",
            "APP_WORKER_CLASS": "gthread",
            "APP_THREADS": "16",
            "APP_ISSUER": "https://auth.example/tenant1",
            "APP_AUDIENCE": "https://api.example",
            "APP_ALGORITHM": "EdDSA",
            "APP_DATA_DIR": "/var/lib/revocation",
            "APP_KEYS_DIR": "/etc/revocation/keys",
            "APP_DATABASE_URL": "postgres://app:s3cret@db/revocation",
            "APP_ACCESS_TTL": "300",
            "APP_REFRESH_TTL": "3600",
            "APP_SESSION_TTL": "7200",
            "APP_REFRESH_GRACE": "0",
            "APP_GUESSES_WINDOW": "60",
            "APP_GUESSES_PLACE": "5",
            "APP_GUESSES_DEVICE": "6",
            "APP_GUESSES_ACCOUNT": "70",
            "APP_GUESSES_ADDRESS": "80",
            "APP_ADMIN_PASSWORD": "s3cret and long",
            "APP_AUDIT_RETENTION": "0",
            "APP_AUDIT_SIGN_INS": "1",
            "APP_TRUSTED_PROXIES": "1",
            "APP_DRAIN_SECONDS": "20",
            "APP_CORS_ORIGINS": "https://app.example, http://localhost:3000",
            "PATH": "/usr/bin",
        }
    )

    assert settings == Settings(
        revocation=RevocationSettings(
            redis_url="rediss://app:s3cret@redis.example:6380/1",
            max_staleness=2.5,
            timeout_seconds=0.25,
            namespace="deny-list_2.x",
            leeway_seconds=0,
            margin_seconds=120,
            max_token_lifetime_seconds=3600,
            min_replicas=1,
            allow_eviction=True,
            token_cache_size=0,
        ),
        bind="0.0.0.0:80",
        workers=8,
        worker_class="gthread",
        threads=16,
        issuer="https://auth.example/tenant1",
        audience="https://api.example",
        algorithm="EdDSA",
        data_dir=Path("/var/lib/revocation"),
        keys_dir=Path("/etc/revocation/keys"),
        database_url="postgresql+psycopg://app:s3cret@db/revocation",
        access_ttl_seconds=300,
        refresh_ttl_seconds=3600,
        session_ttl_seconds=7200,
        refresh_grace_seconds=0,
        guesses=Bounds(window_seconds=60, place=5, device=6, account=70, address=80),
        admin_password="s3cret and long",
        audit_retention_seconds=0,
        audit_sign_ins=True,
        trusted_proxies=1,
        drain_seconds=20,
        cors_origins=("https://app.example", "http://localhost:3000"),
    )


def test_no_secret_is_in_a_repr() -> None:
    settings = Settings.from_mapping(
        {
            "REVOCATION_REDIS_URL": "redis://:s3cret@h",
            "APP_DATABASE_URL": "postgresql://app:s3cret@h/d",
            "APP_ADMIN_PASSWORD": "s3cret and long",
        }
    )

    assert "s3cret" not in repr(settings) + str(settings) + repr(settings.revocation)


def test_all_problems_are_told_at_once() -> None:
    told = problems(
        {
            "REVOCATION_TIMEOUT": "soon",
            "REVOCATION_LEWAY": "10",
            "APP_BIND": "nowhere",
            "APP_WORKERS": "0",
            "APP_THRAEDS": "4",
            "APP_REFRESH_TTL": "61",
            "APP_SESSION_TTL": "60",
            "APP_ACCESS_TTL": str(DAY + 1),
            "REVOCATION_MAX_TOKEN_LIFETIME": str(DAY),
        }
    )

    assert sorted(text.split()[0] for text in told) == [
        "APP_ACCESS_TTL",
        "APP_BIND",
        "APP_REFRESH_TTL",
        "APP_THRAEDS",
        "APP_WORKERS",
        "REVOCATION_LEWAY",
        "REVOCATION_TIMEOUT",
    ]


def test_a_problem_names_the_setting_its_value_and_what_is_allowed() -> None:
    assert problem({"REVOCATION_TIMEOUT": "soon"}) == (
        "REVOCATION_TIMEOUT is 'soon'; allowed: a number of seconds from 0.001 to 10."
    )
    assert problem({"APP_ALGORITHM": "none"}) == "APP_ALGORITHM is 'none'; allowed: ES256, RS256, EdDSA or HS256."
    assert len(problem({"APP_ALGORITHM": "x" * 10_000})) < 300


def test_a_misspelt_name_is_refused_with_the_nearest_one() -> None:
    assert problem({"REVOCATION_MAX_STALNESS": "0"}).endswith("did you mean REVOCATION_MAX_STALENESS?")
    assert problem({"APP_WORKER": "2"}).endswith("did you mean APP_WORKERS?")


def test_a_name_nobody_knows_is_refused_with_all_there_are() -> None:
    told = problem({"APP_XYZZY": "s3cret"})

    assert "APP_BIND, " in told
    assert "REVOCATION_" not in told
    assert "s3cret" not in told


def test_the_library_alone_minds_its_own_names() -> None:
    settings = RevocationSettings.from_mapping({"APP_XYZZY": "1", "REVOCATION_LEEWAY": "5"})

    assert settings == RevocationSettings(leeway_seconds=5)
    with pytest.raises(ConfigurationError, match="REVOCATION_XYZZY"):
        RevocationSettings.from_mapping({"REVOCATION_XYZZY": "1"})


def test_addresses_that_kubernetes_adds_for_a_service_are_not_settings() -> None:
    links = {
        "APP_SERVICE_HOST": "10.0.0.7",
        "APP_SERVICE_PORT": "80",
        "APP_SERVICE_PORT_HTTP": "80",
        "APP_PORT": "tcp://10.0.0.7:80",
        "APP_PORT_80_TCP": "tcp://10.0.0.7:80",
        "APP_PORT_80_TCP_PROTO": "tcp",
        "APP_PORT_80_TCP_ADDR": "10.0.0.7",
        "REVOCATION_REDIS_PORT": "tcp://10.0.0.8:6379",
    }

    assert Settings.from_mapping(links) == Settings.from_mapping({})
    assert "APP_PORT is not a setting" in problem({"APP_PORT": "9000"})


@pytest.mark.parametrize(
    "name", ["REVOCATION_REDIS_URL", "REVOCATION_MAX_STALENESS", "APP_ISSUER", "APP_DATA_DIR", "APP_DATABASE_URL"]
)
def test_an_empty_value_is_not_taken_for_the_default(name: str) -> None:
    assert problem({name: ""}).startswith(f"{name} is empty")


def test_an_empty_admin_password_is_none() -> None:
    assert Settings.from_mapping({"APP_ADMIN_PASSWORD": ""}).admin_password is None


@pytest.mark.parametrize(
    ("value", "staleness"), [("0", 0), ("0.0", 0), ("inf", math.inf), ("1", 1), ("0.001", 0.001), ("86400", 86_400)]
)
def test_staleness_is_nought_a_bound_or_none(value: str, staleness: float) -> None:
    assert RevocationSettings.from_mapping({"REVOCATION_MAX_STALENESS": value}).max_staleness == staleness


NO_NUMBERS = [
    "nan",
    "NaN",
    "-1",
    "-0",
    "+1",
    "1e3",
    "0x1",
    "1_000",
    "\uff11",
    " 1",
    "1 ",
    "1\n",
    "1,5",
    "abc",
    "9" * 5000,
    "\ud800",
]


@pytest.mark.parametrize("value", [*NO_NUMBERS, "infinity", "-inf", "Inf", "1e-9", "0.0001", "86401"])
def test_other_stalenesses_are_refused(value: str) -> None:
    assert "allowed: 0, inf or a number of seconds from 0.001 to 86400" in problem({"REVOCATION_MAX_STALENESS": value})


@pytest.mark.parametrize(
    ("name", "low", "high"),
    [
        ("REVOCATION_LEEWAY", 0, 300),
        ("REVOCATION_MARGIN", 0, 3600),
        ("REVOCATION_MAX_TOKEN_LIFETIME", 1, 31 * DAY),
        ("REVOCATION_MIN_REPLICAS", 0, 10),
        ("REVOCATION_TOKEN_CACHE_SIZE", 0, 1_000_000),
        ("APP_WORKERS", 1, 256),
        ("APP_THREADS", 1, 256),
        ("APP_ACCESS_TTL", 1, 31 * DAY),
        ("APP_REFRESH_TTL", 1, 366 * DAY),
        ("APP_SESSION_TTL", 1, 366 * DAY),
        ("APP_REFRESH_GRACE", 0, 60),
        ("APP_TRUSTED_PROXIES", 0, 10),
    ],
)
def test_whole_numbers_have_bounds(name: str, low: int, high: int) -> None:
    # What other settings would contradict is set to fit.
    base = {
        "REVOCATION_REDIS_URL": "redis://h",
        "REVOCATION_MAX_TOKEN_LIFETIME": str(31 * DAY),
        "APP_SESSION_TTL": str(366 * DAY),
        "APP_REFRESH_TTL": "1",
        "APP_ACCESS_TTL": "1",
    }
    for value in (low, high):
        Settings.from_mapping(base | {name: str(value)})

    for refused in (str(low - 1), str(high + 1), "1.5", "inf", *NO_NUMBERS):
        assert f"from {low} to {high}." in problem(base | {name: refused})


@pytest.mark.parametrize("value", ["0", "0.0009", "10.1", "inf", *NO_NUMBERS])
def test_other_timeouts_are_refused(value: str) -> None:
    assert "from 0.001 to 10." in problem({"REVOCATION_TIMEOUT": value})


@pytest.mark.parametrize("value", ["true", "yes", "2", "01", " "])
def test_a_flag_is_nought_or_one(value: str) -> None:
    assert problem({"REVOCATION_ALLOW_EVICTION": value}).endswith("allowed: 0 or 1.")


@pytest.mark.parametrize("value", ["a b", "{a}", "a:b", "x" * 65, "ä", "a\n", "*"])
def test_other_namespaces_are_refused(value: str) -> None:
    assert "1 to 64 letters" in problem({"REVOCATION_NAMESPACE": value})


@pytest.mark.parametrize(
    "url",
    [
        "embedded",
        "redis://localhost",
        "redis://localhost:6379/0",
        "redis://:s3cret@redis:6379/15",
        "redis://app:p%40ss%2F@redis_1.internal",
        "redis://[::1]:6379",
        "rediss://app@10.0.0.1:6380/0?ssl_ca_certs=/etc/ca.pem",
        "unix:///run/redis/redis.sock",
        "unix://app:s3cret@/run/redis.sock?db=2",
        "redis+sentinel://s1:26379,s2:26379,s3:26379/primary",
        "redis+sentinel://:s3cret@s1:26379/primary/0",
        "redis+cluster://n1:7000,n2:7000",
        "redis+cluster://app:s3cret@[fd00::1]:7000/",
    ],
)
def test_redis_urls_that_are_accepted(url: str) -> None:
    assert RevocationSettings.from_mapping({"REVOCATION_REDIS_URL": url}).redis_url == url


@pytest.mark.parametrize(
    "url",
    [
        *(
            "Embedded",
            "memory://",
            "embedded://",
            "localhost",
            "localhost:6379",
            "http://h",
            "REDIS://h",
            "tcp://h",
            "://",
        ),
        *(
            "redis://",
            "redis://:s3cret",
            "redis://h:0",
            "redis://h:65536",
            "redis://h:x",
            "redis://h/x",
            "redis://h/0/1",
        ),
        *(
            "redis://a,b",
            "redis://h#1",
            "redis://:s3#cret@h",
            "redis://:s3/cret@h",
            "redis://:s3?cret@h",
            "redis://h ",
            "redis://[::1",
        ),
        *("unix://", "unix://relative", "unix:///" + "x" * 107, "redis+sentinel://s1,s2", "redis+sentinel://s1,s2/"),
        *(
            "redis+sentinel:///primary",
            "redis+cluster://",
            "redis+cluster://n1,",
            "redis+cluster://n1/0",
            "redis://h\n",
        ),
        *("redis://\ud800@h", "unix:///x\ud800", "redis://h\0", "redis://:s3@cret@h/x"),
    ],
)
def test_other_redis_urls_are_refused_without_their_secrets(url: str) -> None:
    told = problem({"REVOCATION_REDIS_URL": url})

    assert told.startswith("REVOCATION_REDIS_URL is ")
    for part in ("s3cret", "s3#", "s3/", "s3?", "s3@", "cret"):
        assert part not in told
    told.encode()


@pytest.mark.parametrize("word", ["embedded", "memory"])
def test_a_single_store_has_no_replicas_to_wait_for(word: str) -> None:
    told = problem({"REVOCATION_REDIS_URL": word, "REVOCATION_MIN_REPLICAS": "1", "APP_WORKERS": "1"})

    assert told.startswith("REVOCATION_MIN_REPLICAS is 1, but REVOCATION_REDIS_URL=" + word)


def test_memory_is_for_one_worker() -> None:
    assert "APP_WORKERS=1" in problem({"REVOCATION_REDIS_URL": "memory"})
    assert Settings.from_mapping({"REVOCATION_REDIS_URL": "memory", "APP_WORKERS": "1"}).workers == 1


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("plain text", "plain text"),
        ("redis://h:6379/0", "redis://h:6379/0"),
        ("redis://u:p@h:6379/0", "redis://***@h:6379/0"),
        ("redis://u@h", "redis://***@h"),
        ("redis://:p@ss@h", "redis://***@h"),
        ("redis://:p/ss@h/0", "redis://***@h/0"),
        ("redis://:p#ss@h", "redis://***"),
        ("redis://:secret", "redis://***"),
        ("redis://h/0?password=secret", "redis://h/0?***"),
        ("redis://h?password=sec@ret", "redis://h?***"),
        ("redis+sentinel://u:p@a:1,b:2/svc", "redis+sentinel://***@a:1,b:2/svc"),
        ("unix://u:p@/run/x.sock", "unix://***@/run/x.sock"),
        ("rediss://u:p@[::1]:1/0", "rediss://***@[::1]:1/0"),
        (":p@h:6379", "***"),
        ("redis:/:p@h", "***"),
        ("it's secret://x y", "***"),
    ],
)
def test_a_url_is_shown_without_its_secrets(value: str, shown: str) -> None:
    assert redact(value) == shown


@given(
    st.text(st.characters(), min_size=1, max_size=20),
    st.sampled_from(["redis", "rediss", "unix", "redis+cluster", "x"]),
)
def test_no_password_however_it_is_written_gets_into_a_message(password: str, scheme: str) -> None:
    marked = f"s3cret{password}s3cret"

    with pytest.raises(ConfigurationError) as caught:
        RevocationSettings.from_mapping({"REVOCATION_REDIS_URL": f"{scheme}://app:{marked}@h:99999"})

    assert "s3cret" not in str(caught.value)


@given(
    st.sampled_from(
        sorted(
            {
                "REVOCATION_REDIS_URL",
                "REVOCATION_TIMEOUT",
                "APP_BIND",
                "APP_ISSUER",
                "APP_DATABASE_URL",
                "APP_DATA_DIR",
                "APP_AUDIENCE",
            }
        )
    ),
    st.text(st.characters(), max_size=60),
)
def test_any_value_is_accepted_or_a_problem(name: str, value: str) -> None:
    told: tuple[str, ...] = ()
    try:
        Settings.from_mapping({name: value})
    except ConfigurationError as error:
        told = error.problems

    assert all(text.isprintable() for text in told)


@pytest.mark.parametrize("bind", ["127.0.0.1:8000", "127.9.9.9:1", "localhost:65535", "[::1]:8000"])
def test_the_issuer_follows_from_an_address_on_this_machine(bind: str) -> None:
    settings = Settings.from_mapping({"APP_BIND": bind})

    assert (settings.bind, settings.issuer, settings.audience) == (bind, f"http://{bind}", f"http://{bind}")


@pytest.mark.parametrize(
    "bind",
    [
        "0.0.0.0:8000",
        "[::]:8000",
        "10.0.0.1:8000",
        "auth.internal:80",
        "127.0.0.1:0",
        "unix:app.sock",
        "unix:/run/a.sock",
    ],
)
def test_where_clients_need_another_address_the_issuer_must_be_set(bind: str) -> None:
    assert problem({"APP_BIND": bind}).startswith("APP_ISSUER is not set")
    assert Settings.from_mapping({"APP_BIND": bind, "APP_ISSUER": "https://auth.example"}).bind == bind


@pytest.mark.parametrize(
    "bind",
    [
        *(
            "8000",
            "localhost",
            ":8000",
            "*:8000",
            "127.0.0.1:",
            "127.0.0.1:x",
            "127.0.0.1:65536",
            "127.0.0.1:-1",
            "::1:8000",
        ),
        *("[::1]", "[::g]:80", "[1.2.3.4]:80", "http://127.0.0.1:80", "unix:", "unix:///run/x", "unix:" + "x" * 108),
        *("unix:\ud800", "127.0.0.1:80\n", "fd://3"),
    ],
)
def test_other_addresses_are_refused(bind: str) -> None:
    assert problem({"APP_BIND": bind}).startswith("APP_BIND is ")


@pytest.mark.parametrize(
    "issuer",
    [
        *("https://auth.example", "https://auth.example:8443/tenant1", "https://10.0.0.1", "https://[2001:db8::1]"),
        *("http://localhost", "http://localhost:8000", "http://127.1.2.3:80/x", "http://[::1]:8000"),
    ],
)
def test_issuers_that_are_accepted(issuer: str) -> None:
    assert Settings.from_mapping({"APP_ISSUER": issuer}).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        *(
            "auth.example",
            "ftp://auth.example",
            "https://",
            "https:///x",
            "http://auth.example",
            "http://10.0.0.1",
            "http://0.0.0.0",
        ),
        *(
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://[::2]",
            "https://a?",
            "https://a?b=c",
            "https://a#",
        ),
        *(
            "https://a#b",
            "https://a/",
            "https://u:s3cret@a",
            "https://a b",
            "https://a\n",
            "https://ä",
            "https://a:99999",
            "https://a:",
        ),
        *("https://[::1", "http://localhost@evil.example", "http://evil.example\\@localhost", "https://" + "x" * 300),
    ],
)
def test_other_issuers_are_refused(issuer: str) -> None:
    told = problem({"APP_ISSUER": issuer})

    assert told.startswith("APP_ISSUER is ")
    assert "s3cret" not in told


def test_directories_and_database_follow_the_data_directory() -> None:
    settings = Settings.from_mapping({"APP_DATA_DIR": "some where/data?"})

    assert settings.keys_dir == Path("some where/data?/keys")
    assert repr(Database(settings.database_url)) == "Database('sqlite:///some where/data%3F/app.sqlite3')"


@pytest.mark.parametrize(
    "url", ["mysql://u:s3cret@h/d", "sqlite://", "nonsense", "postgresql://u:s3cret@h:x/d", "sqlite:///x\n"]
)
def test_other_databases_are_refused(url: str) -> None:
    told = problem({"APP_DATABASE_URL": url})

    assert "allowed: sqlite:///path/of/file" in told
    assert "s3cret" not in told


@pytest.mark.parametrize("password", ["s3cret", "s3cret\ud800\ud800", "s3cret" * 200])
def test_an_admin_password_that_is_none_is_refused_and_not_repeated(password: str) -> None:
    told = problem({"APP_ADMIN_PASSWORD": password})

    assert "8 to 1024 characters" in told
    assert "s3cret" not in told


def test_only_gthread_has_threads() -> None:
    for worker_class in ("sync", "gevent"):
        assert Settings.from_mapping({"APP_WORKER_CLASS": worker_class}).threads == 1
        assert "gthread" in problem({"APP_WORKER_CLASS": worker_class, "APP_THREADS": "2"})


def test_a_contradiction_with_a_refused_setting_is_not_told_as_well() -> None:
    assert problem({"REVOCATION_MAX_TOKEN_LIFETIME": "x", "APP_ACCESS_TTL": "90000"}).startswith("REVOCATION_MAX_TOKEN")
    assert problem({"APP_BIND": "x"}).startswith("APP_BIND")


def test_settings_are_read_without_the_metrics_library() -> None:
    # Prometheus decides on import whether several processes share their figures, and settings come before that.
    script = "import sys, app.settings; print(sorted(name for name in sys.modules if 'prometheus' in name))"

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == "[]"
