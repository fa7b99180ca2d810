"""What the README shows runs, and what it lists is what there is."""

import ast
import doctest
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from app import settings as app_settings
from app.settings import Settings
from revocation import DenylistUnavailableError, Guard, Handle, RedisDenylist, RevocationSettings, RevokedTokenError
from revocation.settings import SettingsReader
from tests.faults.conftest import staged
from tests.faults.proxy import Proxy
from tests.faults.test_table import TABLE
from tests.readme import README, blocks
from tests.revocation.test_access import MINIMAL_ACL
from tests.servers import Server, StartServer, require
from tests.serving import Service, serving


def test_its_python_sessions_run() -> None:
    outcome = doctest.testfile(str(README), module_relative=False, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert outcome.attempted > 20
    assert outcome.failed == 0


def test_its_python_is_python() -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", README.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if not block.startswith(">>>"):
            ast.parse(block)


# The Flask app


@pytest.fixture
def flask_app(tmp_path: Path, valkey: Server, namespace: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of the README's module, after its commands ran, on a Redis and in a directory of ours."""
    require(shutil.which("openssl"), "openssl is not installed (Debian: apt-get install openssl)")
    monkeypatch.chdir(tmp_path)
    install, *commands = blocks("sh", under="In your Flask app")[0].splitlines()
    assert install.startswith("pip install")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = {**os.environ, "PATH": path, "REVOCATION_NAMESPACE": namespace}
    script = "\n".join(commands).replace("redis://localhost:6379/0", valkey.url)
    subprocess.run(["bash", "-euc", script], env=env, check=True, capture_output=True, timeout=60)
    source = blocks("python", under="In your Flask app")[0]
    ours = f'RedisDenylist(connect("{valkey.url}", timeout_seconds=5), namespace="{namespace}")'
    assert 'RedisDenylist(connect("redis://localhost:6379/0"))' in source
    module: dict[str, Any] = {"__name__": "yours"}
    exec(source.replace('RedisDenylist(connect("redis://localhost:6379/0"))', ours), module)
    return module


def _wait_until_open(sign_in: Callable[[str, str], str]) -> None:
    """The first epoch begins a second ahead, which is what clocks may differ by."""
    deadline = time.monotonic() + 20
    while True:
        try:
            sign_in("ada", "s-0")
        except DenylistUnavailableError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def test_its_flask_app_signs_in_and_out(flask_app: dict[str, Any]) -> None:
    client, sign_in = flask_app["app"].test_client(), flask_app["sign_in"]
    _wait_until_open(sign_in)

    def status(method: str, path: str, token: str) -> int:
        answer: int = client.open(path, method=method, headers={"Authorization": f"Bearer {token}"}).status_code
        return answer

    token = sign_in("ada", "s-1")
    assert status("GET", "/me", token) == 200
    assert status("POST", "/logout", token) == 204
    assert status("GET", "/me", token) == 401

    older = [sign_in("ada", f"s-{i}") for i in range(2, 5)]
    assert status("POST", "/logout-everywhere", older[0]) == 204
    cut_off = flask_app["denylist"].now_ms()
    while flask_app["denylist"].now_ms() == cut_off:
        pass  # a cut-off covers its whole millisecond
    newer = sign_in("ada", "s-9")
    assert [status("GET", "/me", one) for one in (*older, newer)] == [401, 401, 401, 200]


# Other issuers


@pytest.mark.parametrize("leaves_out", [set(), {"jti"}], ids=["Keycloak", "Auth0"])
def test_its_verifier_takes_the_tokens_of_other_issuers(
    valkey: Server, namespace: str, monkeypatch: pytest.MonkeyPatch, leaves_out: set[str]
) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    document = {
        "keys": [{**public, "kid": "one", "use": "sig", "alg": "RS256"}, {**public, "kid": "two", "use": "enc"}]
    }
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: BytesIO(json.dumps(document).encode()))
    [source] = blocks("python", under="Tokens of Auth0, Keycloak and others")
    for written, ours in (
        (
            'RedisDenylist(connect("redis://localhost:6379/0"))',
            f'RedisDenylist(connect("{valkey.url}", timeout_seconds=5), namespace="{namespace}")',
        ),
        ('token_types=("JWT",),', f'token_types=("JWT",), require_jti={"jti" not in leaves_out},'),
    ):
        assert written in source
        source = source.replace(written, ours)
    module: dict[str, Any] = {}
    exec(source, module)
    guard: Guard = module["guard"]
    assert isinstance(guard.denylist, RedisDenylist)
    guard.denylist.open(accept_existing=True)

    now = int(time.time())
    claims = {
        "iss": "https://id.example/realms/main",
        "aud": ["https://api.example", "account"],
        "sub": "f:1:ada",
        "azp": "browser",
        "sid": secrets.token_hex(8),
        "jti": secrets.token_hex(8),
        "iat": now,
        "exp": now + 86_400,
    }
    sent = {name: value for name, value in claims.items() if name not in leaves_out}
    token = jwt.encode(sent, key, algorithm="RS256", headers={"kid": "one"})
    found = guard.authenticate(token)
    assert found.subject == "f:1:ada"
    handle = Handle.session(found) if leaves_out else Handle.token(found)
    assert guard.denylist.revoke(handle, wait_seconds=5).enforced
    with pytest.raises(RevokedTokenError):
        guard.authenticate(token)


# The service


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, valkey: Server) -> Iterator[Service]:
    directory = tmp_path_factory.mktemp("readme")
    with serving(directory, REVOCATION_REDIS_URL=valkey.url, REVOCATION_NAMESPACE="readme") as service:
        yield service


def test_its_session_with_curl_prints_what_it_shows(service: Service, tmp_path: Path) -> None:
    require(shutil.which("curl"), "curl is not installed (Debian: apt-get install curl)")
    [session] = blocks("console", under="The service")
    commands, shown = [], []
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, output = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]  # matches all
        commands.append(command.replace("http://127.0.0.1:8000", service.url))
        shown.append(output)
    end = secrets.token_hex(8)
    script = f"echo {end}\n".join(commands)
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    printed = done.stdout.replace("\r", "").split(f"{end}\n")
    assert len(printed) == len(shown) >= 5
    checker = doctest.OutputChecker()
    for wanted, got in zip(shown, printed, strict=True):
        assert checker.check_output(wanted, got, doctest.ELLIPSIS), f"shown: {wanted}\nprinted: {got}"


# Settings


def _table(under: str, prefix: str) -> dict[str, str]:
    """The settings that a table lists, with their defaults."""
    section = README.read_text("utf-8").partition(f"## {under}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section, re.MULTILINE)
    return {name: default.strip("`") for name, default in rows if name.startswith(prefix)}


class _Listening(SettingsReader):
    """Remembers what was read."""

    def __init__(self, env: Mapping[str, str]) -> None:
        super().__init__(env)
        self.read: set[str] = set()

    def value(self, name: str, *, empty_is_unset: bool = False) -> str | None:
        self.read.add(name)
        return super().value(name, empty_is_unset=empty_is_unset)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of all settings that there are."""
    readers: list[_Listening] = []

    def listening(env: Mapping[str, str]) -> _Listening:
        readers.append(_Listening(env))
        return readers[-1]

    with monkeypatch.context() as patched:
        patched.setattr(app_settings, "SettingsReader", listening)
        Settings.from_mapping({})
    return readers[0].read


def test_its_tables_list_every_setting_and_no_other(read: set[str]) -> None:
    assert _table("Settings", "REVOCATION_").keys() | _table("Settings", "APP_").keys() == read


def test_its_tables_give_the_defaults() -> None:
    for prefix, read_from in (("REVOCATION_", RevocationSettings), ("APP_", Settings)):
        defaults = read_from.from_mapping({})
        for name, default in _table("Settings", prefix).items():
            if default != "none":
                assert read_from.from_mapping({name: default}) == defaults, name


# Redis


def _acl_rules() -> list[list[str]]:
    """What the README's lines add to the user, without its name."""
    lines = [shlex.split(line) for line in "".join(blocks("", under="Redis")).splitlines()]
    assert [line[:3] for line in lines] == [["ACL", "SETUSER", "revocation"]] * 2
    return [line[3:] for line in lines]


def test_its_redis_user_may_do_what_the_library_needs_and_nothing_else() -> None:
    commands = [rule for rule in _acl_rules()[0] if rule.startswith("+")]
    assert set(commands) == set(MINIMAL_ACL)


def test_with_both_of_its_lines_the_service_does_everything_and_is_never_refused(
    start_server: StartServer, tmp_path: Path
) -> None:
    store = start_server("valkey")
    asked: Callable[..., Any] = store.client().execute_command
    for rules in _acl_rules():
        asked("ACL", "SETUSER", "revocation", *rules)
    url = store.url.replace("unix://", "unix://revocation:password@")
    proxy = Proxy(store.socket)
    with serving(tmp_path, REVOCATION_REDIS_URL=url) as service:
        stage = staged(service, store, proxy)
        for row in TABLE:
            ask, _ = row.prepare(stage)
            assert ask().status_code == row.well, row
    proxy.close()
    assert asked("ACL", "LOG") == []
