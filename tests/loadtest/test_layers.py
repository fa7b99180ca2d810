"""Imports in the load tests go down only, so there is no circle among them."""

import ast
from pathlib import Path

import pytest

import loadtest

PACKAGE = Path(loadtest.__file__).parent

#: From the bottom up: a module imports only from rows that stand before its own.
LAYERS = (
    ("processes", "connection", "contestants", "locustfile"),
    ("population", "serving", "load"),
    ("results", "profile", "server"),
    # These modules measure.
    ("traffic", "in_process", "propagation", "event_loop", "sizes", "importing", "asking", "machine"),
    ("outages",),
    # These modules present.
    ("figures",),
    ("goals", "pictures"),
    ("report",),
    ("__main__",),
)
RANK = {module: rank for rank, row in enumerate(LAYERS) for module in row}

MODULES = sorted(file.stem for file in PACKAGE.glob("*.py") if file.stem != "__init__")


def imported(module: str) -> set[str]:
    """The full names of all modules that a module imports, anywhere in its text."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def test_every_module_has_a_place_in_the_layers() -> None:
    assert not [path for path in PACKAGE.iterdir() if path.is_dir() and list(path.glob("*.py"))]
    assert set(MODULES) == RANK.keys(), "a new module: say in LAYERS what it may import"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    ours = {name.split(".")[1] for name in imported(module) if name.startswith("loadtest.")}
    assert not {name for name in ours if RANK.get(name, -1) >= RANK[module]}


@pytest.mark.parametrize("module", MODULES)
def test_of_the_tests_only_the_support_package_is_used(module: str) -> None:
    of_tests = {name for name in imported(module) if name.split(".")[0] == "tests"}
    assert not {name for name in of_tests if not f"{name}.".startswith("tests.support.")}


@pytest.mark.parametrize("module", ["figures", "goals", "pictures", "report"])
def test_what_is_presented_starts_no_server(module: str) -> None:
    reached, left = set[str](), {module}
    while left:
        reached |= left
        names = {name for each in left for name in imported(each)}
        left = {name.split(".")[1] for name in names if name.startswith("loadtest.")} & RANK.keys() - reached
    assert not reached & {"server", "serving", "load"}
