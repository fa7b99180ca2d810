"""Whether the server keeps what it was told: eviction, room, persistence."""

from collections.abc import Iterator

from revocation.doctor.finding import Finding, Severity, fine
from revocation.doctor.patient import Patient

#: Of the memory there is, how much may be in use.
_TIGHT = 0.7
_FULL = 0.9

_UNASKED = "INFO is forbidden to this user."


def eviction(patient: Patient) -> Iterator[Finding]:
    """An evicted entry is a revoked token that works again."""
    info = patient.info
    why = "An evicted entry is a revoked token that works again, and nobody notices."
    mend = patient.mend("CONFIG SET maxmemory-policy noeviction") + "   (and the same in its configuration file)"
    policy = None if info is None else info.get("maxmemory_policy")
    if info is None or policy is None:
        yield Finding("eviction", "unknown", f"The eviction policy cannot be read: {_UNASKED}", why, patient.grant_info)
        return
    evicted = int(info.get("evicted_keys", 0))
    if policy != "noeviction":
        allowed = patient.settings.allow_eviction
        so_far = f" {evicted} keys were evicted so far." if evicted else ""
        accepted = " REVOCATION_ALLOW_EVICTION=1 accepts it." if allowed else ""
        severity: Severity = "warning" if allowed else "problem"
        yield Finding("eviction", severity, f"maxmemory-policy is {policy}.{so_far}{accepted}", why, mend)
    elif evicted:
        yield Finding(
            "eviction",
            "problem",
            f"{evicted} keys were evicted since the server started; maxmemory-policy is noeviction now.",
            "Revocations may be among them, and the tokens they took back work again where nobody follows the log.",
            "revocation init --new-epoch   (nothing issued before is accepted: everyone signs in again), then "
            + patient.mend("CONFIG RESETSTAT"),
        )
    else:
        yield fine("eviction", "maxmemory-policy is noeviction, and nothing was evicted.")


def memory(patient: Patient) -> Iterator[Finding]:
    """A full server takes no revocation."""
    info = patient.info
    why = "A full server that must not evict takes no new revocation: logging out fails with 503."
    if info is None:
        yield Finding("memory", "unknown", f"Memory cannot be read: {_UNASKED}", why, patient.grant_info)
        return
    used, limit = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    there = limit or int(info.get("total_system_memory", 0))
    of = "maxmemory" if limit else "the machine's memory, without a limit"
    told = f"{_megabytes(used)} of {_megabytes(there)} in use ({of})."
    if not there or used < _TIGHT * there:
        yield fine("memory", told if there else f"{_megabytes(used)} in use.")
        return
    mend = patient.mend(f"CONFIG SET maxmemory {2 * limit}") if limit else "give the machine more memory"
    yield Finding("memory", "problem" if used >= _FULL * there else "warning", told, why, mend)


def persistence(patient: Patient) -> Iterator[Finding]:
    """A server that comes back empty, or old, has forgotten revocations."""
    info = patient.info
    why = "After a restart revocations are gone: everyone has to sign in again, or, where nobody follows, 503."
    if info is None:
        yield Finding("persistence", "unknown", f"It cannot be read: {_UNASKED}", why, patient.grant_info)
        return
    mend = patient.mend("CONFIG SET appendonly yes") + "   (and the same in its configuration file)"
    if not int(info.get("aof_enabled", 0)):
        snapshots = bool(int(info.get("rdb_last_save_time", 0))) and patient.config("save") not in ("", None)
        kept = "Only snapshots are written" if snapshots else "Nothing is certain to be written to disk"
        yield Finding("persistence", "problem", f"{kept}: appendonly is no.", why, mend)
        return
    failed = [name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if info.get(name, "ok") != "ok"]
    if failed:
        yield Finding(
            "persistence",
            "problem",
            f"Redis could not write its append-only file ({', '.join(failed)}).",
            why,
            "see its log and the room on its disk: " + patient.mend("CONFIG GET logfile dir"),
        )
    else:
        yield fine("persistence", "The append-only file is on, and its last writes went well.")
    yield from _fsync(patient)


def _fsync(patient: Patient) -> Iterator[Finding]:
    setting = patient.config("appendfsync")
    mend = patient.mend("CONFIG SET appendfsync always") + "   (and the same in its configuration file)"
    why = "What was acknowledged in the last moment may be lost with the machine."
    match setting:
        case "always":
            yield fine("fsync", "appendfsync is always: what was acknowledged is on the disk.")
        case None:
            asked = patient.mend("CONFIG GET appendfsync")
            yield Finding("fsync", "unknown", "CONFIG is forbidden to this user.", why, f"see that {asked} says always")
        case "everysec":
            yield Finding("fsync", "warning", "appendfsync is everysec: about a second may be lost.", why, mend)
        case _:
            yield Finding("fsync", "problem", f"appendfsync is {setting}: the system writes when it likes.", why, mend)


def _megabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.1f} MB"
