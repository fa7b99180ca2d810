"""From the acknowledgement of a revocation to its refusal in every worker, under load.

    python -m loadtest.propagation [--workers 8] [--revocations 1000] [--every-ms 3] [--load 4]

Every worker notes the instant (boot clock, one for the whole machine) at which it has applied a log entry, and from
which on it refuses the token; this process notes the instant at which its revocation was acknowledged. Receipts are
taken as well, for every tenth revocation. Meanwhile wrk asks a bounded route over `--load` connections.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from app.service import Stores
from app.settings import Settings
from app.startup import prepare
from loadtest.cost import URL, environment, minted, running
from revocation import EmbeddedServer, Handle
from revocation.clock import boottime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--revocations", type=int, default=1000)
    parser.add_argument("--every-ms", type=float, default=3.0)
    parser.add_argument("--load", type=int, default=4, help="connections that ask a bounded route meanwhile; 0: none")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        delays, receipts = _measure(Path(directory), chosen)
    print(f"{len(delays)} revocations, {chosen.workers} workers, {chosen.load} connections of load")
    _print("acknowledged to refused by the last worker", delays)
    _print("receipt: enforced by every worker", receipts)


def _measure(directory: Path, chosen: argparse.Namespace) -> tuple[list[float], list[float]]:
    env = environment(directory, algorithm="ES256") | {"LOADTEST_APPLIED": str(directory / "applied")}
    settings = Settings.from_mapping(
        {name: value for name, value in env.items() if name.startswith(("APP_", "REVOCATION_"))}
    )
    acknowledged: dict[str, float] = {}
    receipts: list[float] = []
    with EmbeddedServer(directory).owned():
        stores = Stores.of(settings)
        prepare(stores, settings)
        token = minted(stores, settings, directory)
        with running(env, worker_class="gthread", workers=chosen.workers):
            deadline = time.monotonic() + 30
            while len(stores.denylist.leases.living()) < chosen.workers:
                if time.monotonic() > deadline:
                    sys.exit("not every worker follows")
                time.sleep(0.05)
            load = _load(token, chosen.load)
            # After the last epoch was opened, receipts wait for the longest lease.
            time.sleep(2.5)
            for number in range(chosen.revocations):
                started = time.perf_counter()
                wait = 1.0 if number % 10 == 0 else 0.0
                handle = Handle("token", f"made-up-{number}", issuer=settings.issuer)
                receipt = stores.denylist.revoke(handle, wait_seconds=wait)
                if wait:
                    receipts.append(receipt.elapsed_seconds)
                    if not receipt.enforced:
                        print(f"not enforced within {wait} s: {receipt}")
                elif receipt.revocation is not None:
                    acknowledged[receipt.revocation.id.rpartition("-")[0]] = boottime()
                time.sleep(max(0.0, chosen.every_ms / 1000 - (time.perf_counter() - started)))
            time.sleep(1.0)
            if load is not None:
                load.terminate()
                load.wait()
    applied = [json.loads(file.read_text()) for file in sorted(directory.glob("applied.*"))]
    if len(applied) != chosen.workers:
        sys.exit(f"{len(applied)} of {chosen.workers} workers have written what they applied")
    return [max(0.0, max(one[id_] for one in applied) - at) for id_, at in acknowledged.items()], receipts


def _load(token: str, connections: int) -> "subprocess.Popen[bytes] | None":
    if not connections:
        return None
    command = ["wrk", "-t1", f"-c{connections}", "-d300s", "-H", f"Authorization: Bearer {token}"]
    return subprocess.Popen([*command, f"{URL}/loadtest/bounded"], stdout=subprocess.DEVNULL, env=dict(os.environ))


def _print(what: str, seconds: list[float]) -> None:
    quantiles = statistics.quantiles(seconds, n=100)
    p50, p99, most = (1000 * value for value in (quantiles[49], quantiles[98], max(seconds)))
    print(f"{what}: p50 {p50:.2f} ms, p99 {p99:.2f} ms, most {most:.2f} ms")


if __name__ == "__main__":
    main()
