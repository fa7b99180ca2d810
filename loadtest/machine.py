"""Machine: where a run takes place, and which versions it measures."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Final

from loadtest.load import driver
from loadtest.processes import CORES
from loadtest.results import Machine
from loadtest.server import ROOT, store

_PACKAGES: Final = ("Flask", "gunicorn", "PyJWT", "joserfc", "redis", "Flask-JWT-Extended", "Flask-Session")


def machine() -> Machine:
    """The machine of this process."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(": ")[2] for line in info.read_text().splitlines() if line.startswith("model name")]
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        cpu=names[0] if names else platform.machine(),
        cores=len(CORES),
        driver=driver(),
        load_average=round(os.getloadavg()[0], 2),
    )


def versions() -> dict[str, str]:
    """The versions of what is installed here."""
    with store() as valkey:
        server = valkey.client().info("server")
    name = "Valkey" if "valkey_version" in server else "Redis"
    return {
        "Python": platform.python_version(),
        name: str(server.get("valkey_version") or server["redis_version"]),
        **{package: version(package) for package in _PACKAGES},
    }


def commit() -> str:
    """The commit of this tree, with a plus where it has changed since; `unknown` outside a repository."""
    try:
        changed = _git("status", "--porcelain", "--untracked-files=no")
        return _git("rev-parse", "HEAD")[:12] + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=30).stdout.strip()
