"""docs/python.md from the docstrings: `python -m tests.python_reference` writes it, test_docs.py checks it."""

import ast
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

_ROOT = Path(__file__).parents[1]
PYTHON: Final = _ROOT / "docs" / "python.md"

#: Module by module what there is to read, in the order in which a reader needs it.
CHAPTERS: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "Deciding": {
        "guard": ("Guard", "Decision"),
        "verifier": ("TokenVerifier",),
        "claims": ("Claims", "Handle"),
    },
    "Revoking": {
        "redis.connect": ("connect",),
        "redis.denylist": ("RedisDenylist",),
        "denylist": ("Receipt", "Revocation", "Page", "Lifetimes", "Denylist"),
        "memory": ("MemoryDenylist",),
    },
    "Keys and tokens": {
        "keys": ("Key", "KeySet", "KeySource"),
        "key_directory": ("KeyDirectory",),
        "issuer": ("TokenIssuer",),
    },
    "Flask": {"flask": ("BearerAuth", "bearer_token")},
    "Tests of your own": {"testing": ("Sandbox", "Clock")},
    "Metrics": {"metrics": ("FollowerMetrics", "observe", "count")},
    "Settings and the embedded store": {"settings": ("RevocationSettings",), "redis.embedded": ("EmbeddedServer",)},
}

#: What `revocation` itself does not export.
BESIDE: Final = ("flask", "testing", "metrics")

_HEAD = (
    "# Python reference\n\nWhat each part promises, as its docstring says it. Everything is imported from `revocation`,"
    " unless a chapter names another module. Arguments behind `*` are given by name. Instants are seconds since the "
    "epoch unless their name ends with `_ms`; durations are seconds.\n"
)

_WIDTH: Final = 100


def reference() -> str:
    """The whole page."""
    parts = [_HEAD]
    for title, modules in CHAPTERS.items():
        parts.append(f"## {title}\n")
        for module, names in modules.items():
            if module in BESIDE:
                parts.append(f"`from revocation.{module} import {', '.join(names)}`\n")
            source = (_ROOT / "revocation" / f"{module.replace('.', '/')}.py").read_text("utf-8")
            top = {one.name: one for one in ast.parse(source).body if isinstance(one, ast.ClassDef | ast.FunctionDef)}
            for name in names:
                parts += [f"### {name}\n", *_described(top[name], source.splitlines())]
    return re.sub(r"\n{3,}", "\n\n", "\n".join([*parts, "## Errors\n", *_errors()]))


def _errors() -> Iterator[str]:
    module = ast.parse((_ROOT / "revocation" / "errors.py").read_text("utf-8"))
    yield _prose(ast.get_docstring(module) or "")
    yield "\n".join(
        f"- `{one.name}`: {_line(ast.get_docstring(one))}" for one in module.body if isinstance(one, ast.ClassDef)
    )
    yield ""


def _described(node: ast.ClassDef | ast.FunctionDef, lines: Sequence[str]) -> Iterator[str]:
    if isinstance(node, ast.FunctionDef):
        yield from _method(node, name=node.name)
        return
    functions = [one for one in node.body if isinstance(one, ast.FunctionDef)]
    for one in functions:
        if one.name == "__init__":
            yield _fenced(_signature(one, name=node.name))
    yield _prose(ast.get_docstring(node) or "")
    public = [one for one in functions if not one.name.startswith("_")]
    properties = [one for one in public if _decorators(one) & {"property", "cached_property"}]
    attributes = [_attribute(one.name, one.returns, ast.get_docstring(one)) for one in properties]
    yield "\n".join([*_fields(node, lines), *attributes, ""])
    for one in public:
        if one not in properties:
            yield from _method(one, name=f"{node.name}.{one.name}" if "classmethod" in _decorators(one) else one.name)


def _decorators(node: ast.FunctionDef) -> set[str]:
    return {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}


def _method(node: ast.FunctionDef, *, name: str) -> Iterator[str]:
    yield _fenced(_signature(node, name=name))
    yield _prose(ast.get_docstring(node) or "")


def _fields(node: ast.ClassDef, lines: Sequence[str]) -> Iterator[str]:
    """The attributes of a dataclass, with their `#:` comments."""
    if not any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        return
    for one in node.body:
        if isinstance(one, ast.AnnAssign):
            above = one.lineno - 1
            while lines[above - 1].strip().startswith("#:"):
                above -= 1
            said = " ".join(line.strip().removeprefix("#:") for line in lines[above : one.lineno - 1])
            yield _attribute(ast.unparse(one.target), one.annotation, said, value=one.value)


def _attribute(name: str, annotation: ast.expr | None, said: str | None, *, value: ast.expr | None = None) -> str:
    default = f" = {_code(value)}" if value is not None and "field(" not in ast.unparse(value) else ""
    typed = f": {_code(annotation)}" if annotation else ""
    return f"- `{name}{typed}{default}`" + (f": {_line(said)}" if said else "")


def _signature(node: ast.FunctionDef, *, name: str) -> str:
    arguments = list(_arguments(node.args))
    returns = "" if node.returns is None or node.name == "__init__" else f" -> {_code(node.returns)}"
    line = f"{name}({', '.join(arguments)}){returns}"
    return (
        line
        if len(line) <= _WIDTH
        else "\n    ".join([f"{name}(", *(f"{one}," for one in arguments)]) + f"\n){returns}"
    )


def _arguments(given: ast.arguments) -> Iterator[str]:
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + [*given.defaults]
    for one, default in zip(plain, defaults, strict=True):
        if one.arg not in ("self", "cls"):
            yield _argument(one, default)
    if given.vararg or given.kwonlyargs:
        yield f"*{given.vararg.arg if given.vararg else ''}"
    for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _argument(one, default)


def _argument(one: ast.arg, default: ast.expr | None) -> str:
    annotation = f": {_code(one.annotation)}" if one.annotation else ""
    return f"{one.arg}{annotation}" + (f" = {_code(default)}" if default is not None else "")


def _code(node: ast.expr) -> str:
    """As it is written; an annotation in quotes without them."""
    text = ast.unparse(node)
    quoted = re.fullmatch(r"'([A-Za-z.]+(?: \| [A-Za-z.]+)+|[A-Z][A-Za-z]+)'", text)
    return quoted[1] if quoted else text.replace("'", '"')


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _fenced(text: str, language: str = "python") -> str:
    return f"```{language}\n{text}\n```\n"


def _prose(docstring: str) -> str:
    """A docstring as Markdown: a line for each paragraph, sessions and trees in a fence."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(docstring)):
        if paragraph.startswith(">>>"):
            paragraphs.append(_fenced(paragraph))
        elif paragraph.startswith(" "):
            paragraphs.append(_fenced(inspect.cleandoc(paragraph), "text"))
        elif paragraph != "::":
            paragraphs.append(_line(paragraph) + "\n")
    return "\n".join(paragraphs)


if __name__ == "__main__":
    PYTHON.write_text(reference(), "utf-8")
