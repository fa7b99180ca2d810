"""`python -m tests.search --seconds 600 [--seed N] [--server valkey|redis]`: look for a broken promise.

Prints the seed and the fewest steps that break each promise; exits with 1 where one is broken.
"""

import argparse
import secrets
import sys
import time
from typing import get_args

from tests.search.search import Counts, broken_cases, play, shrunk
from tests.search.world import Stage
from tests.support.servers import Make


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.search", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--server", choices=get_args(Make), default=None, help="the other one is searched after it")
    parser.add_argument("--skip", action="append", default=[], metavar="PROMISE", help="do not look at this promise")
    parser.add_argument("--all", action="store_true", help="go on after a broken promise, and look for others")
    options = parser.parse_args()
    seed = secrets.randbelow(10**9) if options.seed is None else options.seed
    makes: list[Make] = [options.server] if options.server else ["valkey", "redis"]
    failed = False
    for make in makes:
        failed |= _searched(make, seed, options.seconds / len(makes), frozenset(options.skip), go_on=options.all)
        if failed and not options.all:
            break
    return 1 if failed else 0


def _searched(make: Make, seed: int, seconds: float, skip: frozenset[str], *, go_on: bool) -> bool:
    """Whether a promise was broken on this server."""
    stage, counts, started = Stage(make, skip=skip), Counts(), time.monotonic()
    seen: set[str] = set()
    try:
        for case, broken in broken_cases(stage, seed=seed, seconds=seconds, counts=counts):
            if broken.promise in seen and go_on:
                continue
            seen.add(broken.promise)
            least = shrunk(stage, case, broken)
            again = play(stage, least) or broken
            _say(f"BROKEN on {make} with seed {seed}, case {counts.cases}: {again.seen}\n{least}")
            if not go_on:
                break
    finally:
        stage.close()
    took = time.monotonic() - started
    _say(
        f"{make}, seed {seed}: {counts.steps} steps in {counts.cases} cases, {took:.0f} s, {len(seen)} broken promises"
    )
    return bool(seen)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
