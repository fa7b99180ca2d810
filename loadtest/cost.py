"""CPU microseconds of the server per request, contestant by contestant, in turns.

    python -m loadtest.cost [--algorithm ES256] [--worker-class gthread] [--rounds 5] [--seconds 2]

One worker, pinned to one core; the generator (wrk) on the other. The cost is read from the operating system's
accounting of the worker process, so that what the generator or the network limits does not count. Ratios are taken
within a round and given as median with minimum and maximum.
"""

import argparse
import base64
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization

from app.keyring import Keyring
from app.service import Stores
from app.settings import Settings
from app.startup import prepare
from loadtest.contestants import NAMES
from revocation import EmbeddedServer, TokenIssuer

_TICKS = os.sysconf("SC_CLK_TCK")
_CORES = sorted(os.sched_getaffinity(0))
_PORT = 18_765
URL = f"http://127.0.0.1:{_PORT}"

#: What the project sets out to reach: contestant, opponent, least ratio of requests per CPU second.
_TARGETS = {
    "ES256": [("bounded", "textbook", 1.45), ("bounded", "none", 0.93), ("strict", "textbook", 1.05)],
    "HS256": [("bounded", "textbook", 1.1), ("bounded", "none", 0.93)],
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--algorithm", default="ES256")
    parser.add_argument("--worker-class", default="gthread")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2, help="of load for each contestant and round")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        figures = _measure(Path(directory), chosen)
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=1))
    _print(figures, chosen.algorithm)


def _measure(directory: Path, chosen: argparse.Namespace) -> dict[str, list[float]]:
    env = environment(directory, algorithm=chosen.algorithm)
    settings = Settings.from_mapping(
        {name: value for name, value in env.items() if name.startswith(("APP_", "REVOCATION_"))}
    )
    with EmbeddedServer(directory).owned():
        stores = Stores.of(settings)
        prepare(stores, settings)
        token = minted(stores, settings, directory)
        with running(env, worker_class=chosen.worker_class, workers=1, core=_CORES[0]) as (worker,):
            for name in NAMES:
                _check(name, token)
                _load(name, token, 1)
            costs: dict[str, list[float]] = {name: [] for name in NAMES}
            for _ in range(chosen.rounds):
                for name in NAMES:
                    before = _cpu_seconds(worker)
                    answered = _load(name, token, chosen.seconds)
                    costs[name].append(1e6 * (_cpu_seconds(worker) - before) / answered)
    return costs


def environment(directory: Path, *, algorithm: str) -> dict[str, str]:
    """Settings of the service, and of the contestants beside it, for one run."""
    return {
        "APP_DATA_DIR": str(directory),
        "APP_ALGORITHM": algorithm,
        "APP_BIND": f"127.0.0.1:{_PORT}",
        # A machine that does all of this at once is slow at times; that is not what is measured.
        "REVOCATION_TIMEOUT": "1.0",
        "APP_ADMIN_PASSWORD": base64.b64encode(os.urandom(12)).decode(),
        "LOADTEST_PUBLIC_KEY": str(directory / "verifying-key"),
    }


def minted(stores: Stores, settings: Settings, directory: Path) -> str:
    """A good token; the key that verifies it is written to where the contestants look for it."""
    (directory / "verifying-key").write_bytes(_verifying_key(stores.keyring))
    issuer = TokenIssuer(stores.keyring.source(), issuer=settings.issuer, audience=settings.audience)
    issued_at = stores.denylist.now_ms() / 1000
    return issuer.issue("ada", session="s" * 22, scope="reports:read", issued_at=issued_at)


def _verifying_key(keyring: Keyring) -> bytes:
    key: Any = keyring.source().key_set().signing_key().verifying
    if isinstance(key, bytes):
        return key
    pem: bytes = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


@contextlib.contextmanager
def running(
    env: dict[str, str], *, worker_class: str, workers: int, core: int | None = None
) -> Iterator[tuple[int, ...]]:
    """The contestants under gunicorn, pinned to a core if one is named; yields the workers' process ids."""
    command = [sys.executable, "-m", "gunicorn", "-w", str(workers), "-k", worker_class, "--threads", "4"]
    command += ["-b", env["APP_BIND"], "--no-control-socket", "loadtest.contestants:create()"]
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    process = subprocess.Popen(
        [*pinned, *command],
        env={**os.environ, **env},
        stdout=subprocess.DEVNULL,
        stderr=(Path(env["APP_DATA_DIR"]) / "log").open("w"),
    )
    try:
        deadline = time.monotonic() + 30
        while not _answers():
            if process.poll() is not None or time.monotonic() > deadline:
                sys.exit((Path(env["APP_DATA_DIR"]) / "log").read_text())
            time.sleep(0.05)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        yield tuple(map(int, children))
    finally:
        process.terminate()
        process.wait()


def _answers() -> bool:
    try:
        with urllib.request.urlopen(f"{URL}/readyz", timeout=1) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _check(name: str, token: str) -> None:
    """Right before fast: a good token gets in, a bad one does not."""
    for sent, expected in ((token, 200), (token[:-6] + "AAAAAA", 200 if name == "none" else 401)):
        request = urllib.request.Request(f"{URL}/loadtest/{name}", headers={"Authorization": f"Bearer {sent}"})
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                status = answer.status
        except urllib.error.HTTPError as error:
            status = error.code
        if status != expected:
            sys.exit(f"{name} answers {status} where {expected} is right")


def _load(name: str, token: str, seconds: int) -> int:
    """Requests answered; none of them with an error."""
    command = ["taskset", "-c", str(_CORES[-1]), "wrk", "-t1", "-c4", f"-d{seconds}s"]
    command += ["-H", f"Authorization: Bearer {token}", f"{URL}/loadtest/{name}"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        sys.exit(f"{name}: {output}")
    answered = re.search(r"(\d+) requests in", output)
    if answered is None:
        sys.exit(output)
    return int(answered[1])


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _print(costs: dict[str, list[float]], algorithm: str) -> None:
    for name, values in costs.items():
        print(
            f"{name:10} {statistics.median(values):7.1f} us CPU per request  ({min(values):.1f} to {max(values):.1f})"
        )
    for name, other, target in _TARGETS.get(algorithm, []):
        ratios = [theirs / ours for ours, theirs in zip(costs[name], costs[other], strict=True)]
        median = statistics.median(ratios)
        verdict = "met" if median >= target else "MISSED"
        print(f"{name} / {other}: {median:.2f}x ({min(ratios):.2f} to {max(ratios):.2f}), target {target}x: {verdict}")


if __name__ == "__main__":
    main()
