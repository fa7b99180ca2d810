"""Bad input: whatever is sent to whichever route, there is a decision, in the right format, and nothing breaks."""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from gunicorn.http.errors import InvalidChunkSize, InvalidHeader
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tests.app.api import Api, prepared, settings_for
from tests.support.postgres import new_database, postgres_url
from tests.support.servers import Server

__all__ = ["postgres_url"]

DECISIONS = {200, 201, 204, 400, 401, 403, 404, 405, 409, 413, 415, 429, 503}

# No quotation mark or backslash within the quotes, no control characters, nothing that is not ASCII.
QUOTED = r'"[ !#-\[\]-~]*"'
CHALLENGE = re.compile(
    rf"Bearer realm={QUOTED}(, error={QUOTED}, error_description={QUOTED}(, scope={QUOTED})?)?"
    r'|Basic realm="oauth", charset="UTF-8"'
)

HOSTILE = [
    *("", " ", "\0", "a\0b", "\n", "a\r\nSet-Cookie: a=b", '"', '", error="x', "\\", "'", "' OR 1=1 --", "%00", "%s%n"),
    *("\ud800", "\udfff\ud800", "\ufeff", "\u202e", "\u2028", "é", "☂" * 100, "🔑", "\x7f", "\x85", "\u0663", "\u0661"),
    *("../../etc/passwd", "..%2f", "{{7*7}}", "${jndi:ldap://x}", "<script>", "*", "{denylist}:head", "a:b:c", "~"),
    *("null", "true", "NaN", "Infinity", "-1", "0", "1e999", "9" * 5000, "0x1", "1" * 400, "-0"),
    *("a" * 65, "a" * 257, "a" * 8193, "a" * 60_000, "a.b.c", "a..b", "...", "eyJhbGciOiJub25lIn0.e30.", "Bearer x"),
    *("9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "2026-02-30T00:00:00Z", "99999999999999999999-0-00000000"),
    *("log:99999999999999999999-0", "lasting:999999999", "log:+", "first-party", "admin ", "client" + "a" * 24),
]

# Which members and parameters mean something, so that hostile values get as far as they can.
MEMBERS = {
    ("POST", "/auth/login"): ("username", "password"),
    ("POST", "/auth/refresh"): ("refresh_token",),
    ("POST", "/auth/logout"): ("refresh_token",),
    ("POST", "/auth/password"): ("password", "new_password"),
    ("POST", "/admin/revocations"): (
        *("kind", "value", "issuer", "issued_before", "token", "reason", "even_if_unknown", "dry_run"),
    ),
    ("POST", "/admin/users"): ("username", "password", "scope"),
    ("PATCH", "/admin/users/<username>"): ("password", "scope", "disabled"),
    ("POST", "/admin/clients"): ("name", "scope"),
    ("PATCH", "/admin/clients/<client_id>"): ("disabled",),
    ("POST", "/admin/clients/<client_id>/secret"): ("overlap_seconds",),
}
GOOD_BODIES: dict[str, dict[str, Any]] = {
    "/auth/login": {"username": "nobody", "password": "a password"},
    "/auth/refresh": {"refresh_token": "x"},
    "/auth/logout": {"refresh_token": "x"},
    "/auth/password": {"password": "a password", "new_password": "a password"},
    "/admin/revocations": {"kind": "subject", "value": "nobody", "reason": "test", "even_if_unknown": True},
    "/admin/users": {"username": "nobody!", "password": "a password"},
    "/admin/users/<username>": {"scope": ""},
    "/admin/clients": {"name": "x"},
    "/admin/clients/<client_id>": {"disabled": False},
    "/admin/clients/<client_id>/secret": {"overlap_seconds": 0},
}
PARAMETERS = (
    *("grant_type", "client_id", "client_secret", "scope", "refresh_token", "token", "token_type_hint"),
    *("kind", "cursor", "subject", "reason", "max_staleness", "access_token"),
)
FORMS = {
    "/oauth/token": ("grant_type", "client_id", "client_secret", "scope", "refresh_token"),
    "/oauth/revoke": ("client_id", "client_secret", "token", "token_type_hint"),
    "/oauth/introspect": ("client_id", "client_secret", "token", "token_type_hint"),
}
QUERIES = {
    "/admin/revocations": ("kind", "cursor"),
    "/admin/sessions": ("subject",),
    "/admin/audit": ("cursor", "actor", "action", "target", "since", "until", "limit"),
    "/admin/users": ("cursor",),
    "/admin/clients": ("cursor",),
    "/admin/throttle": ("username", "client_id", "address"),
    "/verify": ("scope", "max_staleness", "access_token"),
    "/api/me": ("access_token",),
}
HEADERS = (
    *("Host", "X-Forwarded-Host", "Content-Type", "Authorization", "User-Agent", "X-Forwarded-For", "Cookie", "Range"),
    *("X-Forwarded-Proto", "Content-Length", "Transfer-Encoding", "Accept", "Origin", "Expect", "If-None-Match"),
    *("X-HTTP-Method-Override", "X-Auth-Subject", "Content-Encoding", "Forwarded", "Upgrade"),
)


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    directory = tmp_path_factory.mktemp("service")
    with serving_on(valkey, directory, f"sqlite:///{directory / 'app.sqlite3'}") as api:
        yield api


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def either(request: pytest.FixtureRequest, valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """On each database in turn, for what gets as far as that."""
    if request.param == "sqlite":
        yield request.getfixturevalue("api")
    else:
        directory = tmp_path_factory.mktemp("service")
        with (
            new_database(request.getfixturevalue("postgres_url")) as url,
            serving_on(valkey, directory, url) as api,
        ):
            yield api


@contextlib.contextmanager
def serving_on(server: Server, directory: Path, database_url: str) -> Iterator[Api]:
    settings = settings_for(server, directory, APP_DATABASE_URL=database_url, APP_TRUSTED_PROXIES="1")
    with prepared(settings) as api:
        api.add_user("somebody")
        yield api


#: For people: HTML, and `/` leads on where there is no playground.
PAGES = ("/", "//", "/console", "/docs")


def routes(api: Api) -> list[tuple[str, str]]:
    rules = api.app.url_map.iter_rules()
    return sorted((method, rule.rule) for rule in rules for method in rule.methods or ())


def admin_of(api: Api) -> str:
    """The access token of an admin: a new one where hostile input happened to revoke the last."""
    held: str = api.app.config.get("ADMIN_OF_THE_TEST", "none")
    if api.me(held) != 200:
        held = api.app.config["ADMIN_OF_THE_TEST"] = api.admin()
    return held


def path_of(rule: str, value: str = "somebody") -> str:
    quoted = quote(value.encode("utf-8", "surrogatepass"), safe="/")
    return re.sub(r"<[^>]+>", lambda _: quoted, rule)


def require_decision(answer: TestResponse, method: str, path: str) -> None:
    """It is one of the statuses there are, in the format of its route, and nothing hostile is in a header."""
    status = answer.status_code
    # To a place of its own, whatever host the request named.
    leads_on = status == 302 and path in PAGES and answer.headers["Location"] == "/docs"
    assert status in DECISIONS or leads_on, (status, answer.text)
    for name, value in answer.headers.items():
        assert re.fullmatch(r"[ -~]*", value), (name, value)
        if name == "WWW-Authenticate":
            assert CHALLENGE.fullmatch(value), value
    assert "Set-Cookie" not in answer.headers
    if leads_on or (path in PAGES and status == 200):
        assert method in ("HEAD", "OPTIONS") or answer.mimetype == "text/html"
        return
    if method == "HEAD":
        assert answer.data == b""
    elif status == 204 or method == "OPTIONS" or (status == 200 and path.startswith("/verify")):
        assert answer.data == b"" or status >= 400
    elif status < 300:
        assert answer.mimetype in ("application/json", "application/jwk-set+json", "text/plain")
        assert answer.mimetype == "text/plain" or isinstance(answer.get_json(force=True), dict)
    elif path.startswith("/oauth/"):
        assert answer.mimetype == "application/json"
        assert answer.get_json().keys() == {"error", "error_description"}
        assert re.fullmatch(r"[ !#-\[\]-~]*", answer.get_json()["error_description"])
    else:
        assert answer.mimetype == "application/problem+json"
        assert answer.get_json()["status"] == status
    if status == 503:
        assert "Retry-After" in answer.headers


# A corpus


@pytest.mark.parametrize(("method", "rule"), MEMBERS)
def test_hostile_values_in_every_member(either: Api, method: str, rule: str) -> None:
    admin = admin_of(either)
    values: list[Any] = [*HOSTILE, None, True, 0, -1, 10**400, 1.5, [], {}, [[[]]], {"a": {"b": []}}]
    for number, value in enumerate(values):
        for member in MEMBERS[method, rule]:
            body = json.dumps({**GOOD_BODIES[rule], member: value})
            answer = either.ask(
                method,
                path_of(rule),
                token=admin,
                data=body,
                content_type="application/json",
                address=f"192.0.2.{number}",
            )
            require_decision(answer, method, rule)


DEEP = 100_000
JSON_BODIES = {
    "nothing": b"",
    "not JSON": b"not JSON",
    "half": b'{"username": "a',
    "NUL": b'{"username": "a", "password": "b"}\0',
    "byte order mark": b'\xef\xbb\xbf{"username": "a", "password": "b"}',
    "UTF-16": '{"username": "a", "password": "b"}'.encode("utf-16"),
    "not UTF-8": b'{"username": "\xff\xfe", "password": "b"}',
    "lone surrogate, raw": '{"username": "\ud800", "password": "b"}'.encode("utf-8", "surrogatepass"),
    "lone surrogate, escaped": b'{"username": "\\ud800", "password": "\\udfff"}',
    "deep arrays": b"[" * (DEEP // 2) + b"]" * 10,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "deep within": b'{"username": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "duplicate members": b'{"username": "a", "username": "b", "password": "c", "password": "d"}',
    "not a number": b'{"username": NaN, "password": Infinity}',
    "huge number": b'{"username": ' + b"9" * 50_000 + b"}",
    "many members": json.dumps({str(number): number for number in range(5000)}).encode(),
    "white space": b" " * 60_000,
    "two documents": b"{}{}",
}


@pytest.mark.parametrize("name", JSON_BODIES)
def test_bodies_that_are_no_clean_json(either: Api, name: str) -> None:
    admin = admin_of(either)
    for (method, rule), members in MEMBERS.items():
        body = JSON_BODIES[name].replace(b'"username"', f'"{members[0]}"'.encode())
        answer = either.ask(method, path_of(rule), token=admin, data=body, content_type="application/json")
        require_decision(answer, method, rule)
        if name not in ("nothing", "duplicate members"):
            assert answer.status_code in (400, 413), (rule, answer.text)


@pytest.mark.parametrize("length", [65_536, 65_537, 200_000])
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_of_more_than_64_kib_is_refused_however_it_comes(api: Api, length: int, chunked: bool) -> None:
    for method, rule in routes(api):
        admin = admin_of(api)  # one of the routes signs out everywhere
        for content_type in ("application/json", "application/x-www-form-urlencoded"):
            answer = api.ask(
                method,
                path_of(rule, "x"),
                token=admin,
                input_stream=io.BytesIO(b"a" * length),
                content_length=None if chunked else length,
                content_type=content_type,
                environ={"wsgi.input_terminated": True} if chunked else {},
            )
            require_decision(answer, method, rule)
            if (method, rule) in MEMBERS and content_type == "application/json":
                assert answer.status_code == (413 if length > 65_536 else 400), rule


class Broken(io.RawIOBase):
    """A body that breaks while it is read, as servers say it: with exceptions that quote it."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return 0

    def seek(self, *_: int) -> int:
        return 0

    def read(self, _size: int | None = -1) -> bytes:
        raise self.error


@pytest.mark.parametrize(
    "error", [OSError, ValueError, EOFError, InvalidChunkSize, InvalidHeader, ConnectionResetError]
)
@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_that_breaks_off_is_the_clients_mistake_and_stays_out_of_the_log(
    api: Api, caplog: pytest.LogCaptureFixture, error: type[Exception], chunked: bool
) -> None:
    admin = admin_of(api)
    for method, rule in [*MEMBERS, *(("POST", path) for path in FORMS)]:
        answer = api.ask(
            method,
            path_of(rule),
            token=None if rule in FORMS else admin,
            input_stream=Broken(error("a password in the body")),
            content_type="application/x-www-form-urlencoded" if rule in FORMS else "application/json",
            environ={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""} if chunked else {"CONTENT_LENGTH": "100"},
        )
        require_decision(answer, method, rule)
        assert answer.status_code == 400, rule
    assert "a password" not in caplog.text


@pytest.mark.parametrize(
    "content_type",
    [
        *("", "application/json; charset=utf-16", "application/json;", "APPLICATION/JSON", "application/jsonx", "*/*"),
        *("text/html", "multipart/form-data", "multipart/form-data; boundary=", "application/x-www-form-urlencoded"),
        *("application/x-www-form-urlencoded; charset=nonsense", "\xff/\xff", '"', "a" * 5000, "application/json\0"),
    ],
)
def test_wrong_content_types(api: Api, content_type: str) -> None:
    admin = admin_of(api)
    bodies = (b'{"username": "a"}', b"token=a&grant_type=b", b"--x\r\n\r\n", b"\xff\0")
    for number, (method, rule) in enumerate(routes(api)):
        # The others read none, and get another one with each content type.
        reads = (method, rule) in MEMBERS or rule in FORMS
        for body in bodies if reads else (bodies[(number + len(content_type)) % len(bodies)],):
            answer = api.ask(method, path_of(rule, "x"), token=admin, data=body, content_type=content_type)
            require_decision(answer, method, rule)


@pytest.mark.parametrize("path", FORMS)
def test_hostile_values_in_every_parameter_of_a_form(api: Api, path: str) -> None:
    machine = api.machine()
    for number, value in enumerate(HOSTILE):
        for name in FORMS[path]:
            grant = "refresh_token" if name == "refresh_token" else "client_credentials"
            form = {"grant_type": grant, "token": "x", name: value.encode("utf-8", "surrogatepass")}
            answer = api.post(
                path,
                data=urlencode(form),
                headers={} if name in ("client_id", "client_secret") else machine.basic,
                content_type="application/x-www-form-urlencoded",
                address=f"192.0.2.{number}",
            )
            require_decision(answer, "POST", path)


@pytest.mark.parametrize("path", QUERIES)
def test_hostile_values_in_every_parameter_of_a_query(api: Api, path: str) -> None:
    admin = admin_of(api)
    for value in HOSTILE:
        for name in QUERIES[path]:
            query = urlencode({name: value.encode("utf-8", "surrogatepass")})
            require_decision(api.get(f"{path}?{query}", token=admin), "GET", path)


@pytest.mark.parametrize("name", HEADERS)
def test_hostile_values_in_every_header(api: Api, name: str) -> None:
    admin = admin_of(api)
    key = name.upper().replace("-", "_")
    key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
    for value in HOSTILE:
        sent = value.encode("utf-8", "surrogatepass").decode("latin-1")[:8000]
        for method, path in (("GET", "/api/me"), ("POST", "/auth/login"), ("POST", "/oauth/token")):
            token = None if name == "Authorization" else admin
            answer = api.ask(method, path, token=token, environ={key: sent}, address="192.0.2.78")
            # With a host that none can be, no route is found, and so not its format.
            routed = "Host" not in name or answer.mimetype == "application/json"
            require_decision(answer, method, path if routed else "")


@pytest.mark.parametrize(
    "scheme", ["Bearer {}", "bearer {}", "Basic {}", "{}", "Bearer  {} ", "Digest {}", "Bearer\t{}"]
)
def test_hostile_values_as_a_token_on_every_route(api: Api, scheme: str) -> None:
    for value in HOSTILE:
        sent = scheme.format(value.encode("utf-8", "surrogatepass").decode("latin-1"))[:9000]
        for path in ("/api/me", "/verify", "/admin/audit", "/auth/sessions"):
            answer = api.get(path, environ={"HTTP_AUTHORIZATION": sent}, address="192.0.2.79")
            require_decision(answer, "GET", path)
            assert answer.status_code == 401
        for path in ("/auth/logout", "/auth/logout-all", "/oauth/introspect"):
            form = {"token": "x"} if path.startswith("/oauth/") else None
            answer = api.post(path, environ={"HTTP_AUTHORIZATION": sent}, address="192.0.2.79", data=form)
            require_decision(answer, "POST", path)
            assert answer.status_code in (401, 429)


def test_hostile_values_in_every_path(either: Api) -> None:
    admin = admin_of(either)
    for value in HOSTILE:
        for method, rule in routes(either):
            if "<" in rule:
                answer = either.ask(method, path_of(rule, value[:9000]), token=admin, json={"scope": ""})
                require_decision(answer, method, rule)


@pytest.mark.parametrize(
    "path",
    [
        *("/", "//", "//auth//login", "/verify//x", "/auth/login/", "/AUTH/LOGIN", "/auth/../admin/audit", "/%2e%2e/x"),
        *("/.well-known/", "/admin", "/%00", "/%ff%fe", "/" + "a" * 5000, "/\xe9", "/auth/login;x=y", "/favicon.ico"),
        *("//evil.example/verify/x", "/verify/%2f%2fevil.example", "http://evil.example/api/me", "*"),
    ],
)
def test_paths_that_lead_nowhere(api: Api, path: str) -> None:
    """Nowhere is a redirect: what it names could be somebody else's host."""
    for method in ("GET", "POST", "HEAD", "OPTIONS", "PUT", "TRACE", "BREW", "get"):
        answer = api.ask(method, "/", environ={"PATH_INFO": path, "HTTP_HOST": "evil.example"})
        require_decision(answer, method, path)
        assert path in PAGES or "Location" not in answer.headers
        assert "evil.example" not in answer.text


# Anything


TEXT = st.text(st.characters(), max_size=60) | st.sampled_from(HOSTILE[:-6])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
LATIN = st.text(st.characters(min_codepoint=0, max_codepoint=255), max_size=60)


@st.composite
def anything(draw: st.DrawFn) -> dict[str, Any]:
    """One request. It goes to a route that has members of a JSON body, or to the one with this number."""
    sent: dict[str, Any] = draw(
        st.fixed_dictionaries(
            {
                "body": st.sampled_from(["members", "json", "form", "bytes", "nothing"]),
                "route": st.integers(0, 10_000),
                "headers": st.dictionaries(st.sampled_from(HEADERS[4:9]), LATIN, max_size=2),
                "address": st.tuples(*[st.integers(0, 255)] * 3),
                "token": st.sampled_from([None, ADMINS]) | LATIN,
                "query": st.binary(max_size=40),
                "segment": TEXT,
            }
        )
    )
    match sent["body"]:
        case "members":
            sent["route"] = route = draw(st.sampled_from(list(MEMBERS)))
            sent["content"] = draw(st.dictionaries(st.sampled_from(MEMBERS[route]), JSON | TEXT))
        case "json":
            sent["content"] = draw(JSON)
        case "form":
            sent["content"] = draw(st.lists(st.tuples(st.sampled_from(PARAMETERS) | TEXT, TEXT), max_size=5))
        case "bytes":
            sent["content"], sent["content_type"] = draw(st.tuples(st.binary(max_size=200), LATIN))
    return sent


#: Stands for the access token of an admin.
ADMINS = "an admin's"


@settings(max_examples=400, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(sent=anything())
def test_anything_sent_to_any_route_gets_a_decision(either: Api, sent: dict[str, Any]) -> None:
    every = routes(either)
    method, rule = every[sent["route"] % len(every)] if isinstance(sent["route"], int) else sent["route"]
    kwargs: dict[str, Any] = {}
    environ: dict[str, str] = {}
    match sent["body"]:
        case "members":
            body = {**GOOD_BODIES[rule], **sent["content"]}
            kwargs = {"data": json.dumps(body), "content_type": "application/json"}
        case "json":
            kwargs = {"data": json.dumps(sent["content"]), "content_type": "application/json"}
        case "form":
            pairs = [tuple(text.encode("utf-8", "surrogatepass") for text in pair) for pair in sent["content"]]
            kwargs = {"data": urlencode(pairs), "content_type": "application/x-www-form-urlencoded"}
        case "bytes":
            kwargs = {"data": sent["content"]}
            environ["CONTENT_TYPE"] = sent["content_type"]
    for name, value in sent["headers"].items():
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    token = admin_of(either) if sent["token"] is ADMINS else sent["token"]
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"

    answer = either.ask(
        method,
        path_of(rule, sent["segment"]),
        query_string=quote(sent["query"].decode("latin-1"), safe="=&%+;"),
        environ=environ,
        address=".".join(map(str, (10, *sent["address"]))),
        **kwargs,
    )

    require_decision(answer, method, rule)
