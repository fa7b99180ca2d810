"""Persistence: whether the server still knows every revocation after a restart."""

from collections.abc import Iterator

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer


def persistence(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the server writes revocations to disk, and how soon."""
    info = server.info
    why = (
        "A restart loses revocations: then everyone has to sign in again, or, where no process follows, every check "
        "that asks is 503."
    )
    if info is None:
        yield Finding(
            "persistence",
            "unknown",
            "The doctor cannot read the persistence: the server forbids INFO to this user.",
            why,
            server.grant_info,
        )
        return
    mend = (
        server.mend("CONFIG", "SET", "appendonly", "yes", everywhere=True)
        + "   # and the same in its configuration file"
    )
    if not int(info.get("aof_enabled", 0)):
        yield Finding("persistence", "problem", "appendonly is no: the server writes at most snapshots.", why, mend)
        return
    failed = [name for name in ("aof_last_write_status", "aof_last_bgrewrite_status") if info.get(name, "ok") != "ok"]
    if failed:
        yield Finding(
            "persistence",
            "problem",
            f"Redis could not write its append-only file ({', '.join(failed)}).",
            why,
            "see its log and the room on its disk: " + server.mend("CONFIG", "GET", "logfile", "dir"),
        )
    else:
        yield fine("persistence", "The append-only file is on, and its last writes went well.")


def fsync(server: ExaminedServer) -> Iterator[Finding]:
    """Whether what is acknowledged is on the disk already, where the server writes it to disk at all."""
    if server.info is None or not int(server.info.get("aof_enabled", 0)):
        return
    setting = server.config("appendfsync")
    mend = (
        server.mend("CONFIG", "SET", "appendfsync", "always", everywhere=True)
        + "   # and the same in its configuration file"
    )
    why = "When the machine fails, the revocations that Redis acknowledged in the last moment may be lost."
    match setting:
        case "always":
            yield fine("fsync", "appendfsync is always: every acknowledged revocation is on the disk.")
        case None:
            question = server.mend("CONFIG", "GET", "appendfsync")
            yield Finding(
                "fsync",
                "unknown",
                "The server forbids CONFIG to this user.",
                why,
                f"see that {question} says always",
            )
        case "everysec":
            yield Finding("fsync", "warning", "appendfsync is everysec: about a second may be lost.", why, mend)
        case _:
            yield Finding(
                "fsync", "problem", f"appendfsync is {setting}: the operating system decides when.", why, mend
            )
