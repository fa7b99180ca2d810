"""Throttle: failures to prove an identity that are still counted, and forgetting them."""

from typing import Annotated, Literal, NotRequired

from flask import Blueprint, Response
from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required, bearer
from app.openapi import Answer, operation
from app.problems import Problem
from app.routes.context import actor, service
from app.routes.formats import PAGE_SIZE, Instant, Username
from app.throttle import Bucket, is_address
from revocation.instants import rfc3339

routes = Blueprint("throttle", __name__)


class ThrottleQuery(TypedDict):
    """Whose failures: exactly one of these."""

    username: NotRequired[Annotated[str, Field(description="At this user's account.", examples=["ada"])]]
    client_id: NotRequired[
        Annotated[str, Field(description="With this client's secret.", examples=["client7s0k2m9q4x1v8b3n6d5f2g0h"])]
    ]
    address: NotRequired[Annotated[str, Field(description="At this address.", examples=["192.0.2.7"])]]


class BucketJson(TypedDict):
    """Failures that count together."""

    of: Annotated[
        Literal["account", "devices", "device", "address", "place", "turn"],
        Field(
            description="`account`: at all addresses; `place`: of the account at one address; `device`: on one known "
            "device; `devices`: on all of them; `address`: whatever the account; `turn`: an address that waits.",
            examples=["place"],
        ),
    ]
    value: Annotated[str, Field(description="The address, or the id of the device.", examples=["192.0.2.7"])]
    failures: Annotated[int, Field(ge=0, description="With places that turns have taken.", examples=[10])]
    limit: Annotated[int, Field(ge=1, examples=[10])]
    free_at: Annotated[Instant | None, Field(description="When the next attempt is let through; null: now.")]


class Buckets(TypedDict):
    """What is counted now."""

    buckets: list[BucketJson]


class LockedAccount(TypedDict):
    """An account that somebody has to wait for."""

    username: Username
    buckets: Annotated[list[BucketJson], Field(description="Those that are full.")]


class LockedQuery(TypedDict):
    """Where the list goes on."""

    cursor: NotRequired[Annotated[int, Field(ge=0, le=10**9, description="The `next_cursor` of the page before.")]]


class LockedPage(TypedDict):
    """A page of accounts. It may be short, and even empty, and not be the last."""

    locked: list[LockedAccount]
    next_cursor: Annotated[
        int | None,
        Field(description="Give it as `cursor` for the next page; null: this was the last.", examples=[None]),
    ]


@routes.get("/throttle/locked")
@admin_required
@operation()
def locked(query: LockedQuery) -> LockedPage:
    """The users' accounts that somebody has to wait for after too many failures, the last ones first.

    It may be a stranger who has to wait, and not the owner: each full bucket says whom it concerns.
    `DELETE /admin/throttle` lets everybody try again. Names that nobody has are not listed.
    """
    found, next_cursor = service().throttle.locked(skip=query.get("cursor", 0), limit=PAGE_SIZE)
    return {
        "locked": [
            {"username": name, "buckets": [_bucket_json(bucket) for bucket in buckets]} for name, buckets in found
        ],
        "next_cursor": next_cursor,
    }


@routes.get("/throttle")
@admin_required
@operation(refuses={400: "`invalid`: none of the three, more than one, or no address."})
def throttle(query: ThrottleQuery) -> Buckets:
    """The failures to sign in that are still counted, of an account, of a client, or at an address.

    At an address those of users and those of clients are counted apart; both are told.
    """
    name, value = _named(query)
    users, clients = service().throttle, service().client_throttle
    match name:
        case "username":
            found = users.buckets_of(value)
        case "client_id":
            found = clients.buckets_of(value)
        case _:
            found = users.buckets_at(value) + clients.buckets_at(value)
    return {"buckets": [_bucket_json(bucket) for bucket in found]}


@routes.delete("/throttle")
@admin_required
@operation(
    {204: Answer(description="Nothing is counted any more.")},
    refuses={400: "`invalid`: none of the three, more than one, or no address."},
)
def lift(query: ThrottleQuery) -> Response:
    """Forget them: everybody may try again."""
    name, value = _named(query)
    by = actor(bearer.claims.subject)
    match name:
        case "username":
            service().accounts.lift("user", value, actor=by)
        case "client_id":
            service().accounts.lift("client", value, actor=by)
        case _:
            service().accounts.lift_address(value, actor=by)
    return Response(status=204)


def _named(query: ThrottleQuery) -> tuple[str, str]:
    given = [(name, str(value)) for name, value in query.items() if value]
    if len(given) != 1:
        raise Problem(400, "Give a username, a client_id or an address, and one of them.", reason="invalid")
    ((name, value),) = given
    if name == "address" and not is_address(value):
        raise Problem(400, "An address is one of IPv4 or IPv6.", reason="invalid")
    return name, value


def _bucket_json(bucket: Bucket) -> BucketJson:
    return {
        "of": bucket.of,
        "value": bucket.value,
        "failures": bucket.failures,
        "limit": bucket.limit,
        "free_at": None if bucket.free_at_ms is None else rfc3339(bucket.free_at_ms),
    }
