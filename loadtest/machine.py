"""Machine: where a run takes place, and which versions it measures."""

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from loadtest.counters import Counters
from loadtest.processes import CORES, PINNED
from loadtest.results import ROOT, Generator, Machine
from tests.support.servers import running


def machine() -> Machine:
    """The machine of this process."""
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu(),
        cores=len(CORES),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        pinned=PINNED,
    )


def versions() -> dict[str, str]:
    """The versions of what is installed here."""
    with running("valkey") as valkey:
        server = Counters(valkey.client()).version
    names = ("flask", "pyjwt", "redis", "gunicorn", "locust", "flask_jwt_extended", "flask_session")
    return {"python": platform.python_version(), "redis_server": server} | {name: version(name) for name in names}


def load_generator() -> Generator:
    """The generator of the load, and what it limits."""
    where = "on a core of its own" if PINNED else "on the core of the servers"
    return Generator(
        name="locust",
        note=f"Four users, each asking as soon as it was answered, {where}. Locust spends more CPU on a request than "
        "most contestants do, so requests per second and response times are its own limits; the cost is CPU time of "
        "the server's worker processes, which it does not touch.",
    )


def commit() -> str:
    """The commit of this tree, with a plus where it has changed since; `unknown` outside a repository."""
    try:
        head = _git("rev-parse", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=True, text=True, timeout=30).stdout.strip()


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    names = [line.partition(": ")[2] for line in info.read_text().splitlines() if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
