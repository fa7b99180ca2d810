"""Terminal: the command `revocation` as somebody runs it, in this process or in one of its own."""

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from revocation.cli.commands import run
from tests.support.processes import spawned

#: What the console script does.
PROGRAM = (sys.executable, "-m", "revocation")


@dataclass(frozen=True)
class Done:
    """What came of one run."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one document that was printed."""
        return json.loads(self.out)


class Terminal:
    """Runs the command with nothing in the environment but what it is given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], **env: str) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        self.env = env

    def __call__(self, *arguments: str, stdin: str = "", **env: str) -> Done:
        for name in os.environ:
            if name.startswith(("REVOCATION_", "APP_")):
                self._monkeypatch.delenv(name)
        for name, value in (self.env | env).items():
            self._monkeypatch.setenv(name, value)
        self._monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        self._capsys.readouterr()
        code = run(arguments)
        printed = self._capsys.readouterr()
        return Done(code, printed.out, printed.err)


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """This process's environment, with these settings of ours and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REVOCATION_", "APP_"))}
    return {**kept, **env}


def spawn(
    *arguments: str, env: Mapping[str, str], stdout: int = subprocess.PIPE
) -> "AbstractContextManager[subprocess.Popen[str]]":
    """The command in a process of its own until the block ends, its output in pipes."""
    return spawned(
        [*PROGRAM, *arguments],
        env=environment(env),
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
    )
