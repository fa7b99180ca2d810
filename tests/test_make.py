"""`make` changes nothing beyond its own clone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT


@pytest.mark.parametrize("newer", ["requirements.lock", "pyproject.toml"])
def test_an_environment_that_is_a_link_is_left_alone(tmp_path: Path, newer: str) -> None:
    theirs, clone = tmp_path / "theirs", tmp_path / "clone"
    theirs.mkdir()
    clone.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
        os.utime(clone / name, (1, 1))
    for name in (".locked", ".installed", "precious"):
        (theirs / name).write_text("theirs")
        os.utime(theirs / name, (2, 2))
    (clone / ".venv").symlink_to(theirs)
    (clone / newer).touch()

    done = subprocess.run(
        ["make", "install", f"PYTHON={sys.executable}"],
        cwd=clone,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert done.returncode != 0
    assert f".venv is a link to {theirs}" in done.stderr
    assert "rm .venv" in done.stderr
    assert (clone / ".venv").readlink() == theirs
    assert {path.name: path.read_text() for path in theirs.iterdir()} == dict.fromkeys(
        (".locked", ".installed", "precious"), "theirs"
    )
