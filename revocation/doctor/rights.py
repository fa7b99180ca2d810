"""Rights: what the Redis user may do, and what it should not be able to do."""

import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import redis

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer

#: The commands that the library sends, as rules of an ACL. The service needs more: docs/operating.md, Rights.
NEEDED: Final = (
    *("mget", "get", "set", "del", "pttl", "exists", "type", "time", "info", "wait", "evalsha", "script|load"),
    *("xadd", "xrange", "xrevrange", "xtrim", "xinfo|stream", "xread", "sadd", "srem", "smembers"),
    *("hset", "hget", "hmget", "hgetall", "hdel"),
    *("zadd", "zrem", "zscore", "zcount", "zrangebyscore", "zrevrange"),
)

#: The doctor tries each command on a key of its own that holds a string. An allowed command answers, or fails for the
#: wrong type and changes nothing; the server refuses a forbidden command before it looks at the key.
_ARGUMENTS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("mget", "get", "pttl", "exists", "type", "smembers", "hgetall", "xinfo|stream"), ("KEY",)),
    "set": ("KEY", "1", "PX", "5000"),
    "del": ("KEY",),
    "time": (),
    "info": ("server",),
    "evalsha": ("0" * 40, "0"),
    "script|load": ("return 1",),
    "xadd": ("KEY", "*", "f", "v"),
    "xrange": ("KEY", "-", "+", "COUNT", "1"),
    "xrevrange": ("KEY", "+", "-", "COUNT", "1"),
    "xtrim": ("KEY", "MAXLEN", "1"),
    "xread": ("COUNT", "1", "STREAMS", "KEY", "0"),
    **dict.fromkeys(("sadd", "srem", "hget", "hmget", "hdel", "zrem", "zscore"), ("KEY", "m")),
    "hset": ("KEY", "f", "v"),
    "zadd": ("KEY", "1", "m"),
    **dict.fromkeys(("zcount", "zrangebyscore", "zrevrange"), ("KEY", "0", "0")),
    "wait": ("0", "1"),
}

#: A user that only keeps a deny-list should not be able to run these commands.
_DANGEROUS: Final = (
    ("FLUSHALL",),
    ("FLUSHDB",),
    ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
    ("SHUTDOWN",),
    ("REPLICAOF", "NO", "ONE"),
    ("KEYS", "*"),
    ("SCAN", "0"),
    ("ACL", "SETUSER", "x"),
)

#: The doctor really runs these commands where a user may not ask what it may do: they change nothing.
_HARMLESS: Final = (("CONFIG", "GET", "maxmemory"), ("SCAN", "0", "COUNT", "1"), ("ACL", "LIST"))

_WIDE = "Whoever gets hold of its password can flush the deny-list, or lift any revocation, unseen."


def rights(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the user may do what the library needs, and what it should not be able to do."""
    user = _answer(server, "ACL", "WHOAMI")
    yield _needed(server)
    yield _width(server, user)


def _needed(server: ExaminedServer) -> Finding:
    key = server.denylist.namespace.doctor
    # SET comes first, so that the other commands meet a key of the wrong type, and DEL comes last. Where DEL is
    # forbidden, the key expires by itself.
    trials = sorted(NEEDED, key=lambda name: (name == "del") - (name == "set"))
    if not _may(server, "set", key):
        # Without that key the other commands might write.
        trials = [
            name
            for name in trials
            if name in ("set", "get", "mget", "pttl", "exists", "type", "time", "info", "wait", "evalsha")
        ]
    missing = [name for name in trials if not _may(server, name, key)]
    if not missing:
        return fine("acl-needed", "The user may do all that the library needs.")
    is_slower_only = missing == ["wait"] and len(trials) == len(NEEDED) and not server.settings.min_replicas
    return Finding(
        "acl-needed",
        "warning" if is_slower_only else "problem",
        f"The user may not use {', '.join(name.replace('|', ' ').upper() for name in missing)}"
        + ("" if len(trials) == len(NEEDED) else ", and perhaps more")
        + ".",
        "Every strict check writes a key instead." if is_slower_only else "Revoking, or following, fails with 503.",
        server.grant(server.user, *missing),
    )


def _may(server: ExaminedServer, name: str, key: str) -> bool:
    arguments = (argument.replace("KEY", key) for argument in _ARGUMENTS[name])
    return _is_allowed(server, *name.upper().split("|"), *arguments)


def _width(server: ExaminedServer, user: str | None) -> Finding:
    outside = "{elsewhere}:key"
    if server.is_embedded:
        return _socket(str(server.options["path"]))
    mend = server.grant("revocation", *NEEDED, *server.more_rights, first=("reset", "on", ">PASSWORD"))
    mend += "   # the service needs more: docs/operating.md, Rights"
    may_ask = user is not None and _answer(server, "ACL", "DRYRUN", user, "PING") is not None
    if user is not None and may_ask:
        able = [command[0] for command in _DANGEROUS if _answer(server, "ACL", "DRYRUN", user, *command) == "OK"]
        if _answer(server, "ACL", "DRYRUN", user, "GET", outside) == "OK":
            able.append("every key")
    else:
        able = [" ".join(command[:2]) for command in _HARMLESS if _answer(server, *command) is not None]
        if _is_allowed(server, "GET", outside):
            able.append("every key")
    if able:
        subject = f"The user {user}" if user else "This user"
        return Finding("acl-width", "warning", f"{subject} may use {', '.join(able)}.", _WIDE, mend)
    if not may_ask:
        listing = server.mend("ACL", "LIST")
        return fine(
            "acl-width",
            "The server denies this user other keys, CONFIG, SCAN and ACL. This user may not ask for its other rights "
            f"({listing}).",
        )
    return fine("acl-width", f"The user {user} may not flush, configure, list keys or reach other keys.")


def _socket(path: str) -> Finding:
    """Who may open the socket of an embedded server, which has no users."""
    if not stat.S_IMODE(Path(path).stat().st_mode) & (stat.S_IWGRP | stat.S_IWOTH):
        return fine("acl-width", "The server belongs to the service: only its owner can open the socket.")
    return Finding(
        "acl-width",
        "warning",
        "Other users of this machine can open the socket of the embedded server.",
        "Whoever does can flush the deny-list, or lift any revocation, unseen.",
        f"chmod 700 {shlex.quote(path)}",
    )


def _is_allowed(server: ExaminedServer, *command: str) -> bool:
    try:
        _run(server, *command)
    except redis.exceptions.NoPermissionError:
        return False
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        # The key has the wrong type, or the script does not exist: the server let the command through to that point.
        pass
    return True


def _answer(server: ExaminedServer, *command: str) -> str | None:
    """The server's answer as text; None where the command is forbidden or unknown."""
    answer: Any = server.ask(lambda _: _run(server, *command))
    return answer.decode("utf-8", "replace") if isinstance(answer, bytes) else None if answer is None else str(answer)


def _run(server: ExaminedServer, *command: str) -> Any:
    untyped: Any = server.client
    return untyped.execute_command(*command)
