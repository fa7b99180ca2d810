"""What the deny-list itself says: version, lifetimes, epoch, followers."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

import redis

from revocation.doctor.finding import Finding, fine
from revocation.doctor.patient import Patient
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.redis.protocol import Head, order

_OLDEST: Final = {"redis": (6, 2), "valkey": (8, 0)}

#: How long to wait for followers to come to the end of the log, in seconds.
_CATCH_UP_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = 0.05

#: Keys looked at for deny-lists of other names.
_SCANNED: Final = 20_000


def version(patient: Patient) -> Iterator[Finding]:
    """Redis 6.2 or Valkey 8, or later."""
    info = patient.info
    mend = "Redis 6.2 or later, or Valkey 8 or later"
    if info is None:
        yield Finding("version", "unknown", "INFO is forbidden to this user.", "Older servers lack commands.", mend)
        return
    name = "valkey" if "valkey_version" in info else "redis"
    text = str(info.get(f"{name}_version", "0"))
    numbers = tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())
    if numbers < _OLDEST[name]:
        yield Finding("version", "problem", f"It is {name} {text}.", "Commands are missing that are needed.", mend)
    else:
        yield fine("version", f"{name.capitalize()} {text}.")


def epoch(patient: Patient) -> Iterator[Finding]:
    """Whether the deny-list is open, for the same tokens as here, and whether it has lost data."""
    try:
        head = _head(patient)
    except redis.exceptions.NoPermissionError:
        yield Finding("epoch", "unknown", "This user may not read it.", "See acl-needed.", "see acl-needed")
        return
    except DenylistEmptyError:
        others = ", ".join(_others(patient))
        seen = f" There are deny-lists of other names here: {others}." if others else ""
        yield Finding(
            "epoch",
            "problem",
            f"There is no deny-list {patient.settings.namespace!r} here: never opened, or lost.{seen}",
            "Until it is opened, every check that asks is 503.",
            "revocation init" + ("   (or REVOCATION_NAMESPACE, if it has another name)" if others else ""),
        )
        return
    except DenylistUnavailableError as error:
        yield Finding(
            "epoch", "problem", str(error), "Nobody here can check or revoke.", "upgrade the older side to the newer"
        )
        return
    yield from _lifetime(patient, head)
    yield from _age(patient, head)


def _lifetime(patient: Patient, head: Head) -> Iterator[Finding]:
    ours, theirs = patient.settings.max_token_lifetime_seconds, head.max_token_seconds
    if ours == theirs:
        yield fine("lifetime", f"Tokens live at most {theirs} s, as the deny-list was opened for.")
        return
    yield Finding(
        "lifetime",
        "problem",
        f"REVOCATION_MAX_TOKEN_LIFETIME is {ours} here, and the deny-list was opened for {theirs}.",
        "Entries end by the one and tokens by the other: processes that differ refuse to take part, with 503.",
        f"export REVOCATION_MAX_TOKEN_LIFETIME={theirs}",
    )


def _age(patient: Patient, head: Head) -> Iterator[Finding]:
    log = patient.denylist.key("log")
    oldest: Any = patient.ask(lambda client: client.xrange(log, "-", "+", count=1))
    since = f"Epoch {head.epoch}, open since {_instant(head.birth_ms)}"
    ends = head.everything_ms / 1000 + head.max_token_seconds
    if oldest and order(oldest[0][0].decode())[0] < head.birth_ms and time.time() < ends:
        yield Finding(
            "epoch",
            "warning",
            f"{since}, in place of an earlier one: nothing issued before {_instant(head.everything_ms)} is accepted.",
            "Either somebody ran `revocation init --new-epoch`, or Redis has lost revocations.",
            "if nobody did: see persistence and replication here, and the services' logs for `lost revocations`",
        )
        return
    cutoff = f"; nothing issued before {_instant(head.everything_ms)} is accepted" if head.everything_ms else ""
    yield fine("epoch", f"{since}{cutoff}.")


def followers(patient: Patient) -> Iterator[Finding]:
    """Whether the processes that follow are alive, and at the end of the log."""
    try:
        head = _head(patient)
        behind, leases = _behind(patient, head)
        ages = patient.denylist.leases.ages()
    except (DenylistEmptyError, redis.exceptions.NoPermissionError):
        # That is said of the epoch.
        return
    except DenylistUnavailableError as error:
        yield Finding("followers", "unknown", str(error), "Nobody can say whether revocations arrive.", "see above")
        return
    if not leases:
        yield Finding(
            "followers",
            "warning",
            "Nobody follows this deny-list.",
            "Either nothing runs, or every route is strict or stateless, or the processes cannot read the log.",
            "see that they run, and their logs for `cannot read the deny-list's log`",
        )
        return
    oldest = f"the oldest was heard of {max(ages.values(), default=0.0):.2f} s ago"
    if behind:
        yield Finding(
            "followers",
            "warning",
            f"{len(behind)} of {len(leases)} followers are behind the log: {', '.join(behind)}.",
            "What they have not read they refuse only when their bound has passed, and receipts wait for them.",
            "see the log of these processes (the first number is the process id), and restart them",
        )
    else:
        yield fine("followers", f"{len(leases)} alive, all at the end of the log; {oldest}.")


def _behind(patient: Patient, head: Head) -> tuple[list[str], dict[str, tuple[str, int]]]:
    """Who has not come to where the log ended, given a moment."""
    deadline = time.monotonic() + _CATCH_UP_SECONDS
    while True:
        leases = patient.denylist.leases.living()
        behind = sorted(id_ for id_, (position, _) in leases.items() if order(position) < order(head.last_id))
        if not behind or time.monotonic() > deadline:
            return behind, leases
        time.sleep(_LOOK_SECONDS)


def _others(patient: Patient) -> list[str]:
    """Deny-lists of other names on the same server, as far as this user may look."""

    def look(client: "redis.Redis") -> list[str]:
        found: list[str] = []
        cursor, seen = 0, 0
        while seen < _SCANNED:
            answer: Any = client.scan(cursor, match="{*}:head", count=1000)
            cursor, keys = answer
            seen += 1000
            found += [key.decode("utf-8", "replace")[1:].partition("}")[0] for key in keys]
            if cursor == 0:
                break
        return sorted(found)

    return patient.ask(look) or []


def _head(patient: Patient) -> Head:
    text: Any = patient.client.get(patient.denylist.key("head"))
    return Head.parse(text)


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
