"""Instruments: what can only be measured inside a worker."""

import math
import os
import time
from typing import Any, Final

from flask import Flask, Response, jsonify

from app.service import Service, denylist
from loadtest.contestants import PATH
from loadtest.processes import memory_bytes
from revocation import Handle
from revocation.handles import KINDS
from revocation.redis.follower import Follower

CATCH_UP: Final = f"{PATH}/catch-up"
CHECK: Final = f"{PATH}/check"

_CHECKS: Final = 20_000
_LOOK_SECONDS: Final = 0.0005


def add(app: Flask) -> None:
    """Add the instruments to a worker. Where LOADTEST_NAME_WORKERS is set, each answer says which worker gave it."""
    service: Service = app.extensions["service"]
    kept: list[Follower] = []

    def catch_up() -> Response:
        """Read the whole log with one more follower, which stays, and say what that took."""
        before = memory_bytes(os.getpid())
        started = time.perf_counter()
        follower = Follower(denylist(service.settings))
        follower.start()
        while follower.state.age_seconds == math.inf:
            time.sleep(_LOOK_SECONDS)
        seconds = time.perf_counter() - started
        follower.stop()
        kept[:] = [follower]
        worker_bytes = max(0, memory_bytes(os.getpid()) - before)
        return jsonify({"seconds": seconds, "entries": follower.state.entries, "worker_bytes": worker_bytes})

    def check() -> Response:
        """The microseconds of one check of a token with all its handles, the median of several bunches."""
        follower: Any = service.guard.follower
        issuer = service.settings.issuer
        handles = [Handle(kind, "" if kind == "issuer" else f"some-{kind}", issuer=issuer) for kind in KINDS]
        bunches = []
        for _ in range(5):
            started = time.perf_counter()
            for _ in range(_CHECKS):
                follower.look_up(handles)
            bunches.append((time.perf_counter() - started) / _CHECKS)
        return jsonify({"check_us": 1e6 * sorted(bunches)[2], "entries": follower.state.entries})

    app.add_url_rule(CATCH_UP, "loadtest.catch_up", catch_up, methods=["POST"])
    app.add_url_rule(CHECK, "loadtest.check", check)
    if "LOADTEST_NAME_WORKERS" in os.environ:
        app.after_request(_name_worker)


def _name_worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
