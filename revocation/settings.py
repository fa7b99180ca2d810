"""What the library is told by its environment, read once and refused all problems at once."""

import difflib
import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from revocation.claims import ClaimNames
from revocation.defaults import (
    DAY_SECONDS,
    LEEWAY_SECONDS,
    MARGIN_SECONDS,
    SESSION_SECONDS,
    TIMEOUT_SECONDS,
    TOKEN_SECONDS,
)
from revocation.denylist import Denylist, Lifetimes
from revocation.errors import ConfigurationError, RevocationError
from revocation.guard import Decision, Guard, Verifying
from revocation.handle_kinds import HandleKinds
from revocation.key_directory import KeyDirectory
from revocation.keys import KeySet, KeySource
from revocation.redis.url import RedisUrl, redact
from revocation.verifier import TokenVerifier

if TYPE_CHECKING:
    from revocation.redis.denylist import RedisDenylist

_SHOWN_CHARACTERS = 100

# No exponents, underscores, signs or non-ASCII digits: what float() accepts is wider than what people mean.
_INTEGER = re.compile(r"[0-9]{1,15}")
_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?|\.[0-9]{1,15}")
_NAMESPACE = re.compile(r"[A-Za-z0-9_.-]{1,64}")

#: What the command `revocation` reads besides, and everybody else leaves alone: they may share an environment.
_COMMAND_SETTINGS = frozenset(["REVOCATION_SESSION_LIFETIME"])

#: In the place of a JWKS document: the one to which the metadata of the issuer leads.
DISCOVER: Final = "discover"

_REDIS_WORDS = ("embedded", "memory")

#: The embedded store of the service that runs in a directory.
_EMBEDDED_IN = re.compile(r"embedded:(?!//)[^\x00-\x1f]+")

# Kubernetes and Docker put the addresses of a service named "app" into every container's environment.
_SERVICE_LINK = re.compile(
    r"[A-Z0-9_]+_(?:SERVICE_HOST|SERVICE_PORT(?:_[A-Z0-9_]+)?|PORT_[0-9]+_(?:TCP|UDP)(?:_[A-Z]+)?)"
)
_SERVICE_LINK_VALUE = re.compile(r"(?:tcp|udp)://[0-9a-fA-F.:\[\]]+")


class SettingsReader:
    """Reads settings from a mapping and keeps every problem, so that all of them are told together.

    A value that is refused is replaced by its default, so that reading goes on; nobody gets to see it, because
    `finish` raises.
    """

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._known: list[str] = []
        self._refused: set[str] = set()
        self._problems: list[str] = []

    def value(self, name: str, *, empty_is_unset: bool = False) -> str | None:
        """What is set under this name, or None. Empty is a problem: `NAME=$TYPO` must not quietly mean the default."""
        self._known.append(name)
        value = self._env.get(name)
        if value:
            return value
        if value is not None and not empty_is_unset:
            self._refused.add(name)
            self._problems.append(f"{name} is empty; unset it to have the default, or give it a value.")
        return None

    def refuse(self, name: str, *, allowed: str, secret: bool = False) -> None:
        """Note that the value set under this name is not allowed, and what is."""
        self._refused.add(name)
        shown = "set to something else" if secret else _shown(self._env.get(name, ""))
        self._problems.append(f"{name} is {shown}; allowed: {allowed}.")

    def conflict(self, problem: str, *names: str) -> None:
        """Note that settings contradict each other, unless one of them is refused anyway."""
        if self._refused.isdisjoint(names):
            self._refused.update(names[:1])
            self._problems.append(problem)

    def integer(self, name: str, default: int, *, low: int, high: int, unit: str = "") -> int:
        value = self.value(name)
        if value is None:
            return default
        if _INTEGER.fullmatch(value) and low <= int(value) <= high:
            return int(value)
        self.refuse(name, allowed=f"a whole number{unit and ' of ' + unit} from {low} to {high}")
        return default

    def number(self, name: str, default: float, *, low: float, high: float, or_words: Sequence[str] = ()) -> float:
        """A number of seconds within bounds, or one of the words beyond them that `float` understands, such as inf."""
        value = self.value(name)
        if value is None:
            return default
        if value in or_words or _NUMBER.fullmatch(value):
            number = float(value)
            if low <= number <= high or number in map(float, or_words):
                return number
        words = "".join(f"{word}, " for word in or_words[:-1]) + "".join(f"{word} or " for word in or_words[-1:])
        self.refuse(name, allowed=f"{words}a number of seconds from {low} to {high}")
        return default

    def flag(self, name: str) -> bool:
        """0 or 1, 0 unless set."""
        return self.choice(name, "0", choices=("0", "1")) == "1"

    def choice(self, name: str, default: str, *, choices: Sequence[str]) -> str:
        value = self.value(name)
        if value is None or value in choices:
            return value or default
        self.refuse(name, allowed=f"{', '.join(choices[:-1])} or {choices[-1]}")
        return default

    def text(self, name: str, default: str, *, pattern: re.Pattern[str], allowed: str) -> str:
        value = self.value(name)
        if value is None or pattern.fullmatch(value):
            return value or default
        self.refuse(name, allowed=allowed)
        return default

    def finish(self, *prefixes: str) -> None:
        """Raise ConfigurationError with everything noted, and with the names under these prefixes that nobody read."""
        for prefix in prefixes:
            known = sorted(name for name in self._known if name.startswith(prefix))
            for name in sorted(self._env):
                if name.startswith(prefix) and name not in known and not self._is_of_others(name):
                    close = difflib.get_close_matches(name, known, 1)
                    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}."
                    self._problems.append(f"{_shown(name)[1:-1]} is not a setting; {hint}")
        if self._problems:
            raise ConfigurationError(self._problems)

    def _is_of_others(self, name: str) -> bool:
        by_value = name.endswith("_PORT") and _SERVICE_LINK_VALUE.fullmatch(self._env[name])
        return bool(name in _COMMAND_SETTINGS or by_value or _SERVICE_LINK.fullmatch(name))


#: Which variable each field of RevocationSettings is read from.
VARIABLES: Final = {
    "redis_url": "REVOCATION_REDIS_URL",
    "max_staleness": "REVOCATION_MAX_STALENESS",
    "timeout_seconds": "REVOCATION_TIMEOUT",
    "namespace": "REVOCATION_NAMESPACE",
    "leeway_seconds": "REVOCATION_LEEWAY",
    "session_lifetime_seconds": "REVOCATION_SESSION_LIFETIME",
    "margin_seconds": "REVOCATION_MARGIN",
    "max_token_lifetime_seconds": "REVOCATION_MAX_TOKEN_LIFETIME",
    "min_replicas": "REVOCATION_MIN_REPLICAS",
    "allow_eviction": "REVOCATION_ALLOW_EVICTION",
    "token_cache_size": "REVOCATION_TOKEN_CACHE_SIZE",
    "handles": "REVOCATION_HANDLES",
    "issuer": "REVOCATION_ISSUER",
    "audience": "REVOCATION_AUDIENCE",
    "keys_dir": "REVOCATION_KEYS_DIR",
    "jwks": "REVOCATION_JWKS",
    "jwks_ca_file": "REVOCATION_JWKS_CA_FILE",
    "jwks_proxy": "REVOCATION_JWKS_PROXY",
}


def with_variables(error: RevocationError, *, variables: Mapping[str, str] = VARIABLES) -> str:
    """The message of an error, and the variables that it is about, for whoever has read the settings from them."""
    names = ", ".join(variables[name] for name in error.settings)
    return f"{error} ({names})" if names else str(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class RevocationSettings:
    """How the deny-list is reached and how tokens are judged.

    Here, and nowhere else, settings become a deny-list, a verifier and a guard.
    """

    #: embedded, memory, or the URL of Redis. May hold a password, so it is not in the repr; show `redact(redis_url)`.
    redis_url: str = field(default="embedded", repr=False)
    #: How old knowledge of revocations may be: 0 always asks, inf never does.
    max_staleness: float = 1.0
    timeout_seconds: float = TIMEOUT_SECONDS
    namespace: str = "denylist"
    leeway_seconds: int = LEEWAY_SECONDS
    margin_seconds: int = MARGIN_SECONDS
    #: None: what an open deny-list says, and a day where this process opens it.
    max_token_lifetime_seconds: int | None = None
    min_replicas: int = 0
    allow_eviction: bool = False
    token_cache_size: int = 10_000
    #: The claims of one's own by which tokens are revoked.
    handles: HandleKinds = HandleKinds()  # noqa: RUF009 (it cannot be changed)
    #: Whose tokens a verifier takes, where the application does not say so itself.
    issuer: str | None = None
    audience: tuple[str, ...] = ()
    keys_dir: str | None = None
    #: A file, an https URL, or `discover`.
    jwks: str | None = None
    jwks_ca_file: str | None = None
    #: May hold a password, so it is not in the repr.
    jwks_proxy: str | None = field(default=None, repr=False)

    @classmethod
    def from_mapping(cls, env: Mapping[str, str]) -> Self:
        """The settings in REVOCATION_* of a mapping such as os.environ; ConfigurationError names every problem."""
        reader = SettingsReader(env)
        settings = cls.read(reader)
        reader.finish("REVOCATION_")
        return settings

    @classmethod
    def read(cls, reader: SettingsReader) -> Self:
        """The same for an application that reads more than these, and calls `reader.finish` itself."""
        default = cls()
        settings = cls(
            redis_url=_read_redis_url(reader, "REVOCATION_REDIS_URL"),
            max_staleness=reader.number(
                "REVOCATION_MAX_STALENESS", default.max_staleness, low=0.001, high=DAY_SECONDS, or_words=("0", "inf")
            ),
            timeout_seconds=reader.number("REVOCATION_TIMEOUT", default.timeout_seconds, low=0.001, high=10),
            namespace=reader.text(
                "REVOCATION_NAMESPACE",
                default.namespace,
                pattern=_NAMESPACE,
                allowed="1 to 64 letters, digits, '.', '_' and '-'",
            ),
            leeway_seconds=reader.integer("REVOCATION_LEEWAY", default.leeway_seconds, low=0, high=300, unit="seconds"),
            margin_seconds=reader.integer(
                "REVOCATION_MARGIN", default.margin_seconds, low=0, high=3600, unit="seconds"
            ),
            max_token_lifetime_seconds=reader.integer(
                "REVOCATION_MAX_TOKEN_LIFETIME", 0, low=1, high=31 * DAY_SECONDS, unit="seconds"
            )
            or None,
            min_replicas=reader.integer("REVOCATION_MIN_REPLICAS", default.min_replicas, low=0, high=10),
            allow_eviction=reader.flag("REVOCATION_ALLOW_EVICTION"),
            token_cache_size=reader.integer(
                "REVOCATION_TOKEN_CACHE_SIZE", default.token_cache_size, low=0, high=1_000_000, unit="tokens"
            ),
            handles=_read_handles(reader, "REVOCATION_HANDLES"),
            issuer=reader.value("REVOCATION_ISSUER"),
            audience=tuple((reader.value("REVOCATION_AUDIENCE") or "").split()),
            keys_dir=reader.value("REVOCATION_KEYS_DIR"),
            jwks=_read_jwks(reader, "REVOCATION_JWKS"),
            jwks_ca_file=reader.value("REVOCATION_JWKS_CA_FILE"),
            jwks_proxy=reader.value("REVOCATION_JWKS_PROXY"),
        )
        if settings.jwks == DISCOVER and settings.issuer is None:
            reader.conflict(
                "REVOCATION_JWKS is discover, but there is no REVOCATION_ISSUER whose metadata could be read.",
                "REVOCATION_JWKS",
                "REVOCATION_ISSUER",
            )
        if settings.jwks and settings.keys_dir:
            reader.conflict(
                "REVOCATION_JWKS and REVOCATION_KEYS_DIR are both set; set the one that has the keys.",
                "REVOCATION_JWKS",
                "REVOCATION_KEYS_DIR",
            )
        if settings.min_replicas and settings.redis_url.partition(":")[0] in _REDIS_WORDS:
            reader.conflict(
                f"REVOCATION_MIN_REPLICAS is {settings.min_replicas}, but REVOCATION_REDIS_URL={settings.redis_url} "
                "has no replicas: no revocation could ever be acknowledged. Set it to 0, or name a replicated Redis.",
                "REVOCATION_MIN_REPLICAS",
                "REVOCATION_REDIS_URL",
            )
        return settings

    def longest_token_seconds(self, *, own_token_seconds: int = 0) -> int:
        """The longest life of a token that a verifier takes; one that mints takes its own."""
        return self.max_token_lifetime_seconds or max(TOKEN_SECONDS, own_token_seconds)

    def lifetimes(self, *, longest_session_seconds: int = 0, own_token_seconds: int = 0) -> Lifetimes:
        """What this process accepts, and its wish where it opens the deny-list.

        Where the settings say nothing of tokens, the wish is what the process mints itself (0: a day); a session life
        of 0 seconds is the default of 30 days.
        """
        return Lifetimes(
            max_token_seconds=self.max_token_lifetime_seconds or own_token_seconds or TOKEN_SECONDS,
            leeway_seconds=self.leeway_seconds,
            margin_seconds=self.margin_seconds,
            session_seconds=longest_session_seconds or SESSION_SECONDS,
        )

    def denylist(
        self,
        *,
        longest_session_seconds: int = 0,
        own_session_seconds: int = 0,
        own_token_seconds: int = 0,
        wait_seconds: float = 0.0,
        timeout_seconds: float | None = None,
        decides: bool = True,
    ) -> "RedisDenylist":
        """The deny-list at `redis_url`. It asks nothing yet. `timeout_seconds` stands in for that of the settings.

        See RedisDenylist for the other arguments; `longest_session_seconds` is that of `lifetimes`.
        """
        from revocation.redis.connect import connect
        from revocation.redis.denylist import RedisDenylist

        return RedisDenylist(
            connect(
                self.redis_url, timeout_seconds=self.timeout_seconds if timeout_seconds is None else timeout_seconds
            ),
            namespace=self.namespace,
            lifetimes=self.lifetimes(
                longest_session_seconds=longest_session_seconds or own_session_seconds,
                own_token_seconds=own_token_seconds,
            ),
            allow_eviction=self.allow_eviction,
            wait_seconds=wait_seconds,
            min_replicas=self.min_replicas,
            own_token_seconds=own_token_seconds if self.max_token_lifetime_seconds is None else None,
            own_session_seconds=own_session_seconds,
            handles=self.handles,
            decides=decides,
        )

    def keys(self) -> KeySource:
        """The keys of the issuer of these settings. Raises ConfigurationError where they name none, or none that exist.

        Nothing is asked over a network yet.
        """
        if self.jwks is None and self.keys_dir is None:
            raise ConfigurationError("the settings name no keys", settings=("keys_dir", "jwks"))
        if self.jwks is None:
            return KeyDirectory(str(self.keys_dir))
        if self.jwks != DISCOVER and not _is_url(self.jwks):
            return _jwks_file(self.jwks)
        from revocation.remote_keys import RemoteKeys

        discover = self.jwks == DISCOVER
        return RemoteKeys(
            None if discover else self.jwks,
            issuer=self.issuer if discover else None,
            ca_file=self.jwks_ca_file,
            proxy=self.jwks_proxy,
        )

    def verifier(
        self,
        keys: KeySource | None = None,
        *,
        issuer: str | None = None,
        audience: str | Sequence[str] | None = (),
        token_types: Sequence[str | None] = ("at+jwt",),
        required_claims: Mapping[str, str | Collection[str]] | None = None,
        names: ClaimNames | None = None,
        require_iss: bool = True,
        require_jti: bool = True,
        integer_subject: bool = False,
        iat_tolerance_seconds: float | None = None,
        own_token_seconds: int = 0,
    ) -> TokenVerifier:
        """A verifier with the bounds of these settings, and with their keys, issuer and audience unless given.

        The tolerance is 0 for tokens whose `iat` is Redis' time; see TokenVerifier for the rest. Raises
        ConfigurationError that names every setting that is missing.
        """
        chosen_issuer = issuer or self.issuer
        chosen_audience = self.audience if audience == () else audience
        missing = [
            *(["issuer"] if chosen_issuer is None else []),
            *(["audience"] if chosen_audience == () else []),
            *(["keys_dir", "jwks"] if keys is None and self.jwks is None and self.keys_dir is None else []),
        ]
        if chosen_issuer is None or missing:
            raise ConfigurationError(
                "say which tokens are good: by their issuer, an audience, and keys in a directory or a JWKS document",
                settings=missing,
            )
        return TokenVerifier(
            self.keys() if keys is None else keys,
            issuer=chosen_issuer,
            audience=chosen_audience,
            leeway_seconds=self.leeway_seconds,
            max_lifetime_seconds=self.longest_token_seconds(own_token_seconds=own_token_seconds),
            token_types=token_types,
            required_claims=required_claims,
            names=names,
            require_iss=require_iss,
            require_jti=require_jti,
            integer_subject=integer_subject,
            iat_tolerance_seconds=iat_tolerance_seconds,
            cache_size=self.token_cache_size,
        )

    def guard(
        self,
        verifier: Verifying,
        denylist: Denylist,
        *,
        bounds: Iterable[float] = (),
        on_decision: Callable[[Decision], None] | None = None,
    ) -> Guard:
        """A guard with the bound of these settings; `bounds` are those of routes that have one of their own."""
        return Guard(verifier, denylist, max_staleness=self.max_staleness, bounds=bounds, on_decision=on_decision)


def _read_redis_url(reader: SettingsReader, name: str) -> str:
    url = reader.value(name)
    if url is None:
        return "embedded"
    if url in _REDIS_WORDS or _EMBEDDED_IN.fullmatch(url):
        return url
    try:
        RedisUrl.parse(url)
    except ValueError as error:
        reader.refuse(name, allowed=str(error))
    return url


def _read_handles(reader: SettingsReader, name: str) -> HandleKinds:
    try:
        return HandleKinds.parse(reader.value(name) or "")
    except ConfigurationError as error:
        reader.refuse(name, allowed=f"kinds and their claims, such as org=org_id device*=cnf.jkt: {error}")
        return HandleKinds()


def _is_url(jwks: str) -> bool:
    return "://" in jwks


def _read_jwks(reader: SettingsReader, name: str) -> str | None:
    value = reader.value(name)
    if value is not None and _is_url(value) and not value.startswith("https://"):
        reader.refuse(name, allowed="a file, an https URL, or discover")
    return value


def _jwks_file(path: str) -> KeySet:
    try:
        return KeySet.from_jwks(json.loads(Path(path).read_bytes()))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not a JWKS document: {error}", settings=("jwks",)) from error


def _shown(value: str) -> str:
    value = redact(value)
    return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}...")
