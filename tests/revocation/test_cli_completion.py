"""Completion: a shell completes commands, options and kinds, from the script that the command prints."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import PROGRAM, Terminal, environment
from tests.support.processes import spawned
from tests.support.pseudo_terminal import a_terminal
from tests.support.requirements import require

_LIMIT_SECONDS = 60

#: Where pip puts the command beside the Python that runs the tests.
SCRIPTS = Path(sys.executable).parent

#: No server can be reached: completing must not need one.
UNREACHABLE = {"REVOCATION_REDIS_URL": "redis://127.0.0.1:1/0", "REVOCATION_HANDLES": "org=org_id"}


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys)


def test_a_real_bash_completes_what_is_typed() -> None:
    require(shutil.which("bash"), "bash is not installed")
    require((SCRIPTS / "revocation").exists(), "the command `revocation` is not installed beside this Python")
    path = f"{SCRIPTS}{os.pathsep}{os.environ['PATH']}"
    env = environment({**UNREACHABLE, "PATH": path, "TERM": "xterm", "PS1": "ready> ", "INPUTRC": os.devnull})

    with (
        a_terminal() as shell,
        spawned(
            ["bash", "--norc", "--noprofile", "-i"],
            env=env,
            stdin=shell.theirs,
            stdout=shell.theirs,
            stderr=shell.theirs,
            start_new_session=True,
        ) as process,
    ):
        shell.types('eval "$(revocation completion bash)"; echo REA""DY\n')
        shell.until("READY\r\n")
        shell.types("revocation rev\t")
        shell.until("revocation revoke ")
        shell.types("--ki\t")
        shell.until("revoke --kind ")
        shell.types("subj\t")
        shell.until("--kind subject ")
        shell.types("\x15exit\n")
        assert process.wait(_LIMIT_SECONDS) == 0


def _completed(shell: str, words: str, position: str) -> str:
    env = environment({**UNREACHABLE, "_REVOCATION_COMPLETE": f"{shell}_complete", "COMP_WORDS": words})
    done = subprocess.run(
        PROGRAM, env={**env, "COMP_CWORD": position}, capture_output=True, text=True, check=True, timeout=_LIMIT_SECONDS
    )
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize(
    ("shell", "words", "position", "answer"),
    [
        ("zsh", "revocation revoke --kind s", "3", "plain\nsession\n_\nplain\nsubject\n_\n"),
        # fish hands over what stands before the cursor, and the word itself in place of its position.
        ("fish", "revocation check --type J", "J", "plain,JWT"),
        ("fish", "revocation check --jwks dis", "dis", "plain,discover"),
        ("bash", "revocation --data-dir /sr", "2", "dir,/sr"),
        ("bash", "revocation list --kind or", "3", "plain,org"),
    ],
)
def test_every_shell_is_answered_in_its_own_way(shell: str, words: str, position: str, answer: str) -> None:
    assert answer.strip() in _completed(shell, words, position)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_names_the_command_and_its_question(terminal: Terminal, shell: str) -> None:
    script = terminal("completion", shell)

    assert script.code == 0
    assert f"_REVOCATION_COMPLETE={shell}_complete" in script.out
    assert "%(" not in script.out


def test_a_shell_that_nobody_knows_is_refused(terminal: Terminal) -> None:
    assert terminal("completion", "csh").code == 2
