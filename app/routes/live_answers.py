"""What the routes for admins who watch take and answer."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.views import Instant, RevocationJson


class ChangesQuery(TypedDict):
    """Where to go on."""

    cursor: NotRequired[Annotated[str, Field(description="The last `next_cursor`; left out: the end of the log.")]]


class ChangeJson(TypedDict):
    """A revocation, or the undoing of one."""

    undone: Annotated[bool, Field(description="Whether it was undone here; else it was made.")]
    revocation_id: Annotated[str, Field(examples=["1795539600000-0-5f0c2b1e"])]
    revocation: Annotated[RevocationJson | None, Field(description="Null where the log has forgotten an undone one.")]
    at: Instant
    actor: Annotated[str, Field(description="Who did it.", examples=["admin"])]
    reason: Annotated[str, Field(examples=["laptop stolen"])]


class Changes(TypedDict):
    """What happened since the cursor, at most 100 things, oldest first."""

    changes: list[ChangeJson]
    next_cursor: Annotated[str, Field(description="Give it as `cursor` the next time.", examples=["1795539600000-0"])]


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
    """What the server says of itself; null what it does not tell."""

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


class SystemHealth(TypedDict):
    """Everything that enforces revocations."""

    epoch: EpochJson
    followers: list[LivingFollowerJson]
    redis: RedisJson
    warnings: Annotated[list[str], Field(description="For people: what somebody should look at, and what to do.")]
