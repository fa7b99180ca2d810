"""Whether the replicas are there, enough of them, and asked for."""

from collections.abc import Iterator
from typing import Any

from revocation.doctor.finding import Finding, fine
from revocation.doctor.patient import Patient
from revocation.redis.link import majority

_LOSS = (
    "A failover may lose revocations that were acknowledged, and a primary that was cut off goes on accepting what was "
    "revoked elsewhere."
)


def replication(patient: Patient) -> Iterator[Finding]:
    """Replicas, and whether REVOCATION_MIN_REPLICAS is a majority of them."""
    info, least = patient.info, patient.settings.min_replicas
    if info is None:
        yield Finding("replication", "unknown", "INFO is forbidden to this user.", _LOSS, patient.grant_info)
        return
    if info.get("role") != "master":
        yield Finding(
            "replication",
            "problem",
            "This server is a replica.",
            "Replicas take no revocation, and what they know is late.",
            f"set REVOCATION_REDIS_URL to its primary, {info.get('master_host')}:{info.get('master_port')}, or to "
            "redis+sentinel://",
        )
        return
    listed = [info[f"slave{number}"] for number in range(int(info.get("connected_slaves", 0)))]
    online = [one for one in listed if one.get("state") == "online"]
    wanted = majority(len(listed))
    if len(online) < least:
        yield Finding(
            "replication",
            "problem",
            f"{len(online)} replicas are online, and REVOCATION_MIN_REPLICAS is {least}.",
            "Nothing is acknowledged and strict checks are 503 until they are back.",
            "start them, and see " + patient.mend("INFO replication"),
        )
    elif listed and least < wanted:
        yield Finding(
            "replication",
            "problem",
            f"There are {len(listed)} replicas, and REVOCATION_MIN_REPLICAS is {least}: no majority.",
            _LOSS,
            f"export REVOCATION_MIN_REPLICAS={wanted}",
        )
    elif listed:
        yield fine("replication", f"{len(online)} replicas are online, {least} must have what is acknowledged.")
    elif "+" in patient.url.partition("://")[0]:
        yield Finding(
            "replication",
            "warning",
            "The primary has no replica.",
            "When it fails, nothing can take over.",
            "give it two replicas, and set REVOCATION_MIN_REPLICAS=1",
        )
    else:
        yield fine("replication", "One server, no replicas.")


def priorities(patient: Patient) -> Iterator[Finding]:
    """Sentinel ranks the priority above the offset: with unequal ones a replica that lags may be chosen."""
    pool: Any = patient.client.connection_pool
    if not hasattr(pool, "sentinel_manager"):
        return
    listed: Any = pool.sentinel_manager.sentinels[0].sentinel_slaves(pool.service_name)
    found = sorted({int(one.get("slave-priority", 100)) for one in listed})
    if len(found) > 1:
        yield Finding(
            "replica-priority",
            "problem",
            f"The replicas have different priorities: {', '.join(map(str, found))}.",
            "Sentinel prefers the lower one even where it lags, and so may choose a replica without the latest "
            "revocations.",
            "redis-cli -h REPLICA CONFIG SET replica-priority 100   (on each)",
        )
    elif listed:
        yield fine("replica-priority", f"All replicas have the priority {found[0]}.")
