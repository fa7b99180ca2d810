"""`make` changes nothing beyond its own clone."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import ROOT

LOCK, SERVICE_LOCK = "requirements.lock", "requirements-service.lock"


@pytest.mark.parametrize("newer", [LOCK, SERVICE_LOCK, "pyproject.toml"])
def test_an_environment_that_is_a_link_is_left_alone(tmp_path: Path, newer: str) -> None:
    theirs, clone = tmp_path / "theirs", tmp_path / "clone"
    theirs.mkdir()
    clone.mkdir()
    for name in ("Makefile", LOCK, SERVICE_LOCK, "pyproject.toml"):
        shutil.copy(ROOT / name, clone)
        os.utime(clone / name, (1, 1))
    for name in (".locked", ".serves", ".installed", "precious"):
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
        (".locked", ".serves", ".installed", "precious"), "theirs"
    )


def pinned(lock: str) -> dict[str, set[str]]:
    """The hashes of each version in a lock."""
    text = (ROOT / lock).read_text("utf-8")
    found = re.findall(r"^([\w.-]+==[^\s;]+).*((?:\n    --hash=\S+.*)+)", text, re.MULTILINE)
    return {version: set(re.findall(r"sha256:\w+", hashes)) for version, hashes in found}


def test_what_serves_is_locked_to_what_is_tested() -> None:
    tested, serves = pinned(LOCK), pinned(SERVICE_LOCK)

    assert len(serves) > 30
    assert {version: tested.get(version) for version in serves} == serves
    assert not {"pytest", "locust", "sphinx", "uv"} & {version.partition("==")[0] for version in serves}
