"""For those who run it: liveness, readiness, metrics."""

import math
from typing import Annotated, Literal, NotRequired

from flask import Blueprint, Response, jsonify
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app import metrics
from app.instants import rfc3339
from app.openapi import Answer, operation
from app.readiness import is_draining
from app.service import service
from app.views import Instant
from revocation import DenylistEmptyError, DenylistUnavailableError

routes = Blueprint("operations", __name__)


class DenylistJson(TypedDict):
    """The deny-list, as Redis answers for it now. Only `ok` has the other members."""

    status: Annotated[
        Literal["ok", "empty", "unavailable"],
        Field(description="`empty`: it was never opened, or lost its data.", examples=["ok"]),
    ]
    epoch: NotRequired[
        Annotated[str, Field(description="Changes when Redis has lost revocations.", examples=["5f0c2b1e"])]
    ]
    opened_at: NotRequired[Instant]
    accepts_from: NotRequired[
        Annotated[
            Instant | None, Field(description="Nothing issued before is accepted; null: there is no such cut-off.")
        ]
    ]


class FollowerJson(TypedDict):
    """The copy of the deny-list in the process that answers."""

    age_seconds: Annotated[float | None, Field(ge=0, description="Null until it has caught up.", examples=[0.004])]
    entries: Annotated[int, Field(ge=0, description="What it holds.", examples=[312])]
    connected: Annotated[bool, Field(examples=[True])]
    amnesia_noticed: Annotated[int, Field(ge=0, description="How often Redis had lost revocations.", examples=[0])]


class Health(TypedDict):
    """The process that answers."""

    status: Annotated[Literal["ok", "draining"], Field(examples=["ok"])]
    denylist: DenylistJson
    follower: Annotated[FollowerJson | None, Field(description="Null where the process always asks Redis, or never.")]


@routes.get("/healthz")
@operation(Health)
def healthz() -> Response:
    """Alive; with what it knows of Redis. That is a field and no status: every process would leave together."""
    return jsonify(_health("ok"))


@routes.get("/readyz")
@operation({200: Answer(Health, "Send requests here."), 503: Answer(Health, "`draining`: send them elsewhere.")})
def readyz() -> Response:
    """503 while the process finishes its last requests."""
    response = jsonify(_health("draining" if is_draining() else "ok"))
    response.status_code = 503 if is_draining() else 200
    return response


@routes.get("/metrics")
@operation(Answer(str, "Prometheus' text format.", media_type="text/plain"))
def exposition() -> Response:
    """Prometheus' format, for all worker processes together."""
    return metrics.exposition()


def _health(status: Literal["ok", "draining"]) -> Health:
    return {"status": status, "denylist": _denylist(), "follower": _follower()}


def _follower() -> FollowerJson | None:
    """What the process that answers knows by itself; null where it always asks Redis, or never."""
    follower = service().guard.follower
    if follower is None:
        return None
    state = follower.state
    return {
        "age_seconds": None if state.age_seconds == math.inf else round(state.age_seconds, 3),
        "entries": state.entries,
        "connected": state.is_connected,
        "amnesia_noticed": state.amnesia,
    }


def _denylist() -> DenylistJson:
    try:
        head = service().stores.denylist.head()
    except DenylistEmptyError:
        return {"status": "empty"}
    except DenylistUnavailableError:
        return {"status": "unavailable"}
    accepts_from = rfc3339(head.everything_ms) if head.everything_ms else None
    return {"status": "ok", "epoch": head.epoch, "opened_at": rfc3339(head.birth_ms), "accepts_from": accepts_from}
