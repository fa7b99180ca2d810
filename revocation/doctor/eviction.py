"""Eviction: whether the server throws entries away to make room."""

from collections.abc import Iterator

from revocation.doctor.finding import Finding, Severity, fine
from revocation.doctor.server import ExaminedServer


def eviction(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the server may evict, or has evicted, entries: a revoked token then works again."""
    info = server.info
    why = "When the server evicts an entry, a revoked token works again, and nobody notices."
    mend = (
        server.mend("CONFIG", "SET", "maxmemory-policy", "noeviction", everywhere=True)
        + "   # and the same in its configuration file"
    )
    policy = None if info is None else info.get("maxmemory_policy")
    if info is None or policy is None:
        yield Finding(
            "eviction",
            "unknown",
            "The doctor cannot read the eviction policy: the server forbids INFO to this user.",
            why,
            server.grant_info,
        )
        return
    evicted = int(info.get("evicted_keys", 0))
    if policy != "noeviction":
        allowed = server.settings.allow_eviction
        so_far = f" The server has evicted {evicted} keys so far." if evicted else ""
        accepted = " REVOCATION_ALLOW_EVICTION=1 accepts it." if allowed else ""
        severity: Severity = "warning" if allowed else "problem"
        yield Finding("eviction", severity, f"maxmemory-policy is {policy}.{so_far}{accepted}", why, mend)
    elif evicted:
        yield Finding(
            "eviction",
            "problem",
            f"{evicted} keys were evicted since the server started; maxmemory-policy is noeviction now.",
            "Revocations may be among them; where no follower reads the log, the revoked tokens work again.",
            "revocation init --new-epoch && "
            + server.mend("CONFIG", "RESETSTAT")
            + "   # nothing issued before is accepted: everyone signs in again",
        )
    else:
        yield fine("eviction", "maxmemory-policy is noeviction, and the server has evicted nothing.")
