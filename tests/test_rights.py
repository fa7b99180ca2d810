"""Rights: the Redis user of the documentation, and of the doctor, may do all that the code does, and nothing else."""

import ast
import json
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from app.settings import Settings
from revocation.cli import exits
from revocation.doctor.rights import NEEDED
from tests.app.api import ADMIN_PASSWORD, prepared
from tests.documents import OPERATING, ROOT, blocks, section
from tests.faults.conftest import staged
from tests.faults.test_table import TABLE
from tests.support import clusters
from tests.support.command import Terminal
from tests.support.proxy import Proxy
from tests.support.servers import Make, StartServer
from tests.support.service import serving
from tests.support.tokens import ISSUER

#: The doctor copes with every refusal, and an embedded server has no users.
_ASK_AS_THEY_LIKE: Final = ("revocation/doctor/", "revocation/redis/embedded.py")

#: A word of Redis' errors that is the name of a command as well, which nobody sends.
_NO_COMMAND: Final = frozenset({"readonly"})

_CALL: Final = re.compile(r"redis\.p?call\('(\w+)'(?:, '([A-Z]+)')?")


def _acl_rules() -> list[list[str]]:
    """What the lines of the documentation add to the user, without its name."""
    lines = [shlex.split(line) for line in "".join(blocks("", under="Rights", of=OPERATING)).splitlines()]
    assert [line[:3] for line in lines] == [["ACL", "SETUSER", "revocation"]] * 2
    return [line[3:] for line in lines]


def _granted(rules: list[str]) -> set[str]:
    return {rule[1:] for rule in rules if rule.startswith("+")}


def _named_in_scripts(package: Path) -> Iterator[str]:
    for script in package.rglob("*.lua"):
        for command, argument in _CALL.findall(script.read_text("utf-8")):
            yield from (command, f"{command}|{argument}")


def _named_in_python(package: Path) -> Iterator[str]:
    """Whatever may be a command: methods of what is called a client or a pipeline, and the first words of tuples."""
    for module in package.rglob("*.py"):
        if module.relative_to(ROOT).as_posix().startswith(_ASK_AS_THEY_LIKE):
            continue
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="client" | "pipeline"), attr=name)):
                    yield {"delete": "del"}.get(name, name)
                    yield name.replace("_", "|", 1)
                case ast.Tuple(elts=[ast.Constant(value=str(name)), *_]) if name.isupper():
                    yield name
                case ast.Call(func=ast.Attribute(attr="execute_command"), args=[ast.Constant(value=str(name)), *_]):
                    yield name.replace(" ", "|")


@pytest.fixture
def commands(start_server: StartServer) -> frozenset[str]:
    """The commands of Redis as the rules of an ACL name them; those with subcommands are named with these only."""
    asked: Any = start_server("valkey").client()
    known = {name.decode() for name in asked.command_list()}
    return frozenset(known - _NO_COMMAND - {name.partition("|")[0] for name in known if "|" in name})


def _sent_by(package: str, commands: frozenset[str]) -> set[str]:
    source = ROOT / package
    return {name.lower() for name in (*_named_in_scripts(source), *_named_in_python(source))} & commands


def test_the_user_of_the_library_and_the_doctor_know_each_command_that_is_sent_and_no_other(
    commands: frozenset[str],
) -> None:
    sent = _sent_by("revocation", commands) - {"cluster|slots"}

    assert sorted(_granted(_acl_rules()[0])) == sorted(sent)
    assert sorted(NEEDED) == sorted(sent)


def test_the_user_of_the_service_may_send_what_the_service_adds_and_nothing_else(commands: frozenset[str]) -> None:
    added = _sent_by("app", commands) - _sent_by("revocation", commands)

    assert sorted(_granted(_acl_rules()[1])) == sorted(added)


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_with_its_first_line_the_commands_do_their_work_and_are_never_refused(
    start_server: StartServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    make: Make,
) -> None:
    server = start_server(make)
    asked: Any = server.client()
    asked.execute_command("ACL", "SETUSER", "revocation", *_acl_rules()[0])
    many = tmp_path / "ids.txt"
    many.write_text("".join(f"id-{number}\n" for number in range(60)))
    terminal = Terminal(
        monkeypatch,
        capsys,
        REVOCATION_REDIS_URL=server.url.replace("unix://", "unix://revocation:password@"),
        REVOCATION_HANDLES="org=org_id",
        REVOCATION_ISSUER=ISSUER,
        REVOCATION_TIMEOUT="5",
    )

    def done(*words: str) -> str:
        came = terminal(*words)
        assert came.code == exits.OK, (words, came.out + came.err)
        return came.out

    done("init", "--accept-existing")
    made = [json.loads(done("revoke", "--kind", "session", "--value", "s1", "--json")) for _ in range(2)]
    # What a repeat finds must outlive the log, and the script looks whether it does.
    assert made[0]["revocation"]["id"] == made[1]["revocation"]["id"]
    for _ in range(2):
        done("revoke", "--kind", "token", "--file", str(many))
        done("revoke", "--kind", "key", "--value", "k1", "--yes")
        done("revoke", "--kind", "subject", "--value", "ada")
    done("undo", made[0]["revocation"]["id"])
    done("init", "--declare", "device*")
    done("init", "--withdraw", "device")
    for words in ("list", "list --kind token --limit 10", "stats", "watch --all --count 9"):
        done(*words.split())
    done("init", "--new-epoch")

    assert asked.acl_log() == []


@pytest.mark.parametrize("make", ["valkey", "redis"])
def test_with_both_of_its_lines_the_service_does_everything_and_is_never_refused(
    start_server: StartServer, tmp_path: Path, make: Make
) -> None:
    store = start_server(make)
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


def test_with_its_lines_the_service_serves_in_a_cluster_and_is_never_refused(tmp_path: Path) -> None:
    assert "`+cluster|slots`" in section("Rights", of=OPERATING)
    with clusters.three_nodes() as cluster:
        for port in cluster.ports:
            with cluster.node(port) as node:
                for rules in (*_acl_rules(), ["+cluster|slots"]):
                    node.execute_command("ACL", "SETUSER", "revocation", *rules)
        env = {
            "REVOCATION_REDIS_URL": cluster.url.replace("://", "://revocation:password@"),
            "REVOCATION_NAMESPACE": "denylist",
            "REVOCATION_MAX_STALENESS": "0",
            "REVOCATION_TIMEOUT": "10",
            "APP_DATA_DIR": str(tmp_path),
            "APP_ADMIN_PASSWORD": ADMIN_PASSWORD,
        }
        with prepared(Settings.from_mapping(env)) as api:
            login = api.login("admin", ADMIN_PASSWORD)
            assert api.me(login.access_token) == 200
            assert api.refresh(login.refresh_token).status_code == 200
            assert api.ask("POST", "/auth/login", json={"username": "admin", "password": "wrong"}).status_code == 401
            assert api.logout(login.access_token).status_code == 200
            assert api.me(login.access_token) == 401
        for port in cluster.ports:
            with cluster.node(port) as node:
                assert node.execute_command("ACL", "LOG") == []
