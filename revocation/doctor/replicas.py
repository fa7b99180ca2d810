"""Replicas: whether enough of them are online, and whether acknowledgements wait for a majority."""

from collections.abc import Iterator
from typing import Any

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer
from revocation.redis.head import majority

_LOSS = (
    "A failover may lose acknowledged revocations, and an isolated old primary goes on accepting tokens that were "
    "revoked elsewhere."
)


def replication(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the replicas are online, and whether REVOCATION_MIN_REPLICAS is a majority of the data nodes."""
    info, least = server.info, server.settings.min_replicas
    if info is None:
        yield Finding("replication", "unknown", "The server forbids INFO to this user.", _LOSS, server.grant_info)
        return
    if info.get("role") != "master":
        yield Finding(
            "replication",
            "problem",
            "This server is a replica.",
            "Replicas accept no revocation, and learn of revocations late.",
            f"set REVOCATION_REDIS_URL to its primary, {info.get('master_host')}:{info.get('master_port')}, or to "
            "redis+sentinel://",
        )
        return
    listed = [info[f"slave{number}"] for number in range(int(info.get("connected_slaves", 0)))]
    online = [replica for replica in listed if replica.get("state") == "online"]
    wanted = majority(len(listed))
    if len(online) < least:
        yield Finding(
            "replication",
            "problem",
            f"{len(online)} replicas are online, and REVOCATION_MIN_REPLICAS is {least}.",
            "Until they are back, Redis acknowledges no revocation and strict checks are 503.",
            "start them, and see " + server.mend("INFO", "replication"),
        )
    elif listed and least < wanted:
        yield Finding(
            "replication",
            "problem",
            f"There are {len(listed)} replicas, and REVOCATION_MIN_REPLICAS is {least}: no majority.",
            _LOSS,
            f"export REVOCATION_MIN_REPLICAS={wanted}",
        )
    elif least and len(online) == least:
        yield Finding(
            "replication",
            "warning",
            f"{len(online)} replicas are online, and REVOCATION_MIN_REPLICAS is {least}: each of them is needed.",
            "When one node fails, the primary or a replica, strict checks and revocations are 503 until it is back.",
            f"give the primary {least + 1} replicas"
            + (", as every primary of the cluster" if server.is_cluster else ""),
        )
    elif listed:
        yield fine(
            "replication",
            f"{len(online)} replicas are online, and {least} must hold a revocation before it is acknowledged.",
        )
    elif "+" in server.url.partition("://")[0]:
        yield Finding(
            "replication",
            "warning",
            "The primary has no replica.",
            "When the primary fails, no server can take over.",
            "give it two replicas, and set REVOCATION_MIN_REPLICAS=1",
        )
    else:
        yield fine("replication", "There is one server, without replicas.")


def priorities(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the replicas have equal priorities: Sentinel ranks them above offsets, and may choose one that lags."""
    pool: Any = server.client.connection_pool
    if not hasattr(pool, "sentinel_manager"):
        return
    listed: Any = pool.sentinel_manager.sentinels[0].sentinel_slaves(pool.service_name)
    distinct = sorted({int(replica.get("slave-priority", 100)) for replica in listed})
    if len(distinct) > 1:
        yield Finding(
            "replica-priority",
            "problem",
            f"The replicas have different priorities: {', '.join(map(str, distinct))}.",
            "Sentinel prefers the lowest number even where that replica lags, and so may choose one without the latest "
            "revocations.",
            "redis-cli -h REPLICA CONFIG SET replica-priority 100   # on each",
        )
    elif listed:
        yield fine("replica-priority", f"All replicas have the priority {distinct[0]}.")
