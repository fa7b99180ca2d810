"""For those who run it: liveness, readiness, metrics."""

import math
from typing import Any

from flask import Blueprint, Response, jsonify

from app import metrics
from app.instants import rfc3339
from app.readiness import is_draining
from app.service import service
from revocation import DenylistEmptyError, DenylistUnavailableError
from revocation.follower import Follower

routes = Blueprint("operations", __name__)


@routes.get("/healthz")
def healthz() -> Response:
    """Alive; with what it knows of Redis. That is a field and no status: every process would leave together."""
    return jsonify({"status": "ok", "denylist": _denylist(), "follower": _follower()})


@routes.get("/readyz")
def readyz() -> Response:
    """503 while the process finishes its last requests."""
    response = jsonify(
        {"status": "draining" if is_draining() else "ok", "denylist": _denylist(), "follower": _follower()}
    )
    response.status_code = 503 if is_draining() else 200
    return response


@routes.get("/metrics")
def exposition() -> Response:
    """Prometheus' format, for all worker processes together."""
    return metrics.exposition()


def _follower() -> dict[str, Any] | None:
    """What the process that answers knows by itself; null where it always asks Redis, or never."""
    follower = service().guard.follower
    if not isinstance(follower, Follower):
        return None
    age = follower.age_seconds
    return {
        "age_seconds": None if age == math.inf else round(age, 3),
        "entries": follower.entries,
        "connected": follower.is_connected,
        "amnesia_noticed": follower.counts.amnesia,
    }


def _denylist() -> dict[str, Any]:
    try:
        head = service().stores.denylist.head()
    except DenylistEmptyError:
        return {"status": "empty"}
    except DenylistUnavailableError:
        return {"status": "unavailable"}
    accepts_from = rfc3339(head.everything_ms) if head.everything_ms else None
    return {"status": "ok", "epoch": head.epoch, "opened_at": rfc3339(head.birth_ms), "accepts_from": accepts_from}
