"""Who may reach the server, and what this user may do there."""

from collections.abc import Iterator
from typing import Any, Final

import redis

from revocation.doctor.finding import Finding, fine
from revocation.doctor.patient import Patient

#: What the library asks for, as rules of an ACL. The service needs more: docs/operating.md, Rights.
NEEDED: Final = (
    *("mget", "get", "set", "del", "pttl", "time", "info", "evalsha", "script|load"),
    *("xadd", "xrange", "xrevrange", "xinfo|stream", "xread", "sadd", "srem", "smembers"),
    *("hset", "hget", "hmget", "hdel", "zadd", "zrem", "zrangebyscore", "zrevrange"),
)

#: Each of them on a key of our own that holds a string: what is allowed is answered, or fails for the wrong type and
#: changes nothing; what is forbidden is forbidden before that is looked at.
_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("mget", "get", "pttl", "smembers", "xinfo|stream"), ("KEY",)),
    "set": ("KEY", "1", "PX", "5000"),
    "del": ("KEY",),
    "time": (),
    "info": ("server",),
    "evalsha": ("0" * 40, "0"),
    "script|load": ("return 1",),
    "xadd": ("KEY", "*", "f", "v"),
    "xrange": ("KEY", "-", "+", "COUNT", "1"),
    "xrevrange": ("KEY", "+", "-", "COUNT", "1"),
    "xread": ("COUNT", "1", "STREAMS", "KEY", "0"),
    **dict.fromkeys(("sadd", "srem", "hget", "hmget", "hdel", "zrem"), ("KEY", "m")),
    "hset": ("KEY", "f", "v"),
    "zadd": ("KEY", "1", "m"),
    "zrangebyscore": ("KEY", "0", "0"),
    "zrevrange": ("KEY", "0", "0"),
    "wait": ("0", "1"),
}

#: What nobody who only keeps a deny-list should be able to do.
_DANGEROUS: Final = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
    ("SHUTDOWN",),
    ("REPLICAOF", "NO", "ONE"),
    ("KEYS", "*"),
    ("ACL", "SETUSER", "x"),
)

#: Of these some are asked for real where a user may not ask what it may do: they change nothing.
_HARMLESS: Final = (("CONFIG", "GET", "maxmemory"), ("SCAN", "0", "COUNT", "1"), ("ACL", "LIST"))

_WIDE = "Whoever gets hold of its password can flush the deny-list, or lift any revocation, unseen."


def rights(patient: Patient) -> Iterator[Finding]:
    """Whether the user may do what it must, and what it should not be able to do."""
    user = _told(patient, "ACL", "WHOAMI")
    yield _needed(patient, user or "USER")
    yield _width(patient, user)


def _needed(patient: Patient, user: str) -> Finding:
    key = patient.denylist.key("doctor")
    needed = (*NEEDED, *(("wait",) if patient.settings.min_replicas else ()))
    # Set first, so that the others meet a key of the wrong type, and deleted last; else it ends by itself.
    trials = sorted(needed, key=lambda name: (name == "del") - (name == "set"))
    if _forbids(patient, "set", key):
        # Without that key the rest might write.
        trials = [name for name in trials if name in ("set", "get", "mget", "pttl", "time", "info", "evalsha")]
    missing = [name for name in trials if _forbids(patient, name, key)]
    if not missing:
        return fine("acl-needed", "The user may do all that the library needs.")
    rules = " ".join(f"+{name}" for name in missing)
    keys = f"~{patient.denylist.key('*')}"
    return Finding(
        "acl-needed",
        "problem",
        f"The user may not: {', '.join(name.replace('|', ' ').upper() for name in missing)}"
        + ("" if len(trials) == len(needed) else ", and perhaps more")
        + ".",
        "Revoking, or following, fails with 503.",
        patient.mend(f"ACL SETUSER {user} '{keys}' {rules}"),
    )


def _forbids(patient: Patient, name: str, key: str) -> bool:
    arguments = (one.replace("KEY", key) for one in _ARGUMENTS[name])
    try:
        _run(patient, *name.upper().split("|"), *arguments)
    except redis.exceptions.NoPermissionError:
        return True
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        # Of the wrong type, or no such script: it may be asked.
        pass
    return False


def _width(patient: Patient, user: str | None) -> Finding:
    outside = "{elsewhere}:key"
    if patient.is_embedded:
        return fine("acl-width", "The server belongs to the service: only its owner can open the socket.")
    rules = " ".join(["reset on '>PASSWORD'", f"'~{patient.denylist.key('*')}'", *(f"+{name}" for name in NEEDED)])
    mend = patient.mend(f"ACL SETUSER revocation {rules}") + "   (the service needs more: docs/operating.md, Rights)"
    if user is not None and _told(patient, "ACL", "DRYRUN", user, "PING") is not None:
        able = [command[0] for command in _DANGEROUS if _told(patient, "ACL", "DRYRUN", user, *command) == "OK"]
        if _told(patient, "ACL", "DRYRUN", user, "GET", outside) == "OK":
            able.append("every key")
    else:
        able = [" ".join(command[:2]) for command in _HARMLESS if _told(patient, *command) is not None]
        if not _denied(patient, "GET", outside):
            able.append("every key")
    if able:
        named = f"The user {user}" if user else "This user"
        return Finding("acl-width", "warning", f"{named} may use {', '.join(able)}.", _WIDE, mend)
    if user is None:
        asked = patient.mend("ACL LIST")
        return fine(
            "acl-width",
            f"The user is denied other keys, CONFIG, SCAN and ACL; what else it may do, it may not ask ({asked}).",
        )
    return fine("acl-width", f"The user {user} may not flush, configure, list keys or reach others.")


def _denied(patient: Patient, *command: str) -> bool:
    try:
        _run(patient, *command)
    except redis.exceptions.NoPermissionError:
        return True
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        pass
    return False


def _told(patient: Patient, *command: str) -> str | None:
    """The answer as text; None where it is forbidden or unknown."""
    answer: Any = patient.ask(lambda _: _run(patient, *command))
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else None if answer is None else str(answer)


def _run(patient: Patient, *command: str) -> Any:
    untyped: Any = patient.client
    return untyped.execute_command(*command)


def transport(patient: Patient) -> Iterator[Finding]:
    """Whether what is sent to another machine is encrypted."""
    if not patient.hosts:
        yield fine("tls", "A Unix socket: nothing leaves this machine.")
    elif not patient.remote_hosts:
        yield fine("tls", "A loopback address: nothing leaves this machine.")
    elif patient.is_encrypted:
        yield fine("tls", "TLS, with certificate and host name checked.")
    else:
        yield Finding(
            "tls",
            "warning",
            f"No TLS to {', '.join(patient.remote_hosts)}.",
            "Whoever is on the way reads the password, and can answer in the server's place that nothing is revoked.",
            "use rediss:// (or rediss+sentinel://, rediss+cluster://) in REVOCATION_REDIS_URL, with "
            "?ssl_ca_certs=FILE for an authority of your own",
        )
