"""The commands and sessions of the documents run, and their lists name what there is."""

import ast
import doctest
import html
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import click
import pytest
import yaml  # type: ignore[import-untyped]  # it has none, and this reads one file
from sphinx.util.inventory import InventoryFile

import revocation
from app import settings as app_settings
from app.commands import commands as service_commands
from app.openapi.__main__ import described
from app.routes.admin.audit import AuditQuery
from app.settings import Settings
from revocation import RevocationSettings, connect
from revocation.cli.commands import commands
from revocation.cli.doctor import doctor
from revocation.redis.head import majority
from revocation.settings import SettingsReader
from tests.documents import (
    ARCHITECTURE,
    COMMANDS,
    CONTRIBUTING,
    DOCS,
    INDEX,
    MAKEFILE,
    OPERATING,
    README,
    ROOT,
    SERVICE,
    blocks,
    run_session,
    section,
)
from tests.support.certificates import certificates
from tests.support.proxy import Proxy
from tests.support.requirements import require
from tests.support.servers import Make, StartServer, running
from tests.support.service import Service, serving

PAGES = sorted(DOCS.glob("*.md"))
TEXTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "loadtest").rglob("*.md")), *PAGES]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_python_sessions_run(page: Path) -> None:
    outcome = doctest.testfile(str(page), module_relative=False, optionflags=doctest.IGNORE_EXCEPTION_DETAIL)
    assert outcome.failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_its_python_is_python(page: Path) -> None:
    for block in re.findall(r"^```python\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL):
        if not block.startswith(">>>"):
            ast.parse(block)


# Links


def _anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", TEXTS, ids=lambda page: page.name)
def test_its_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith(("http://", "https://")):
            path, _, anchor = target.partition("#")
            there = (page.parent / path).resolve() if path else page
            assert there.exists(), target
            assert not anchor or anchor in _anchors(there), target


def test_the_readme_and_the_index_lead_to_every_page() -> None:
    for start in (README, INDEX):
        linked = re.findall(r"\]\(([\w./]+\.md)", start.read_text("utf-8"))
        assert {*PAGES} - {(start.parent / path).resolve() for path in linked} - {start} == set(), start


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text.name)
def test_it_says_on_top_for_whom_it_is(text: Path) -> None:
    title, first, *_ = text.read_text("utf-8").split("\n\n")
    assert title.startswith("# ")
    assert "For " in first or "is for " in first


@pytest.mark.parametrize(
    "picture",
    [*sorted(DOCS.glob("*.svg")), *sorted((ROOT / "loadtest").rglob("*.svg"))],
    ids=lambda picture: picture.name,
)
def test_its_picture_says_what_it_shows_and_is_legible_in_the_dark(picture: Path) -> None:
    text = picture.read_text("utf-8")
    root = ET.fromstring(text)
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"title", "desc"} <= names
    assert "script" not in names
    assert "prefers-color-scheme: dark" in text


# The site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, as `make docs` builds it: a warning is an error."""
    directory = tmp_path_factory.mktemp("site")
    [command] = re.findall(r"/python (-m sphinx .*) build/site$", MAKEFILE.read_text("utf-8"), re.MULTILINE)
    built = subprocess.run(
        [sys.executable, *command.split(), str(directory)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert built.returncode == 0, built.stdout
    return directory


class _Loaded(HTMLParser):
    """Collects the addresses that a browser loads by itself when it shows a page."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "data", "poster") if tag != "link" else ("href",)
        self.addresses |= {value for name, value in attrs if name in names and value}


def test_the_site_loads_nothing_from_elsewhere(site: Path) -> None:
    addresses = set()
    for page in site.rglob("*.html"):
        loaded = _Loaded()
        loaded.feed(page.read_text("utf-8"))
        addresses |= loaded.addresses
    for style in site.rglob("*.css"):
        addresses |= set(re.findall(r"(?:url\(|@import )[\"']?([^\"')]+)", style.read_text("utf-8")))
    assert len(addresses) > 10
    assert [address for address in addresses if re.match(r"(\w+:)?//", address)] == []


def test_the_site_has_every_picture(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = _Loaded()
        loaded.feed(page.read_text("utf-8"))
        for address in loaded.addresses:
            if address.endswith((".svg", ".png")):
                assert (page.parent / address).exists(), f"{page.name}: {address}"


def test_the_site_has_every_document_and_leads_to_it(site: Path) -> None:
    start = (site / "docs" / "index.html").read_text("utf-8")
    names = {os.path.relpath(text, DOCS).removesuffix(".md") for text in TEXTS}
    assert [name for name in names if not (site / "docs" / f"{name}.html").exists()] == []
    assert [name for name in names - {"index"} if f'href="{name}.html' not in start] == []


def test_the_python_reference_has_the_whole_face(site: Path) -> None:
    inventory = InventoryFile.loads((site / "objects.inv").read_bytes(), uri="")
    described = {name for objects in inventory.data.values() for name in objects}
    names = set()
    for name in revocation.__all__:
        names.add(f"revocation.{name}")
        if inspect.isclass(thing := getattr(revocation, name)):
            members = {*vars(thing), *getattr(thing, "__dataclass_fields__", {})}
            names |= {f"revocation.{name}.{member}" for member in members if not member.startswith("_")}
    assert len(names) > 100
    assert names - described == set()


def test_the_http_reference_names_every_path_and_method(site: Path) -> None:
    page = (site / "docs" / "http.html").read_text("utf-8")
    headings = [html.unescape(heading).rsplit(" ", 1) for heading in re.findall(r"<h3>(.*?)<a ", page)]
    shown = {(method, path) for methods, path in headings for method in methods.split(", ")}
    paths = described()["paths"]
    assert len(paths) > 20
    assert shown == {(method.upper(), path) for path, methods in paths.items() for method in methods}


# Contributing


def _lines(text: Path) -> list[list[str]]:
    """The shell commands of a document, without their comments, as words."""
    found = re.findall(r"^```sh\n(.*?)^```$", text.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [shlex.split(line, comments=True) for line in "".join(found).splitlines()]


def _checks(commands: list[list[str]], tmp_path: Path) -> Iterator[list[str]]:
    """Commands that show that these can be run, and change nothing."""
    tests: list[str] = []
    for command in commands:
        match command:
            case ["make", *_]:
                yield [*command, "--dry-run"]
            case [".venv/bin/python", "-m", "pytest", *chosen]:
                tests += chosen
            case [".venv/bin/python", "-m", "tests.search", "--seconds", _]:
                yield [sys.executable, "-m", "tests.search", "--seconds", "1"]
            case [".venv/bin/ruff", "format"]:
                yield [sys.executable, "-m", "ruff", "format", "--check"]
            case [".venv/bin/ruff", "check", "--fix"]:
                yield [sys.executable, "-m", "ruff", "check"]
            case [".venv/bin/prek", "install"]:
                yield [sys.executable, "-m", "prek", "install", "--git-dir", str(tmp_path)]
            case _:
                pytest.fail(f"this test has no check for {shlex.join(command)}")
    assert len(tests) >= 3
    yield [sys.executable, "-m", "pytest", "--collect-only", "--quiet", *tests]


def test_its_commands_can_be_run(tmp_path: Path) -> None:
    for check in _checks(_lines(CONTRIBUTING), tmp_path):
        done = subprocess.run(
            check, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, f"{shlex.join(check)}\n{done.stdout}"


@pytest.mark.parametrize("text", [CONTRIBUTING, ARCHITECTURE], ids=lambda text: text.name)
def test_what_it_names_in_the_tree_is_there(text: Path) -> None:
    folders = (ROOT, ROOT / "revocation", ROOT / "revocation" / "redis", ROOT / "app")
    named = set(re.findall(r"`(\.?\w+/[\w./]*|\.?[\w-]+\.(?:py|toml|lock|yaml))`", text.read_text("utf-8")))
    assert len(named) > 15
    assert [path for path in sorted(named) if not any((folder / path).exists() for folder in folders)] == []


def test_the_hooks_are_what_make_check_runs() -> None:
    [repository] = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    hooks = [hook["entry"] for hook in repository["hooks"]]
    [recipe] = re.findall(r"^check: .*\n((?:\t.*\n)+)", MAKEFILE.read_text("utf-8"), re.MULTILINE)
    checks = re.findall(r"^\t\$\(BIN\)(/.*)$", recipe, re.MULTILINE)
    assert hooks == [f".venv/bin{check}" for check in checks]


# Settings


def _table(prefix: str) -> dict[str, str]:
    """The settings that a table lists, with their defaults."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", section("Settings", of=OPERATING), re.MULTILINE)
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


def test_the_tables_list_every_setting_and_no_other(read: set[str]) -> None:
    assert _table("REVOCATION_").keys() | _table("APP_").keys() == read


def test_the_tables_give_the_defaults() -> None:
    for prefix, read_from in (("REVOCATION_", RevocationSettings), ("APP_", Settings)):
        defaults = read_from.from_mapping({})
        for name, default in _table(prefix).items():
            if default != "none":
                assert read_from.from_mapping({name: default}) == defaults, name


def test_the_urls_of_replicated_redis_and_of_tls_are_understood(tmp_path: Path) -> None:
    authority = str(certificates(tmp_path).authority)
    for title in ("Sentinel and Cluster", "TLS"):
        lines = "".join(blocks("", under=title, of=OPERATING)).split()
        settings = RevocationSettings.from_mapping(dict(line.split("=", 1) for line in lines))
        assert connect(settings.redis_url.replace("/etc/ssl/our-ca.pem", authority))
        for line in lines:
            if line.startswith("REVOCATION_REDIS_URL="):
                connect(line.partition("=")[2].replace("/etc/ssl/our-ca.pem", authority))


# Redis


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_its_three_settings_are_settings_of_redis(start_server: StartServer, make: Make) -> None:
    [lines] = blocks("", under="Redis", of=OPERATING)
    wanted = dict(line.split() for line in lines.splitlines())
    store = start_server(make, *(part for name, value in wanted.items() for part in (f"--{name}", value)))
    assert {name: store.client().config_get(name)[name] for name in wanted} == wanted


def test_each_of_its_numbers_of_replicas_is_a_majority_and_survives_what_it_says() -> None:
    rows = re.findall(r"^\| (\d) \| (\d) \| (\d) \|$", section("Sentinel and Cluster", of=OPERATING), re.MULTILINE)
    assert rows
    for least, replicas, failures in (map(int, row) for row in rows):
        assert least >= majority(replicas)
        assert replicas - failures == least


# Days, bad and others


@pytest.fixture
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service on a Redis that is reached by its port, for redis-cli."""
    with running("valkey") as store:
        proxy = Proxy(store.socket)
        env = {"REVOCATION_REDIS_URL": f"redis://127.0.0.1:{proxy.port}/0"}
        with serving(tmp_path_factory.mktemp("operated"), **env) as service:
            yield service
        proxy.close()


def _sessions(title: str, *, of: Path = OPERATING) -> list[str]:
    return re.findall(r"^```console\n(.*?)^```$", section(title, of=of), re.MULTILINE | re.DOTALL)


def _run(service: Service, session: str, directory: Path) -> None:
    for program in ("curl", "redis-cli"):
        require(shutil.which(program), f"{program} is not installed (Debian: apt-get install curl redis-tools)")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # `python -m app` is run from the tree.
    env = {**service.env, "PATH": path, "PYTHONPATH": str(ROOT), "APP_DATA_DIR": service.env["APP_DATA_DIR"]}
    run_session(session, env=env, directory=directory, replacing={"http://127.0.0.1:8000": service.url})


def test_keys_are_rotated_as_it_says(operated: Service, tmp_path: Path) -> None:
    [session] = _sessions("Keys")
    _run(operated, session, tmp_path)


#: In this order: receipts after a flush have to wait for the leases of before, and a new key for its being read.
BAD_DAYS = (
    "A token leaked",
    "A laptop was stolen",
    "Nobody can administer",
    "Everyone was signed out by mistake",
    "Redis was flushed",
    "A signing key is compromised",
)


def test_every_bad_day_is_practised() -> None:
    titles = re.findall(r"^### (.+)$", section("The bad days", of=OPERATING), re.MULTILINE)
    assert {title for title in titles if _sessions(title)} == set(BAD_DAYS)


def test_the_bad_days_end_as_it_says(operated: Service, tmp_path: Path) -> None:
    preamble = _sessions("The bad days")[0]
    admin = operated.login()["access_token"]
    ada = {"username": "ada", "password": "a password of hers", "scope": "reports:read"}
    assert operated.post("/admin/users", token=admin, json=ada).status_code == 201
    leaked = operated.login("ada", "a password of hers")["access_token"]
    (tmp_path / "leaked.txt").write_text(leaked)
    operated.login("ada", "a password of hers")
    for title in BAD_DAYS:
        _run(operated, preamble + "".join(_sessions(title)), tmp_path)
    assert operated.get("/api/me", token=leaked).status_code == 401


# The command


def test_the_command_answers_as_it_says(operated: Service, tmp_path: Path) -> None:
    admin = operated.login()["access_token"]
    ada = {"username": "ada", "password": "a password of hers", "scope": "reports:read"}
    assert operated.post("/admin/users", token=admin, json=ada).status_code == 201
    (tmp_path / "token.txt").write_text(operated.login("ada", ada["password"])["access_token"])
    sessions = _sessions("The command `revocation`", of=COMMANDS)
    assert len(sessions) == 3
    _run(operated, "".join(sessions), tmp_path)


def test_every_command_is_in_its_table() -> None:
    rows = re.findall(r"^\| (`.*?) \|", section("The command `revocation`", of=COMMANDS), re.MULTILINE)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(commands.commands)


def test_the_service_names_each_of_its_own_commands() -> None:
    [listed] = re.findall(r"`python -m app` has (.+?);", SERVICE.read_text("utf-8"))
    there = service_commands.list_commands(click.Context(service_commands))
    assert sorted(re.findall(r"`(\w+)`", listed)) == there


def test_the_audit_log_has_the_filters_that_are_documented() -> None:
    [listed] = re.findall(r"^Filters: (.+?)\. ", section("The audit log", of=OPERATING), re.MULTILINE)
    assert set(re.findall(r"`([a-z]+)`", listed)) == AuditQuery.__annotations__.keys() - {"cursor"}


def test_the_doctor_says_what_it_looks_at() -> None:
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "revocation" / "doctor").glob("*.py"))
    checks = set(re.findall(r"\b(?:Finding|fine)\(\s*\"([a-z-]+)\"", sources)) - {"store"}
    [listed] = re.findall(r"Looks at (.+?), with", " ".join((doctor.help or "").split()))
    assert set(re.split(", | and ", listed)) == checks
