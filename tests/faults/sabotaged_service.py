"""`python -m tests.faults.sabotaged_service serve`: the service, whose answers name the worker that gave them.

FAULTS_SABOTAGE breaks it on purpose, so that the checker can show that it would notice.
"""

import os
import runpy
from typing import Any

from flask import Flask, Response

import app
from app.settings import Settings
from revocation import DenylistUnavailableError
from revocation.guard import Accepted, Decision, Guard
from revocation.redis.follower import Follower
from revocation.redis.head import Head
from revocation.redis.view import View

_create_app = app.create_app


def _naming_its_worker(settings: Settings) -> Flask:
    made = _create_app(settings)

    @made.after_request
    def name_worker(response: Response) -> Response:
        response.headers["X-Worker"] = str(os.getpid())
        return response

    return made


def accept_on_error() -> None:
    """Who cannot ask says yes."""
    decide = Guard.decide

    def lenient(self: Guard, token: str, *, max_staleness: float | None = None) -> Decision:
        decision = decide(self, token, max_staleness=max_staleness)
        if isinstance(decision, Accepted) or decision.claims is None:
            return decision
        if not isinstance(decision.error, DenylistUnavailableError):
            return decision
        return Accepted(decision.claims, decision.source, 0.0, 0.0)

    Guard.decide = lenient  # type: ignore[method-assign]  # sabotage


def stamp_at_receipt() -> None:
    """Knowledge counts as fresh from when it arrived, however long it was on its way."""
    refresh = Follower._refresh

    def late(self: Follower, view: View, head: Head, sent: float, now_ms: int) -> None:
        refresh(self, view, head, self._clock(), now_ms)

    Follower._refresh = late  # type: ignore[method-assign]  # sabotage


SABOTAGE: dict[str, Any] = {"accept-on-error": accept_on_error, "stamp-at-receipt": stamp_at_receipt}


def main() -> None:
    app.create_app = _naming_its_worker
    chosen = os.environ.pop("FAULTS_SABOTAGE", "")
    if chosen:
        SABOTAGE[chosen]()
    runpy.run_module("app", run_name="__main__")


if __name__ == "__main__":
    main()
