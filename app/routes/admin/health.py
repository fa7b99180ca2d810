"""Health: followers, Redis and the epoch, for administrators."""

from dataclasses import asdict
from typing import Annotated, Literal, cast

from flask import Blueprint
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required
from app.openapi import operation
from app.routes.context import service
from app.routes.formats import Instant, epoch_bounds
from revocation.doctor import Severity
from revocation.instants import rfc3339

routes = Blueprint("health", __name__)


class EpochJson(TypedDict):
    """Since when the deny-list remembers without a gap."""

    id: str
    opened_at: Instant
    accepts_from: Annotated[
        Instant | None, Field(description="Nothing issued before is accepted; null: no such bound.")
    ]


class LivingFollowerJson(TypedDict):
    """A process that decides from its own copy of the deny-list."""

    id: str
    age_seconds: Annotated[float, Field(ge=0, description="Since its last beat.", examples=[0.12])]
    caught_up: Annotated[bool, Field(description="Whether it has read the log to its end.")]


class RedisJson(TypedDict):
    """The facts that the server tells of itself; null where it does not tell."""

    server: Literal["redis", "valkey"]
    version: str | None
    role: str | None
    replicas: int | None
    uptime_seconds: int | None
    round_trip_seconds: Annotated[float, Field(ge=0, examples=[0.0002])]
    clock_ahead_seconds: Annotated[float, Field(description="Of this host's clock.", examples=[0.001])]
    memory_used_bytes: int | None
    memory_limit_bytes: Annotated[int | None, Field(description="Null: none.")]
    eviction_policy: Annotated[str | None, Field(examples=["noeviction"])]
    append_only: Annotated[bool | None, Field(description="Whether what is acknowledged is written to a file.")]
    last_write_ok: bool


class WarningJson(TypedDict):
    """A warning for people, as the doctor says it."""

    check: Annotated[str, Field(description="The stable name of what was looked at.", examples=["eviction"])]
    severity: Annotated[
        Severity,
        Field(
            description="`problem`: revoked tokens may work again, or good ones be refused; `warning`: after a fault."
        ),
    ]
    what: Annotated[str, Field(examples=["maxmemory-policy is allkeys-lru."])]
    why: Annotated[str, Field(description="Why it matters.")]
    mend: Annotated[str, Field(description="What to do: a command, a setting, or where to look.")]
    since: Annotated[Instant, Field(description="When it began; where nothing tells, when it was seen first.")]


class SystemHealth(TypedDict):
    """Everything that enforces revocations."""

    epoch: EpochJson
    followers: list[LivingFollowerJson]
    redis: RedisJson
    audit_behind_seconds: Annotated[
        float | None,
        Field(
            ge=0,
            description="Age of the oldest revocation that the audit log lacks; null: no process copies.",
            examples=[0.0],
        ),
    ]
    warnings: Annotated[list[WarningJson], Field(description="What somebody should look at.")]


@routes.get("/health")
@admin_required
@operation()
def health() -> SystemHealth:
    """Every follower with its age, Redis, the epoch, and warnings about them."""
    system = service().health.system()
    opened_at, accepts_from = epoch_bounds(system.epoch)
    return {
        "epoch": {"id": system.epoch.id, "opened_at": opened_at, "accepts_from": accepts_from},
        "followers": [cast("LivingFollowerJson", asdict(follower)) for follower in system.followers],
        "redis": cast("RedisJson", asdict(system.redis)),
        "audit_behind_seconds": system.audit_behind_seconds,
        "warnings": [
            cast("WarningJson", {**asdict(each.finding), "since": rfc3339(each.since_ms)}) for each in system.warnings
        ],
    }
