"""The documents' code blocks and sessions, as the tests run them."""

import doctest
import re
import secrets
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
MAKEFILE = ROOT / "Makefile"
DOCS = ROOT / "docs"
INDEX = DOCS / "index.md"
ARCHITECTURE = DOCS / "architecture.md"
FRAMEWORKS = DOCS / "frameworks.md"
FLASK = DOCS / "flask.md"
SERVICE = DOCS / "service.md"
GUARANTEES = DOCS / "guarantees.md"
COMMANDS = DOCS / "commands.md"
OPERATING = DOCS / "operating.md"
ISSUERS = DOCS / "issuers.md"
MIGRATING = DOCS / "migrating.md"
PROTOCOL = DOCS / "protocol.md"

_BLOCK = re.MULTILINE | re.DOTALL


def section(title: str, *, of: Path = README) -> str:
    """The text under one heading, up to the next heading of the same or a higher level."""
    text = of.read_text("utf-8")
    start = re.search(rf"^(#+) {re.escape(title)}$", text, re.MULTILINE)
    assert start is not None, f"{of.name} has no heading {title!r}"
    rest = text[start.end() :]
    end = re.search(rf"^#{{1,{len(start[1])}}} ", re.sub(r"^```.*?^```", _blanked, rest, flags=_BLOCK), re.MULTILINE)
    return rest[: end.start()] if end else rest


def blocks(language: str, *, under: str, of: Path = README) -> list[str]:
    """The code blocks in a language under one heading."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", section(under, of=of), _BLOCK)
    assert found, f"{of.name} has no {language} under {under!r}"
    return found


def run_session(session: str, *, env: Mapping[str, str], directory: Path, replacing: Mapping[str, str]) -> None:
    """Run the commands of a console session in one shell, and compare what each prints with what is shown.

    `...` stands for anything; `replacing` says what to run in the place of what is written.
    """
    commands, shown = [], []
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        command, output = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.DOTALL).groups()  # type: ignore[union-attr]  # matches all
        for written, ours in replacing.items():
            command = command.replace(written, ours)
        commands.append(command)
        shown.append(output)
    assert commands, "there is no command"
    end = secrets.token_hex(8)
    script = "".join(f"{command}echo {end}\n" for command in commands)
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=directory,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,  # as on a terminal
        text=True,
        check=False,
        timeout=120,
    )
    printed = done.stdout.replace("\r", "").split(f"{end}\n")
    assert len(printed) == len(shown) + 1, f"after {commands[len(printed) - 1]}: {printed[-1]}"
    checker = doctest.OutputChecker()
    for command, wanted, got in zip(commands, shown, printed, strict=False):
        one_line = got if got.endswith("\n") or not got else got + "\n"
        assert checker.check_output(wanted, one_line, doctest.ELLIPSIS), f"{command}shown: {wanted}\nprinted: {got}"


def _blanked(block: re.Match[str]) -> str:
    """Comments in a shell block look like headings."""
    return re.sub(r"\S", "x", block[0])
