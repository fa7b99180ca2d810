"""Health: whether everything that enforces revocations is well, and what of it an administrator should look at.

This is asked and judged here, and shown in three places: at `/healthz` and `/readyz`, at `/admin/health`, and in the
console.

Keys, in the deny-list's namespace and so in its cluster slot:

    app:noticed:<check>     string: since when (ms) a warning without an instant of its own has been seen
"""

import math
import time
from dataclasses import dataclass
from typing import Any, Literal

import redis

from app.audit_backlog import MOST_LINES
from app.audit_copier import AuditCopier
from app.debt_payer import DebtPayer
from app.instants import milliseconds
from app.readiness import is_draining
from app.users import ADMIN, Users
from revocation import DenylistEmptyError, DenylistUnavailableError, Guard, RedisDenylist, RevocationSettings
from revocation.doctor import Finding, glance
from revocation.redis.head import Head

#: A follower that is older than this many seconds is slow; a beat takes a quarter of one at most.
_SLOW_SECONDS = 1.0

#: For how long a restart of Redis is told, in seconds.
_RESTART_SECONDS = 3600

#: What nobody has looked at for so long counts as new when it is seen again, in milliseconds.
_NOTICED_FOR_MS = 600_000

#: How late the audit trail may be before a warning.
_AUDIT_LATE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Epoch:
    """Since when the deny-list remembers without a gap."""

    id: str
    opened_ms: int
    #: Nothing that was issued earlier is accepted; None: there is no such cut-off.
    accepts_from_ms: int | None


@dataclass(frozen=True, slots=True)
class OwnFollower:
    """The copy of the deny-list in this process."""

    #: None until the follower has caught up.
    age_seconds: float | None
    entries: int
    connected: bool
    amnesia_noticed: int


@dataclass(frozen=True, slots=True)
class ProcessHealth:
    """This process, and the deny-list as it sees it."""

    status: Literal["ok", "draining"]
    denylist: Literal["ok", "empty", "unavailable"]
    #: None unless the deny-list is ok.
    epoch: Epoch | None
    #: None where the process always asks Redis, or never.
    follower: OwnFollower | None
    #: Changes of accounts whose tokens were still to be taken back when this process looked last.
    changes_owed: int


@dataclass(frozen=True, slots=True)
class LivingFollower:
    """A process that decides from its own copy of the deny-list."""

    id: str
    age_seconds: float
    #: Whether it has read the log to its end.
    caught_up: bool


@dataclass(frozen=True, slots=True)
class RedisServer:
    """The facts that Redis tells of itself; None where it does not tell."""

    server: Literal["redis", "valkey"]
    version: str | None
    role: str | None
    replicas: int | None
    uptime_seconds: int | None
    round_trip_seconds: float
    #: How far the clock of Redis is ahead of this host's.
    clock_ahead_seconds: float
    memory_used_bytes: int | None
    memory_limit_bytes: int | None
    eviction_policy: str | None
    append_only: bool | None
    last_write_ok: bool


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning for people: what is wrong, why that matters, what to do, and since when."""

    finding: Finding
    #: When it began, in milliseconds; where nothing tells, when somebody looked and saw it first.
    since_ms: int


@dataclass(frozen=True, slots=True)
class SystemHealth:
    """Everything that enforces revocations, and what an administrator should look at."""

    epoch: Epoch
    followers: tuple[LivingFollower, ...]
    redis: RedisServer
    #: How old the oldest line of the log is that the audit trail lacks; None where no process copies the log.
    audit_behind_seconds: float | None
    warnings: tuple[Warned, ...]


class Health:
    """Asks the parts of the system, and judges their answers."""

    def __init__(
        self,
        denylist: RedisDenylist,
        guard: Guard,
        users: Users,
        audit_copier: AuditCopier,
        debt_payer: DebtPayer,
        *,
        settings: RevocationSettings,
    ) -> None:
        self._denylist = denylist
        self._settings = settings
        self._guard = guard
        self._users = users
        self._since = time.monotonic()
        self._audit_copier = audit_copier
        self._debt_payer = debt_payer

    def process(self) -> ProcessHealth:
        """This process. A Redis that does not answer is a fact about it, and not an error."""
        status: Literal["ok", "draining"] = "draining" if is_draining() else "ok"
        follower, owed = self._follower(), self._debt_payer.owed
        try:
            # As a strict check asks: a primary without its replicas answers, and is not to be believed.
            head, _ = self._denylist.ask([])
            epoch = _epoch(head)
        except DenylistEmptyError:
            return ProcessHealth(status, "empty", None, follower, owed)
        except DenylistUnavailableError:
            return ProcessHealth(status, "unavailable", None, follower, owed)
        return ProcessHealth(status, "ok", epoch, follower, owed)

    def system(self) -> SystemHealth:
        """Every process and Redis. Raises DenylistUnavailableError where Redis does not answer."""
        head, leases, ages = self._denylist.head(), self._denylist.leases.living(), self._denylist.leases.ages()
        followers = tuple(
            LivingFollower(id_, round(max(0.0, age), 3), caught_up=leases.get(id_, ("", 0))[0] == head.end)
            for id_, age in sorted(ages.items())
        )
        epoch, server = _epoch(head), self._redis()
        behind = self._audit_copier.fleet_behind_seconds()
        warnings = (
            *self._epoch_warnings(epoch),
            *_follower_warnings(followers),
            *self._noticed(glance(self._denylist, settings=self._settings)),
            *self._restart_warnings(server),
            *self._audit_warnings(behind),
        )
        return SystemHealth(epoch, followers, server, behind, warnings)

    def _follower(self) -> OwnFollower | None:
        follower = self._guard.follower
        if follower is None:
            return None
        state = follower.state
        age = None if state.age_seconds == math.inf else round(state.age_seconds, 3)
        return OwnFollower(age, state.entries, state.is_connected, state.amnesia)

    def _redis(self) -> RedisServer:
        asked, started = time.time(), time.perf_counter()
        seconds, microseconds = self._denylist.link.call(lambda client: client.time())
        round_trip = time.perf_counter() - started
        info = self._denylist.link.call(_info)
        append_only = info.get("aof_enabled")
        return RedisServer(
            server="valkey" if "valkey_version" in info else "redis",
            version=info.get("valkey_version") or info.get("redis_version"),
            role=info.get("role"),
            replicas=info.get("connected_slaves"),
            uptime_seconds=info.get("uptime_in_seconds"),
            round_trip_seconds=round(round_trip, 6),
            clock_ahead_seconds=round(seconds + microseconds / 1e6 - asked - round_trip / 2, 3),
            memory_used_bytes=info.get("used_memory"),
            memory_limit_bytes=info.get("maxmemory") or None,
            eviction_policy=info.get("maxmemory_policy"),
            append_only=None if append_only is None else bool(append_only),
            last_write_ok=info.get("aof_last_write_status", "ok") == "ok",
        )

    def _noticed(self, findings: list[Finding]) -> list[Warned]:
        """Warnings of findings that do not say since when they are so."""
        if not findings:
            return []
        now_ms = int(1000 * time.time())
        keys = [self._denylist.key(f"app:noticed:{finding.check}") for finding in findings]

        def note(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.set(key, now_ms, nx=True, px=_NOTICED_FOR_MS)
                pipeline.pexpire(key, _NOTICED_FOR_MS)
                pipeline.get(key)
            # A Redis that takes no writes is one of the findings, and its refusal is no reason not to tell them.
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            return answers[2::3]

        return [
            Warned(finding, int(since) if isinstance(since, bytes) and since.isdigit() else now_ms)
            for finding, since in zip(findings, self._denylist.link.call(note), strict=True)
        ]

    def _epoch_warnings(self, epoch: Epoch) -> list[Warned]:
        admin = self._users.get(ADMIN)
        # The first epoch is opened before the first account is made.
        if admin is None or milliseconds(admin.created_at) >= epoch.opened_ms:
            return []
        if 1000 * time.time() - epoch.opened_ms > self._denylist.lifetimes.entry_ms("session"):
            return []
        return [
            _warned(
                "epoch",
                "The deny-list was opened anew: Redis had lost its data, or somebody ran `init --new-epoch`.",
                "Nothing issued before that is accepted, so everyone signs in again.",
                "see the log of Redis, who restarted or flushed it, and whether it has an append-only file",
                since_ms=epoch.opened_ms,
            )
        ]

    def _restart_warnings(self, server: RedisServer) -> list[Warned]:
        uptime = server.uptime_seconds
        # Redis counts whole seconds, and this process may have been made while Redis started.
        if uptime is None or uptime + 2 >= min(time.monotonic() - self._since, _RESTART_SECONDS):
            return []
        return [
            _warned(
                "restart",
                "Redis started again: it had ended while this service ran.",
                "What asked it meanwhile was refused with 503. The warning goes an hour after the start.",
                "see the log of Redis for the reason",
                since_ms=int(1000 * (time.time() - uptime)),
            )
        ]

    def _audit_warnings(self, behind_seconds: float | None) -> list[Warned]:
        if behind_seconds is None or behind_seconds <= _AUDIT_LATE_SECONDS:
            return []
        reach = self._denylist.head().settings.horizon_ms // 1000
        return [
            _warned(
                "audit",
                f"The audit trail is {behind_seconds:.0f} s behind: the database does not take what was revoked.",
                f"The deny-list's log reaches {reach} s back; what is older waits in Redis, up to "
                f"{MOST_LINES:,} lines.",
                "see that the database of APP_DATABASE_URL runs and has room on its disk",
                since_ms=int(1000 * (time.time() - behind_seconds)),
            )
        ]


def _epoch(head: Head) -> Epoch:
    return Epoch(head.epoch, head.birth_ms, head.everything_ms or None)


def _warned(check: str, what: str, why: str, mend: str, *, since_ms: int) -> Warned:
    return Warned(Finding(check, "warning", what, why, mend), since_ms)


def _follower_warnings(followers: tuple[LivingFollower, ...]) -> list[Warned]:
    slow = [follower for follower in followers if follower.age_seconds > _SLOW_SECONDS]
    if not slow:
        return []
    return [
        _warned(
            "followers",
            f"{len(slow)} of {len(followers)} followers have not been heard of for more than {_SLOW_SECONDS:g} s: "
            f"{', '.join(follower.id for follower in slow[:3])}.",
            "Their processes ask Redis meanwhile, or have ended; then their leases run out, and nobody waits for them.",
            "see whether these processes run, and what their logs say of Redis",
            since_ms=int(1000 * (time.time() - max(follower.age_seconds for follower in slow))),
        )
    ]


def _info(client: redis.Redis) -> dict[str, Any]:
    try:
        info: dict[str, Any] = client.info()
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        # This user of Redis may not run INFO, or the server does not know it.
        return {}
    return info
