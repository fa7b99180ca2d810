"""The contestants: the same route behind the same server, each with another way to decide who gets in.

Everything around them is the service's own: JSON logs, metrics, `Server-Timing`.
"""

import atexit
import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
from flask import Flask, Response, g, jsonify, request

from app import create_app
from app.bearer import bearer
from app.service import Service, service
from app.settings import Settings
from revocation.clock import boottime
from revocation.view import Outcome, View

#: In the order in which they take turns.
NAMES = ("none", "textbook", "stateless", "bounded", "strict")


def create() -> Flask:
    """The service with one route more for each contestant (for gunicorn; settings from the environment)."""
    app = create_app(Settings.from_mapping(os.environ))
    key = Path(os.environ["LOADTEST_PUBLIC_KEY"]).read_bytes()
    settings = service_of(app).settings

    def textbook(view: Callable[[], Response]) -> Callable[[], Response]:
        @functools.wraps(view)
        def guarded() -> Response:
            scheme, _, token = request.headers.get("Authorization", "").partition(" ")
            if scheme != "Bearer":
                return Response(status=401)
            try:
                g.subject = jwt.decode(
                    token, key, algorithms=[settings.algorithm], audience=settings.audience, issuer=settings.issuer
                )["sub"]
            except jwt.PyJWTError:
                return Response(status=401)
            return view()

        return guarded

    def add(name: str, view: Callable[[], Response]) -> None:
        app.add_url_rule(f"/loadtest/{name}", name, view)

    def by_claims() -> Response:
        return jsonify({"sub": bearer.claims.subject})

    add("none", lambda: jsonify({"sub": "ada"}))
    add("textbook", textbook(lambda: jsonify({"sub": g.subject})))
    add("stateless", bearer.required(max_staleness=float("inf"))(by_claims))
    add("bounded", bearer.required(max_staleness=1.0)(by_claims))
    add("strict", bearer.required(max_staleness=0)(by_claims))
    guard = service_of(app).guard
    if "LOADTEST_APPLIED" in os.environ:
        _note_applied(Path(f"{os.environ['LOADTEST_APPLIED']}.{os.getpid()}"))
    guard.start()
    return app


def _note_applied(path: Path) -> None:
    """Write down when this worker has applied each log entry, at its end."""
    applied: dict[str, float] = {}
    apply = View.apply

    def noting(view: View, entry_id: bytes, *args: Any, **kwargs: Any) -> Outcome:
        outcome = apply(view, entry_id, *args, **kwargs)
        applied.setdefault(entry_id.decode(), boottime())
        return outcome

    View.apply = noting  # type: ignore[assignment,method-assign]  # a measuring instrument, in this process only
    atexit.register(lambda: path.write_text(json.dumps(applied)))


def service_of(app: Flask) -> Service:
    """What the app works with."""
    with app.app_context():
        return service()
