"""For those who run it: liveness, readiness, metrics."""

from dataclasses import asdict
from typing import Annotated, Literal, NotRequired, cast

from flask import Blueprint, Response, jsonify
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app import metrics
from app.health import ProcessHealth
from app.openapi import Answer, operation
from app.routes.context import service
from app.routes.formats import Instant, epoch_bounds

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
    changes_owed: Annotated[
        int,
        Field(
            ge=0, description="Changes of accounts that are saved and whose tokens are not revoked yet.", examples=[0]
        ),
    ]


@routes.get("/healthz")
@operation()
def healthz() -> Health:
    """Alive; with what it knows of Redis. That is a field and no status: every process would leave together."""
    return {**_health(service().health.process()), "status": "ok"}


@routes.get("/readyz")
@operation({200: Answer(Health, "Send requests here."), 503: Answer(Health, "`draining`: send them elsewhere.")})
def readyz() -> Response:
    """503 while the process finishes its last requests."""
    health = service().health.process()
    response = jsonify(_health(health))
    response.status_code = 503 if health.status == "draining" else 200
    return response


@routes.get("/metrics")
@operation(Answer(str, "Prometheus' text format.", media_type="text/plain"))
def exposition() -> Response:
    """Prometheus' format, for all worker processes together."""
    return metrics.exposition()


def _health(health: ProcessHealth) -> Health:
    follower = health.follower
    return {
        "status": health.status,
        "denylist": _denylist(health),
        "follower": None if follower is None else cast("FollowerJson", asdict(follower)),
        "changes_owed": health.changes_owed,
    }


def _denylist(health: ProcessHealth) -> DenylistJson:
    if health.epoch is None:
        return {"status": health.denylist}
    opened_at, accepts_from = epoch_bounds(health.epoch)
    return {
        "status": health.denylist,
        "epoch": health.epoch.id,
        "opened_at": opened_at,
        "accepts_from": accepts_from,
    }
