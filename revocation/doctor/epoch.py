"""Epoch: whether the deny-list is open, for the same tokens as in this environment, and whether it has lost data."""

import time
from collections.abc import Iterator
from typing import Any, Final

import redis

from revocation.doctor.finding import Finding, fine
from revocation.doctor.server import ExaminedServer
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.instants import rfc3339
from revocation.redis.head import OLDER, Head
from revocation.redis.protocol import CHANGE

#: How many keys the doctor scans for deny-lists in other namespaces.
_SCANNED: Final = 20_000


def epoch(server: ExaminedServer) -> Iterator[Finding]:
    """Whether the deny-list is open, for tokens of the same lifetime as here, and whether it has lost data."""
    try:
        head = server.head()
    except redis.exceptions.NoPermissionError:
        yield Finding(
            "epoch",
            "unknown",
            "This user may not read the head of the deny-list.",
            "acl-needed says why.",
            "see acl-needed",
        )
        return
    except DenylistEmptyError:
        namespaces = ", ".join(_other_namespaces(server))
        hint = f" This server holds deny-lists in other namespaces: {namespaces}." if namespaces else ""
        yield Finding(
            "epoch",
            "problem",
            f"There is no deny-list {server.settings.namespace!r} here: nobody has opened it, or Redis lost it.{hint}",
            "Until somebody opens it, every check that asks is 503.",
            "revocation init" + ("   # or set REVOCATION_NAMESPACE, if it has another name" if namespaces else ""),
        )
        return
    except DenylistUnavailableError as error:
        yield Finding(
            "epoch",
            "problem",
            str(error),
            "No process of this version can check or revoke.",
            "stop every process, then: revocation init --new-epoch"
            if str(error) == OLDER
            else "upgrade the older side to the newer; where nothing newer runs: "
            + server.mend("DEL", server.denylist.namespace.head)
            + ", then revocation init",
        )
        return
    yield from _lifetime(server, head)
    yield _handles(server, head)
    yield from _age(server, head)


def _lifetime(server: ExaminedServer, head: Head) -> Iterator[Finding]:
    settings = server.settings
    higher = [
        (name, ours, theirs)
        for name, ours, theirs in (
            ("MAX_TOKEN_LIFETIME", settings.max_token_lifetime_seconds or 0, head.settings.max_token_seconds),
            ("LEEWAY", settings.leeway_seconds, head.settings.leeway_seconds),
        )
        if ours > theirs
    ]
    if not higher:
        yield fine("lifetime", f"Tokens live at most {head.settings.max_token_seconds} s, and entries outlive them.")
    for name, ours, theirs in higher:
        yield Finding(
            "lifetime",
            "problem",
            f"REVOCATION_{name} is {ours} here, and the head of the deny-list says {theirs}.",
            "Entries would end before the tokens that this process accepts: it refuses to take part, with 503.",
            f"export REVOCATION_{name}={theirs}",
        )


def _handles(server: ExaminedServer, head: Head) -> Finding:
    told = server.settings.handles.words
    missing, waiting = (sorted(set(one) - set(other)) for one, other in ((head.kinds, told), (told, head.kinds)))
    if missing:
        return Finding(
            "handles",
            "problem",
            f"The deny-list declares handles of the kind {', '.join(missing)}, and this environment does not.",
            "A process with it would accept what was revoked by them: it answers nothing, with 503.",
            "name their claims in REVOCATION_HANDLES, such as " + " ".join(f"{word}=CLAIM" for word in missing),
        )
    if waiting:
        return Finding(
            "handles",
            "warning",
            f"This environment knows handles of the kind {', '.join(waiting)}, and the deny-list does not declare it.",
            "Nothing can be revoked by it.",
            "when every process was told of it: revocation init " + " ".join(f"--declare '{word}'" for word in waiting),
        )
    return fine("handles", "By every kind of handle that is declared this environment looks for tokens.")


def _age(server: ExaminedServer, head: Head) -> Iterator[Finding]:
    since = f"Epoch {head.epoch}, open since {rfc3339(head.birth_ms, timespec='seconds')}"
    everything = rfc3339(head.everything_ms, timespec="seconds")
    ends = head.everything_ms / 1000 + head.settings.max_token_seconds
    if (head.replaced or _log_is_older(server, head)) and time.time() < ends:
        yield Finding(
            "epoch",
            "warning",
            f"{since}, in place of an earlier one: nothing issued before {everything} is accepted.",
            "Either somebody ran `revocation init --new-epoch`, or Redis has lost revocations.",
            "if nobody ran it: see persistence and replication here, and the services' logs for `lost revocations`",
        )
        return
    cutoff = f"; nothing issued before {everything} is accepted" if head.everything_ms else ""
    yield fine("epoch", f"{since}{cutoff}.")


def _log_is_older(server: ExaminedServer, head: Head) -> bool:
    """Whether the log tells of changes from before the epoch, as where only the head was lost."""
    log = server.denylist.namespace.log
    oldest: Any = server.ask(lambda client: client.xrange(log, "-", "+", count=1))
    change = CHANGE.fullmatch(oldest[0][1].get(b"change", b"").decode("utf-8", "replace")) if oldest else None
    return change is not None and int(change["at"]) < head.birth_ms


def _other_namespaces(server: ExaminedServer) -> list[str]:
    """The namespaces of other deny-lists on the same server, as far as this user may scan."""

    def scan(client: "redis.Redis") -> list[str]:
        namespaces: list[str] = []
        cursor, scanned = 0, 0
        while scanned < _SCANNED:
            answer: Any = client.scan(cursor, match="{*}:head", count=1000)
            cursor, keys = answer
            scanned += 1000
            namespaces += [key.decode("utf-8", "replace")[1:].partition("}")[0] for key in keys]
            if cursor == 0:
                break
        return sorted(namespaces)

    return server.ask(scan) or []
