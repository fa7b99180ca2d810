"""For admins who watch: what was just revoked, and whether all that enforces it is well. Every route asks Redis."""

import time
from typing import Any

import redis
from flask import Blueprint, Response, jsonify, request

from app.bearer import ADMIN_SCOPE, bearer
from app.instants import milliseconds, rfc3339
from app.openapi import operation
from app.problems import Problem
from app.routes import live_answers as answers
from app.service import service
from app.startup import ADMIN
from app.views import revocation_json
from revocation.denylist import Change
from revocation.redis.protocol import Head

routes = Blueprint("live", __name__, url_prefix="/admin")

#: A follower that is older than this many seconds is slow; a beat takes a quarter of one at most.
_SLOW_SECONDS = 1.0

#: Warn when Redis has used this share of its memory: with noeviction a full one takes no more revocations.
_FULL = 0.9

#: How far clocks may differ before a warning, as a share of what verifiers forgive.
_SKEWED = 0.5


@routes.get("/changes")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(
    answers.Changes, parameters=answers.ChangesQuery, refuses={400: "`invalid`: a cursor that did not come from here."}
)
def changes() -> Response:
    """What was revoked and undone after a cursor, oldest first.

    Without a cursor: nothing yet, and where to go on. Asked every second or two, it shows revocations as they happen.
    """
    try:
        read, cursor = service().stores.denylist.changes(after=request.args.get("cursor"))
    except ValueError as error:
        raise Problem(400, str(error), reason="invalid") from error
    answer: answers.Changes = {"changes": [_change_json(change) for change in read], "next_cursor": cursor}
    return jsonify(answer)


@routes.get("/health")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(answers.SystemHealth)
def health() -> Response:
    """Every follower with its age, Redis, the epoch; and what of it somebody should look at."""
    denylist = service().stores.denylist
    head, leases, ages = denylist.head(), denylist.leases.living(), denylist.leases.ages()
    end = f"{head.last_id}-{head.last_tag}"
    followers: list[answers.LivingFollowerJson] = [
        {"id": id_, "age_seconds": round(max(0.0, age), 3), "caught_up": leases.get(id_, ("", 0))[0] == end}
        for id_, age in sorted(ages.items())
    ]
    store = _redis()
    answer: answers.SystemHealth = {
        "epoch": {
            "id": head.epoch,
            "opened_at": rfc3339(head.birth_ms),
            "accepts_from": rfc3339(head.everything_ms) if head.everything_ms else None,
        },
        "followers": followers,
        "redis": store,
        "warnings": [*_about_epoch(head), *_about_followers(followers), *_about_redis(store)],
    }
    return jsonify(answer)


def _change_json(change: Change) -> answers.ChangeJson:
    return {
        "undone": change.undone,
        "revocation_id": change.revocation_id,
        "revocation": revocation_json(change.revocation) if change.revocation else None,
        "at": rfc3339(change.at_ms),
        "actor": change.actor,
        "reason": change.reason,
    }


def _redis() -> answers.RedisJson:
    """What the server says of itself; null what it does not tell."""
    denylist = service().stores.denylist
    asked, started = time.time(), time.perf_counter()
    seconds, microseconds = denylist.link.call(lambda client: client.time())
    round_trip = time.perf_counter() - started
    info = denylist.link.call(_info)
    appendonly = info.get("aof_enabled")
    return {
        "version": info.get("valkey_version") or info.get("redis_version"),
        "server": "valkey" if "valkey_version" in info else "redis",
        "role": info.get("role"),
        "replicas": info.get("connected_slaves"),
        "uptime_seconds": info.get("uptime_in_seconds"),
        "round_trip_seconds": round(round_trip, 6),
        "clock_ahead_seconds": round(seconds + microseconds / 1e6 - asked - round_trip / 2, 3),
        "memory_used_bytes": info.get("used_memory"),
        "memory_limit_bytes": info.get("maxmemory") or None,
        "eviction_policy": info.get("maxmemory_policy"),
        "append_only": None if appendonly is None else bool(appendonly),
        "last_write_ok": info.get("aof_last_write_status", "ok") == "ok",
    }


def _info(client: redis.Redis) -> dict[str, Any]:
    try:
        info: dict[str, Any] = client.info()
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        # Forbidden to this user of Redis, or unknown to the server.
        return {}
    return info


def _about_epoch(head: Head) -> list[str]:
    admin = service().stores.users.get(ADMIN)
    # The first epoch is opened before the first account is made.
    if admin is None or milliseconds(admin.created_at) >= head.birth_ms:
        return []
    if 1000 * time.time() - head.birth_ms > service().stores.denylist.lifetimes.entry_ms("session"):
        return []
    return [
        (
            f"The deny-list was opened anew at {rfc3339(head.birth_ms)}: Redis had lost its data, or somebody ran "
            "`revocation init --new-epoch`. Nothing issued before that is accepted, so everyone signs in again."
        )
    ]


def _about_followers(followers: list[answers.LivingFollowerJson]) -> list[str]:
    slow = [one["id"] for one in followers if one["age_seconds"] > _SLOW_SECONDS]
    if not slow:
        return []
    return [
        (
            f"{len(slow)} of {len(followers)} followers have not been heard of for more than {_SLOW_SECONDS:g} s: "
            f"{', '.join(slow[:3])}. Their processes ask Redis meanwhile, or have ended."
        )
    ]


def _about_redis(store: answers.RedisJson) -> list[str]:
    warnings = []
    if store["eviction_policy"] not in (None, "noeviction"):
        warnings.append(
            f"maxmemory-policy is {store['eviction_policy']}: Redis may forget revocations, and revoked tokens would "
            "work again. Run `CONFIG SET maxmemory-policy noeviction`."
        )
    used, limit = store["memory_used_bytes"], store["memory_limit_bytes"]
    if used is not None and limit is not None and used > _FULL * limit:
        warnings.append(
            f"Redis has used {100 * used // limit} % of its memory; when it is full, nothing can "
            "be revoked. Raise maxmemory."
        )
    if store["append_only"] is False:
        warnings.append(
            "Redis keeps no append-only file: after a restart everyone signs in again. Run "
            "`CONFIG SET appendonly yes`, and put it into its configuration."
        )
    if not store["last_write_ok"]:
        warnings.append("Redis could not write its append-only file. Look at its disk.")
    leeway = service().stores.denylist.lifetimes.leeway_seconds
    if abs(store["clock_ahead_seconds"]) > _SKEWED * leeway:
        warnings.append(
            f"Redis' clock is {store['clock_ahead_seconds']:+.1f} s from this host's; {leeway} s are forgiven. Keep "
            "both with NTP."
        )
    return warnings
