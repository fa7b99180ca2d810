"""What the modules of the service know of each other."""

import ast
from pathlib import Path

import pytest

import app

PACKAGE = Path(app.__file__).parent

#: From the bottom up: a module imports only from rows that stand before its own. A package that is named alone stands
#: for all of its modules.
LAYERS = (
    ("session_ids",),
    (
        "greenlets",
        "instants",
        "metric_files",
        "readiness",
        "refresh_tokens",
        "devices",
        "keyring",
        "throttle",
        "database.errors",
    ),
    ("database.migrations.versions",),
    ("database.migrations",),
    ("database.pool", "database.rows", "database.turns", "database.url"),
    ("database.postgresql", "database.schema", "database.sqlite"),
    ("database.database",),
    ("database",),
    ("background",),
    ("scopes", "passwords", "audit"),
    ("announced_keys", "audit_backlog", "clients", "settings", "sessions"),
    ("users",),
    ("audit_copier", "grants", "stores"),
    ("demonstration.account", "demonstration.entries", "demonstration.server_sessions"),
    ("demonstration.brief_tokens", "demonstration.outage"),
    ("demonstration",),
    ("revocations",),
    ("debts",),
    ("debt_payer",),
    ("health",),
    ("accounts", "startup"),
    ("service",),
    # HTTP begins here.
    ("bearer", "browsers", "logs", "metrics", "mount", "problems"),
    ("openapi",),
    ("routes.context", "routes.formats"),
    ("routes.pages", "routes.auth", "routes.operations", "routes.resources", "routes.verify", "routes.wellknown"),
    ("routes.console", "routes.demo", "routes.docs", "routes.oauth", "routes.playground"),
    (
        "routes.admin.audit",
        "routes.admin.changes",
        "routes.admin.clients",
        "routes.admin.health",
        "routes.admin.revocations",
        "routes.admin.search",
        "routes.admin.sessions",
        "routes.admin.throttle",
        "routes.admin.users",
    ),
    ("routes.admin",),
    ("routes",),
    ("app",),
    ("arbiter", "worker"),
    ("openapi.__main__", "server"),
    ("commands.embedded_store",),
    ("commands.init", "commands.operator"),
    ("commands.audit", "commands.clients", "commands.keys", "commands.serve", "commands.users"),
    ("commands",),
    ("__main__",),
)
RANK = {module: rank for rank, row in enumerate(LAYERS) for module in row}

#: The row of the first module that may know HTTP.
HTTP = RANK["bearer"]

FILES = {
    ".".join(file.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): file
    for file in PACKAGE.rglob("*.py")
    if file != PACKAGE / "__init__.py"
} | {"app": PACKAGE / "__init__.py"}

MODULES = sorted(FILES)


def place(module: str) -> str:
    """The name of a module in LAYERS: its own, or that of its package."""
    return module if module in RANK else module.rpartition(".")[0]


def imported(module: str) -> set[str]:
    """The full names of all modules, and of what is taken from them, that a module imports anywhere in its text."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} has a relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def of_the_service(module: str) -> set[str]:
    """The modules of the service that a module imports, by their names in LAYERS."""
    ours = set()
    for name in imported(module):
        package, _, inside = name.partition(".")
        if package != "app":
            continue
        while inside and inside not in FILES:
            inside = inside.rpartition(".")[0]
        ours.add(place(inside or "app"))
    return ours


def test_every_module_has_a_place_in_the_layers() -> None:
    assert {place(module) for module in MODULES} == RANK.keys(), "say in LAYERS what a new module may know"


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_down_only(module: str) -> None:
    upward = {name for name in of_the_service(module) - {place(module)} if RANK[name] >= RANK[place(module)]}

    assert not upward


@pytest.mark.parametrize("module", [module for module in MODULES if RANK[place(module)] < HTTP])
def test_nothing_of_the_domain_knows_http(module: str) -> None:
    assert not {name for name in imported(module) if name.split(".")[0] in ("flask", "werkzeug", "gunicorn", "click")}
    assert not {name for name in imported(module) if name.startswith("revocation.flask")}


@pytest.mark.parametrize("module", [module for module in MODULES if place(module).startswith("commands")])
def test_commands_know_no_route(module: str) -> None:
    assert not {name for name in of_the_service(module) if name.startswith("routes")}


def test_nothing_imports_in_a_circle() -> None:
    """Layers have no circle between them, but the modules of a package that shares one place might have one."""
    graph = {
        module: {
            name.removeprefix("app.").rpartition(".")[0] if name.removeprefix("app.") not in FILES else name[4:]
            for name in imported(module)
            if name.startswith("app.")
        }
        & FILES.keys()
        for module in MODULES
    }
    while graph:
        free = {module for module, needs in graph.items() if not needs & graph.keys() - {module}}
        assert free, f"these import each other: {sorted(graph)}"
        graph = {module: needs for module, needs in graph.items() if module not in free}
