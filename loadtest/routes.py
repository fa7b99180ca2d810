"""Routes: what a contestant serves beside the service's own: the protected route, and what is measured in a worker."""

import functools
import math
import os
import time
from collections.abc import Callable
from typing import Any, Final

from flask import Flask, Response, jsonify, request

from app.service import Service
from app.stores import denylist
from loadtest.contestants import CATCH_UP, CHECK, PATH, SIGN_IN, SIGN_OUT
from loadtest.peers import FlaskJwtExtended, FlaskSession, Introspection
from loadtest.processes import memory_bytes
from loadtest.protection import Open, Ours, Protection, Textbook
from loadtest.results import Contestant
from revocation import Handle
from revocation.handles import KINDS
from revocation.redis.follower import Follower

_CHECKS: Final = 20_000
_LOOK_SECONDS: Final = 0.0005


def add(app: Flask, *, contestant: Contestant) -> None:
    """Add the routes of a contestant. With LOADTEST_NAME_WORKERS every answer says which worker gave it."""
    _add_protected(app, contestant)
    _add_instruments(app)
    if "LOADTEST_NAME_WORKERS" in os.environ:
        app.after_request(_name_worker)


def _add_protected(app: Flask, contestant: Contestant) -> None:
    """The route, with ways to sign in and out that are not measured."""
    ways: dict[Contestant, Callable[[Service], Protection]] = {
        "none": Open,
        "session": functools.partial(FlaskSession, app),
        "textbook": Textbook,
        "jwt_extended": functools.partial(FlaskJwtExtended, app),
        "introspection": Introspection,
    }
    protection = ways.get(contestant, Ours)(app.extensions["service"])

    def protected() -> Response:
        return jsonify({"sub": protection.subject()})

    def sign_in() -> Response:
        return jsonify(protection.sign_in())

    def sign_out() -> Response:
        # All processes of the machine share this clock.
        started = time.monotonic()
        protection.sign_out(wait_seconds=request.args.get("wait_seconds", 0.0, float))
        acknowledged = time.monotonic()
        return jsonify({"acknowledged_at": acknowledged, "seconds": acknowledged - started})

    app.add_url_rule(PATH, "loadtest", protection.protect(protected))
    app.add_url_rule(SIGN_IN, "loadtest.sign_in", sign_in, methods=["POST"])
    app.add_url_rule(SIGN_OUT, "loadtest.sign_out", sign_out, methods=["POST"])


def _add_instruments(app: Flask) -> None:
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


def _name_worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
