"""RedisUrl: where Redis is, as whom and how it is reached, read from one URL. Nothing is connected here."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self
from urllib.parse import parse_qsl, unquote

#: `server`: one address. `socket`: a Unix socket. `sentinel`: the primary that Sentinels name. `cluster`: the node of a
#: Redis Cluster that holds the deny-list.
Kind = Literal["server", "socket", "sentinel", "cluster"]

_HIGHEST_PORT: Final = 65_535
_DEFAULT_PORT: Final = 6379
_SOCKET_PATH_BYTES: Final = 107  # sun_path holds 108 with its NUL; connecting to a longer one fails

_HOST: Final = r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])"
_PORT: Final = r":[0-9]{1,5}"
_HOSTS: Final = rf"(?P<hosts>{_HOST}{_PORT}(?:,{_HOST}{_PORT})*)"
_CREDENTIALS: Final = r"(?:(?P<username>[^:/?#\[\]\s]*)(?::(?P<password>[^/?#\[\]\s]*))?@)?"
_QUERY: Final = r"(?:\?(?P<query>[^#\s]*))?"

_SERVER: Final = rf"{_CREDENTIALS}(?P<hosts>{_HOST}(?:{_PORT})?)(?:/(?P<db>[0-9]{{0,5}}))?{_QUERY}"
_SOCKET: Final = rf"{_CREDENTIALS}(?P<path>/[^?#\s]+){_QUERY}"
_SENTINEL: Final = rf"{_CREDENTIALS}{_HOSTS}/(?P<service>[A-Za-z0-9._-]+)(?:/(?P<db>[0-9]{{1,5}}))?{_QUERY}"
_CLUSTER: Final = rf"{_CREDENTIALS}{_HOSTS}/?{_QUERY}"

#: By scheme: what it reaches, how the rest is written, and how that is told to a person.
_SCHEMES: Final[dict[str, tuple[Kind, re.Pattern[str], str]]] = {
    "redis": ("server", re.compile(_SERVER), "[user:password@]host[:port][/database]"),
    "rediss": ("server", re.compile(_SERVER), "[user:password@]host[:port][/database]"),
    "unix": ("socket", re.compile(_SOCKET), "/path/of/socket, at most 107 bytes long"),
    "redis+sentinel": ("sentinel", re.compile(_SENTINEL), "[user:password@]host:port,host:port/service[/database]"),
    "rediss+sentinel": ("sentinel", re.compile(_SENTINEL), "[user:password@]host:port,host:port/service[/database]"),
    "redis+cluster": ("cluster", re.compile(_CLUSTER), "[user:password@]host:port,host:port"),
    "rediss+cluster": ("cluster", re.compile(_CLUSTER), "[user:password@]host:port,host:port"),
}

#: What a URL may be, for messages.
FORMS: Final = f"embedded, memory, {', '.join(f'{scheme}://' for scheme in _SCHEMES)}"

_ESCAPES: Final = "characters such as / ? # [ in a password are written %2F %3F %23 %5B"

_SHOWN: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)(?P<credentials>[^?#]*@)?"
    rf"(?P<place>(?:{_HOST}(?:{_PORT})?(?:,{_HOST}(?:{_PORT})?)*)?(?:/[A-Za-z0-9._/%~-]*)?)(?P<more>[?#].*)?",
    re.DOTALL,
)


def _number(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text) or not int(text):
        raise ValueError
    return int(text)


def _database(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ValueError
    return int(text)


def _truth(text: str) -> bool:
    try:
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}[text.lower()]
    except KeyError:
        raise ValueError from None


def _text(text: str) -> str:
    if not text:
        raise ValueError
    return text


#: The options after the question mark that every connection may have, and how each of them is read.
_OPTIONS: Final[dict[str, Callable[[str], object]]] = {
    "client_name": _text,
    "db": _database,
    "max_connections": _number,
    "password": _text,
    "username": _text,
}
_SENTINEL_OPTIONS: Final[dict[str, Callable[[str], object]]] = {"sentinel_password": _text, "sentinel_username": _text}
_TLS_OPTIONS: Final[dict[str, Callable[[str], object]]] = {
    "ssl_ca_certs": _text,
    "ssl_ca_path": _text,
    "ssl_certfile": _text,
    "ssl_cert_reqs": _text,
    "ssl_check_hostname": _truth,
    "ssl_ciphers": _text,
    "ssl_exclude_verify_flags": _text,
    "ssl_include_verify_flags": _text,
    "ssl_keyfile": _text,
    "ssl_min_version": _number,
    "ssl_password": _text,
}

#: Options of redis-py that would change the shape of answers, bring retries back, or make other waits.
_DECIDED: Final = (
    *("decode_responses", "driver_info", "encoding", "health_check_interval", "legacy_responses", "parser_class"),
    *("protocol", "retry", "retry_on_error", "retry_on_timeout", "socket_connect_timeout", "socket_keepalive"),
    *("socket_timeout", "timeout"),
)


def redact(value: str) -> str:
    """The URL as it may be shown: without user, password and query; other text as it is.

    >>> redact("redis://default:s3cret@localhost:6379/0?password=s3cret")
    'redis://***@localhost:6379/0?***'
    """
    if "://" not in value and "@" not in value:
        return value
    # Only what is recognised is shown: a password with an unescaped "@" or "/" in it moves all the borders.
    match = _SHOWN.fullmatch(value)
    if match is None:
        scheme, separator, _ = value.partition("://")
        return f"{scheme}://***" if separator and re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]{0,30}", scheme) else "***"
    credentials = "***@" if match["credentials"] else ""
    more = f"{match['more'][0]}***" if match["more"] else ""
    return f"{match['scheme']}{credentials}{match['place']}{more}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisUrl:
    """One URL, understood. What may be secret is not in the repr."""

    kind: Kind
    #: Whether everything is encrypted: the data nodes, and the Sentinels where there are any.
    tls: bool
    #: The hosts that the URL names, with their ports; none for a socket.
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    #: The name by which Sentinels know the primary.
    service: str = ""
    max_connections: int | None = None
    #: How a data node is reached, by the names of redis-py's connections.
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: The same for a Sentinel.
    sentinel_options: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Read the URL. Raises ValueError, which says what is allowed instead and repeats nothing secret."""
        scheme, separator, rest = url.partition("://")
        if not separator or scheme not in _SCHEMES:
            raise ValueError(FORMS)
        kind, pattern, _ = _SCHEMES[scheme]
        match = pattern.fullmatch(rest) if url.isprintable() else None
        if match is None:
            raise ValueError(f"{_form(scheme)}; {_ESCAPES}")
        parts = match.groupdict(default="")
        path = unquote(parts.get("path", ""))
        hosts = _hosts(parts.get("hosts", ""))
        if len(path.encode()) > _SOCKET_PATH_BYTES or not all(1 <= port <= _HIGHEST_PORT for _, port in hosts):
            raise ValueError(f"{_form(scheme)}; {_ESCAPES}")
        options = _options(scheme, parts.get("query", ""))
        for name in ("username", "password", "db"):
            stated = unquote(parts.get(name, ""))
            value = int(stated) if name == "db" and stated else stated
            if stated and options.setdefault(name, value) != value:
                raise ValueError(f"one {name}, not another one after the question mark")
        common = {name: value for name, value in options.items() if name in _TLS_OPTIONS or name == "client_name"}
        named = {name.removeprefix("sentinel_"): value for name, value in options.items() if name in _SENTINEL_OPTIONS}
        return cls(
            kind=kind,
            tls=scheme.startswith("rediss"),
            hosts=hosts,
            path=path,
            service=parts.get("service", ""),
            max_connections=options.pop("max_connections", None),
            options={name: value for name, value in options.items() if name not in _SENTINEL_OPTIONS},
            sentinel_options={**common, **named},
        )


def _form(scheme: str) -> str:
    return f"{scheme}://{_SCHEMES[scheme][2]}"


def _hosts(text: str) -> tuple[tuple[str, int], ...]:
    """The hosts and ports of a list that the grammar has matched."""
    places = [re.fullmatch(rf"({_HOST})(?::([0-9]+))?", place) for place in text.split(",") if place]
    return tuple((place[1].strip("[]"), int(place[2] or _DEFAULT_PORT)) for place in places if place)


def _options(scheme: str, query: str) -> dict[str, Any]:
    """What stands after the question mark. Raises ValueError with what is allowed there."""
    given = dict(parse_qsl(query, keep_blank_values=True))
    _require_meant(scheme, given)
    known = {**_OPTIONS, **_TLS_OPTIONS, **_SENTINEL_OPTIONS}
    options: dict[str, Any] = {}
    for name, text in given.items():
        try:
            options[name] = known[name](text)
        except ValueError:
            raise ValueError(f"another value of {name}: this one cannot be read") from None
    # It says what is so in any case.
    options.pop("ssl_cert_reqs", None)
    return options


def _require_meant(scheme: str, given: Mapping[str, str]) -> None:
    """Raise ValueError for options that do not belong here, with the form of URL that is meant."""
    kind = _SCHEMES[scheme][0]
    for name in sorted(given):
        if name in _DECIDED:
            raise ValueError(f"no {name}: this library decides that")
        if name in _TLS_OPTIONS and not scheme.startswith("rediss"):
            form = "rediss://" if kind == "socket" else _form(scheme.replace("redis", "rediss", 1))
            raise ValueError(f"{name} only with TLS: {form}")
        if name in _SENTINEL_OPTIONS and kind != "sentinel":
            meant = "rediss+sentinel" if scheme.startswith("rediss") else "redis+sentinel"
            raise ValueError(f"{name} only where Sentinels are asked: {_form(meant)}")
        if name == "db" and kind == "cluster":
            raise ValueError(f"no db, since a cluster has no databases: {_form(scheme)}")
        if name not in _OPTIONS and name not in _TLS_OPTIONS and name not in _SENTINEL_OPTIONS:
            # Its name is not repeated: it may be a part of a password with a "?" in it.
            allowed = {**_OPTIONS, **(_TLS_OPTIONS if scheme.startswith("rediss") else {})}
            allowed |= _SENTINEL_OPTIONS if kind == "sentinel" else {}
            raise ValueError(f"after the question mark {', '.join(sorted(allowed))}; {_ESCAPES}")
    if "sentinel_username" in given and "sentinel_password" not in given:
        raise ValueError("sentinel_username together with sentinel_password")
    if "ssl_keyfile" in given and "ssl_certfile" not in given:
        raise ValueError("ssl_keyfile together with ssl_certfile")
    if given.get("ssl_cert_reqs", "required").lower() not in ("required", "cert_required"):
        raise ValueError(
            "no ssl_cert_reqs but required: certificates are always checked, or whoever is in between could answer in "
            "Redis' place that nothing is revoked; ssl_ca_certs=FILE names an authority of your own"
        )
