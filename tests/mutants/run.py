"""`python -m tests.mutants.run [WORD ...]`: make every mistake in a copy of the tree, and see that a fast test fails.

A mistake is killed by a failing assertion and by nothing else: a test that dies of another exception, or hangs, has not
looked. Exits with 1 where a mistake is not killed, or where a patch fits the code no more. Words choose by what is in
the mistake.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

from tests.mutants.mutants import MUTANTS, Mutant

Fate = Literal["killed", "SURVIVED", "DIED OTHERWISE", "DOES NOT FIT", "TESTS FAIL ANYWAY"]

#: How a run of tests ended: all passed, an assertion failed, or something else happened.
Outcome = Literal["passed", "assertion", "otherwise"]

_ROOT = Path(__file__).parents[2]
_COPIED = ("revocation", "app", "tests", "pyproject.toml", "README.md", "docs", "monitoring")
_SECONDS = 120
_AT_ONCE = max(1, min(4, os.cpu_count() or 1))


def main() -> int:
    words = sys.argv[1:]
    chosen = [mutant for mutant in MUTANTS if not words or any(word in mutant.mistake for word in words)]
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="rv-mutants-") as name, ThreadPoolExecutor(_AT_ONCE) as pool:
        place = Path(name)
        # A test that fails anyway kills everything.
        needed = sorted({test for mutant in chosen for test in mutant.tests})
        sound = dict(zip(needed, pool.map(lambda test: _outcome(_copy(place), (test,)), needed), strict=True))
        fates = []
        for mutant, fate in zip(chosen, pool.map(lambda one: _fate(one, place, sound), chosen), strict=True):
            fates.append(fate)
            sys.stdout.write(f"{fate:<17} {mutant.mistake} ({mutant.file})\n")
            sys.stdout.flush()
    killed = fates.count("killed")
    sys.stdout.write(f"{killed} of {len(chosen)} mutants killed in {time.monotonic() - started:.0f} s\n")
    return 0 if killed == len(chosen) else 1


def _fate(mutant: Mutant, place: Path, sound: dict[str, Outcome]) -> Fate:
    if not (_ROOT / mutant.file).exists():
        return "DOES NOT FIT"
    text = (_ROOT / mutant.file).read_text("utf-8")
    if text.count(mutant.old) != 1:
        return "DOES NOT FIT"
    tree = _copy(place)
    (tree / mutant.file).write_text(text.replace(mutant.old, mutant.new), "utf-8")
    outcome = _outcome(tree, mutant.tests)
    shutil.rmtree(tree)
    if outcome == "passed":
        return "SURVIVED"
    if any(sound[test] != "passed" for test in mutant.tests):
        return "TESTS FAIL ANYWAY"
    return "killed" if outcome == "assertion" else "DIED OTHERWISE"


def _copy(place: Path) -> Path:
    tree = Path(tempfile.mkdtemp(dir=place))
    for name in _COPIED:
        source = _ROOT / name
        if source.is_dir():
            shutil.copytree(source, tree / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif source.exists():
            shutil.copy(source, tree / name)
    return tree


def _outcome(tree: Path, tests: tuple[str, ...]) -> Outcome:
    """What becomes of these tests in a tree."""
    plugins = ("-p", "no:cacheprovider", "-p", "pytest_timeout", "-p", "tests.mutants.verdict")
    command = [sys.executable, "-m", "pytest", "-q", *plugins, *tests]
    verdict = tree / "verdict"
    environment = os.environ | {
        "PYTHONPATH": str(tree),
        "PYTHONDONTWRITEBYTECODE": "1",
        # Locust's and Schemathesis' plugins take longer to import than most of these tests to run.
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "VERDICT": str(verdict),
    }
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=_SECONDS, check=False, text=True
        )
    except subprocess.TimeoutExpired:
        return "otherwise"
    if done.returncode == 0:
        return "passed"
    if verdict.exists() and verdict.read_text() == "assertion":
        return "assertion"
    sys.stderr.write(done.stdout[-2000:] + done.stderr[-2000:])
    return "otherwise"


if __name__ == "__main__":
    sys.exit(main())
