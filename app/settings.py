"""Settings: how the environment sets the service. All wrong settings are named together."""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import sqlalchemy as sa

from app.database import DATABASE_URLS, InvalidValueError, parse_database_url
from app.passwords import MAX_CHARACTERS, MIN_CHARACTERS, check_form
from app.throttle import Bounds
from revocation.defaults import DAY_SECONDS
from revocation.loopback import is_loopback
from revocation.settings import VARIABLES as REVOCATION_VARIABLES
from revocation.settings import RevocationSettings, SettingsReader

#: Which variable a setting of the library is read from here: the service's own sessions have a life of their own.
VARIABLES = REVOCATION_VARIABLES | {
    "session_lifetime_seconds": "APP_SESSION_TTL",
    "max_token_lifetime_seconds": "REVOCATION_MAX_TOKEN_LIFETIME, by default APP_ACCESS_TTL",
}

_HIGHEST_PORT = 65_535
_MOST_GUESSES = 1_000_000
_SOCKET_PATH_BYTES = 107  # sun_path holds 108 with its NUL

_BIND = re.compile(r"(?P<host>[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\]):(?P<port>[0-9]{1,5})")
_ISSUER = re.compile(r"(?P<scheme>https?)://[!-~]{1,245}")
#: Flask-CORS would take brackets, as in IPv6 addresses, for a regular expression.
_ORIGIN = re.compile(r"https?://[a-z0-9_-]+(?:\.[a-z0-9_-]+)*(?::[0-9]{1,5})?")
_AUDIENCE = re.compile(r"[!-~]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How the service runs. Secrets are not in the repr."""

    revocation: RevocationSettings
    #: host:port, [address]:port or unix:path, as gunicorn takes it.
    bind: str
    workers: int
    worker_class: str
    threads: int
    issuer: str
    audience: str
    algorithm: str
    data_dir: Path
    keys_dir: Path
    #: An SQLAlchemy URL for `Database`; may hold a password.
    database_url: str = field(repr=False)
    access_ttl_seconds: int
    #: How long a session may be idle; session_ttl_seconds is how long it may live.
    refresh_ttl_seconds: int
    session_ttl_seconds: int
    refresh_grace_seconds: int
    #: How many failures to sign in are too many; those of clients are counted apart, by the same bounds.
    guesses: Bounds
    #: For the first start; None to have one made up.
    admin_password: str | None = field(repr=False)
    #: How long the audit trail keeps a record; 0: for ever.
    audit_retention_seconds: int
    #: Whether sign-ins are written into the audit trail.
    audit_sign_ins: bool
    #: How many proxies stand in front: that many hops of X-Forwarded-* are believed.
    trusted_proxies: int
    #: How long the service goes on after SIGTERM, for load balancers to notice that it is not ready any more.
    drain_seconds: int
    #: The origins whose pages may call /auth, /oauth and /api, as browsers write them.
    cors_origins: tuple[str, ...]

    @property
    def key_keep_seconds(self) -> int:
        """For how long a key is kept once another one signs: until the last token that it signed is dead."""
        library = self.revocation
        longest = library.longest_token_seconds(own_token_seconds=self.access_ttl_seconds)
        return longest + 2 * library.leeway_seconds + library.margin_seconds

    @property
    def is_embedded(self) -> bool:
        """Whether the service brings its own store: for one machine, and to try it out."""
        return self.revocation.redis_url == "embedded"

    @classmethod
    def from_mapping(cls, env: Mapping[str, str]) -> Self:
        """The settings in APP_* and REVOCATION_* of a mapping such as os.environ.

        Raises ConfigurationError with every problem: wrong values, names nobody knows, and contradictions.
        """
        reader = SettingsReader(env)
        revocation = RevocationSettings.read(reader)
        bind = _read_bind(reader)
        issuer = _read_issuer(reader, bind=bind)
        worker_class = reader.choice("APP_WORKER_CLASS", "gthread", choices=("sync", "gthread", "gevent"))
        data_dir = _read_directory(reader, "APP_DATA_DIR", Path(".data"))
        settings = cls(
            revocation=revocation,
            bind=bind,
            workers=reader.integer("APP_WORKERS", 2, low=1, high=256),
            worker_class=worker_class,
            threads=reader.integer("APP_THREADS", 4 if worker_class == "gthread" else 1, low=1, high=256),
            issuer=issuer,
            audience=reader.text(
                "APP_AUDIENCE", issuer, pattern=_AUDIENCE, allowed="1 to 255 printable ASCII characters, no spaces"
            ),
            algorithm=reader.choice("APP_ALGORITHM", "ES256", choices=("ES256", "RS256", "EdDSA", "HS256")),
            data_dir=data_dir,
            keys_dir=_read_directory(reader, "APP_KEYS_DIR", data_dir / "keys"),
            database_url=_read_database_url(reader, data_dir=data_dir),
            access_ttl_seconds=reader.integer("APP_ACCESS_TTL", 900, low=1, high=31 * DAY_SECONDS, unit="seconds"),
            refresh_ttl_seconds=reader.integer(
                "APP_REFRESH_TTL", 14 * DAY_SECONDS, low=1, high=366 * DAY_SECONDS, unit="seconds"
            ),
            session_ttl_seconds=reader.integer(
                "APP_SESSION_TTL", 30 * DAY_SECONDS, low=1, high=366 * DAY_SECONDS, unit="seconds"
            ),
            refresh_grace_seconds=reader.integer("APP_REFRESH_GRACE", 10, low=0, high=60, unit="seconds"),
            guesses=_read_guesses(reader),
            admin_password=_read_admin_password(reader),
            audit_retention_seconds=reader.integer(
                "APP_AUDIT_RETENTION", 365 * DAY_SECONDS, low=0, high=100 * 366 * DAY_SECONDS, unit="seconds"
            ),
            audit_sign_ins=reader.flag("APP_AUDIT_SIGN_INS"),
            trusted_proxies=reader.integer("APP_TRUSTED_PROXIES", 0, low=0, high=10),
            drain_seconds=reader.integer("APP_DRAIN_SECONDS", 5, low=0, high=600, unit="seconds"),
            cors_origins=_read_origins(reader),
        )
        settings._note_conflicts(reader)
        reader.finish("APP_", "REVOCATION_")
        return settings

    def _note_conflicts(self, reader: SettingsReader) -> None:
        lifetime = self.revocation.max_token_lifetime_seconds
        if lifetime is not None and self.access_ttl_seconds > lifetime:
            reader.conflict(
                f"APP_ACCESS_TTL is {self.access_ttl_seconds}, longer than REVOCATION_MAX_TOKEN_LIFETIME, {lifetime}: "
                "the service would refuse its own tokens. Shorten the one or lengthen the other.",
                "APP_ACCESS_TTL",
                "REVOCATION_MAX_TOKEN_LIFETIME",
            )
        if self.refresh_ttl_seconds > self.session_ttl_seconds:
            reader.conflict(
                f"APP_REFRESH_TTL is {self.refresh_ttl_seconds}, longer than APP_SESSION_TTL, "
                f"{self.session_ttl_seconds}: a session cannot be idle for longer than it may live. Shorten the one or "
                "lengthen the other.",
                "APP_REFRESH_TTL",
                "APP_SESSION_TTL",
            )
        if self.revocation.redis_url == "memory" and self.workers > 1:
            reader.conflict(
                f"REVOCATION_REDIS_URL is memory, which is another one in every process, but APP_WORKERS is "
                f"{self.workers}: a revocation would be known to one worker. Set APP_WORKERS=1, or use embedded or a "
                "Redis.",
                "REVOCATION_REDIS_URL",
                "APP_WORKERS",
            )
        if self.worker_class != "gthread" and self.threads > 1:
            reader.conflict(
                f"APP_THREADS is {self.threads}, but only gthread has threads, and APP_WORKER_CLASS is "
                f"{self.worker_class}: gunicorn would ignore the one or the other. Unset APP_THREADS, or use gthread.",
                "APP_THREADS",
                "APP_WORKER_CLASS",
            )


def _read_bind(reader: SettingsReader) -> str:
    default = "127.0.0.1:8000"
    value = reader.value("APP_BIND")
    if value is None:
        return default
    if value.startswith("unix:"):
        path = value.removeprefix("unix:")
        if path.isprintable() and not path.startswith("//") and 1 <= len(path.encode()) <= _SOCKET_PATH_BYTES:
            return value
    elif (match := _BIND.fullmatch(value)) and int(match["port"]) <= _HIGHEST_PORT and _is_host(match["host"]):
        return value
    reader.refuse(
        "APP_BIND",
        allowed=f"host:port, [address]:port or unix:path, a port up to {_HIGHEST_PORT}, a path up to 107 bytes",
    )
    return default


def _read_issuer(reader: SettingsReader, *, bind: str) -> str:
    value = reader.value("APP_ISSUER")
    if value is None:
        if not _is_address_of_ours(bind):
            reader.conflict(
                f"APP_ISSUER is not set, and it cannot follow from APP_BIND={bind}: clients need another address. "
                "Set it to the URL that they use, such as https://auth.example.",
                "APP_ISSUER",
                "APP_BIND",
            )
        return f"http://{bind}"
    match = _ISSUER.fullmatch(value)
    if not match or not _is_issuer(value):
        reader.refuse(
            "APP_ISSUER",
            allowed="an https URL without user, query, fragment and final slash; http only for localhost, 127.0.0.0/8 "
            "and ::1 (RFC 8414, section 2)",
        )
    return value


def _read_origins(reader: SettingsReader) -> tuple[str, ...]:
    # An empty list counts as unset: a compose file passes it on as ${APP_CORS_ORIGINS:-}.
    value = reader.value("APP_CORS_ORIGINS", empty_is_unset=True)
    origins = tuple(one.strip() for one in (value or "").split(",") if one.strip())
    if not all(_ORIGIN.fullmatch(origin) for origin in origins):
        reader.refuse(
            "APP_CORS_ORIGINS",
            allowed="origins as browsers write them, with commas between: https://app.example,http://localhost:3000",
        )
    return origins


def _read_database_url(reader: SettingsReader, *, data_dir: Path) -> str:
    value = reader.value("APP_DATABASE_URL")
    if value is None:
        url = sa.URL.create("sqlite", database=str(data_dir / "app.sqlite3"))
    else:
        try:
            url = parse_database_url(value)
        except InvalidValueError:
            reader.refuse("APP_DATABASE_URL", allowed=DATABASE_URLS)
            return value
    return url.render_as_string(hide_password=False)


def _read_guesses(reader: SettingsReader) -> Bounds:
    return Bounds(
        window_seconds=reader.integer("APP_GUESSES_WINDOW", 300, low=1, high=DAY_SECONDS, unit="seconds"),
        place=reader.integer("APP_GUESSES_PLACE", 10, low=1, high=_MOST_GUESSES),
        device=reader.integer("APP_GUESSES_DEVICE", 10, low=1, high=_MOST_GUESSES),
        account=reader.integer("APP_GUESSES_ACCOUNT", 300, low=1, high=_MOST_GUESSES),
        address=reader.integer("APP_GUESSES_ADDRESS", 100, low=1, high=_MOST_GUESSES),
    )


def _read_directory(reader: SettingsReader, name: str, default: Path) -> Path:
    value = reader.value(name)
    if value is None:
        return default
    if not value.isprintable():
        reader.refuse(name, allowed="the path of a directory, in printable characters")
        return default
    return Path(value)


def _read_admin_password(reader: SettingsReader) -> str | None:
    # An empty password counts as unset: a compose file passes it on as ${APP_ADMIN_PASSWORD:-}.
    value = reader.value("APP_ADMIN_PASSWORD", empty_is_unset=True)
    if value is not None:
        try:
            check_form(value)
        except InvalidValueError:
            reader.refuse(
                "APP_ADMIN_PASSWORD", allowed=f"{MIN_CHARACTERS} to {MAX_CHARACTERS} characters of Unicode", secret=True
            )
    return value


def _is_host(host: str) -> bool:
    if not host.startswith("["):
        return True
    try:
        return ipaddress.IPv6Address(host[1:-1]) is not None
    except ValueError:
        return False


def _is_address_of_ours(bind: str) -> bool:
    """Whether a client on this machine can use this address as it stands."""
    match = _BIND.fullmatch(bind)
    return match is not None and int(match["port"]) > 0 and is_loopback(match["host"].strip("[]"))


def _is_issuer(url: str) -> bool:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    return (
        bool(parts.hostname)
        and port != 0
        and not parts.netloc.endswith(":")
        and not any(character in url for character in '?#@\\"<>')
        and not url.endswith("/")
        and (parts.scheme == "https" or is_loopback(parts.hostname or ""))
    )
