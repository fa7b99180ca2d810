"""Doctor: finds faults that silently break a deny-list. Each file but `finding` and `server` is a check, or several."""

from collections.abc import Callable, Iterator
from typing import Final

import redis

from revocation.doctor.epoch import epoch
from revocation.doctor.eviction import eviction
from revocation.doctor.finding import Finding, Severity
from revocation.doctor.followers import followers
from revocation.doctor.memory import memory
from revocation.doctor.persistence import fsync, persistence
from revocation.doctor.replicas import priorities, replication
from revocation.doctor.rights import rights
from revocation.doctor.server import ExaminedServer
from revocation.doctor.timing import clock, latency_and_clock
from revocation.doctor.tls import tls
from revocation.doctor.version import version
from revocation.redis.denylist import RedisDenylist
from revocation.settings import RevocationSettings

__all__ = ["MEND_UNREACHABLE", "UNREACHABLE", "Finding", "Severity", "examine", "glance", "in_memory"]

#: The name of the check that fails where the server does not answer, so that no other check can run.
UNREACHABLE: Final = "reach"

#: What to do about a server that does not answer, where nothing more is known of it.
MEND_UNREACHABLE: Final = (
    "see that Redis runs, that REVOCATION_REDIS_URL names it, and that no firewall stops the connection"
)

_CHECKS: Final[tuple[Callable[[ExaminedServer], Iterator[Finding]], ...]] = (
    *(eviction, memory, persistence, fsync, replication, priorities),
    *(latency_and_clock, rights, tls, version, epoch, followers),
)

#: Those that take a few round trips, and need no more rights than the library: a service runs them when it starts, and
#: where it tells of its health.
_QUICK: Final[tuple[Callable[[ExaminedServer], Iterator[Finding]], ...]] = (
    *(eviction, memory, persistence, replication, clock, version),
)


def examine(denylist: RedisDenylist, *, settings: RevocationSettings, url: str) -> list[Finding]:
    """Run every check on a deny-list at this URL (as `connect` takes it), and return what each of them finds.

    The client of the deny-list should wait longer than `settings.timeout_seconds`, or the doctor cannot measure slower
    answers. The doctor writes one key of its own, which expires after five seconds, and removes followers whose lease
    has run out, as every receipt does.
    """
    server = ExaminedServer(denylist, settings=settings, url=url)
    findings: list[Finding] = []
    try:
        client = server.client
    except redis.exceptions.NoPermissionError:
        return [_forbidden_map(server)]
    except (redis.RedisError, OSError) as error:
        return [_unreachable(server, error)]
    try:
        client.ping()
    except redis.exceptions.NoPermissionError:
        pass
    except (redis.RedisError, OSError) as error:
        return [_unreachable(server, error)]
    try:
        for check in _CHECKS:
            findings += check(server)
    except (redis.RedisError, OSError) as error:
        findings.append(_unreachable(server, error))
    finally:
        server.denylist.link.close()
    return findings


def glance(denylist: RedisDenylist, *, settings: RevocationSettings) -> list[Finding]:
    """What is wrong with the server of a deny-list, as a few round trips can tell, the gravest first.

    `settings.redis_url` is the URL as `connect` takes it. Raises DenylistUnavailableError where Redis does not answer.
    """
    if settings.redis_url == "memory":
        return []
    server = ExaminedServer(denylist, settings=settings, url=settings.redis_url)
    found = denylist.link.call(lambda _: [finding for check in _QUICK for finding in check(server)])
    wrong: tuple[Severity, ...] = ("problem", "warning")
    return sorted((each for each in found if each.severity in wrong), key=lambda each: wrong.index(each.severity))


def in_memory() -> Finding:
    """The finding about REVOCATION_REDIS_URL=memory: no other process can reach such a deny-list."""
    return Finding(
        "store",
        "problem",
        "REVOCATION_REDIS_URL is memory: each process has a deny-list of its own, and loses it when the process ends.",
        "With several workers, one of them revokes a token and the others still accept it.",
        "export REVOCATION_REDIS_URL=redis://HOST:6379/0   # or unset it, for the embedded store",
    )


_WHY: Final = "Every decision that has to ask Redis is 503."


def _forbidden_map(server: ExaminedServer) -> Finding:
    return Finding(
        UNREACHABLE,
        "problem",
        "The user may not ask the cluster for its map (CLUSTER SLOTS).",
        _WHY,
        server.grant_map,
    )


def _unreachable(server: ExaminedServer, error: Exception) -> Finding:
    why = _WHY
    fault = server.denylist.link.fault(error)
    match error:
        case redis.exceptions.BusyLoadingError():
            return Finding(
                UNREACHABLE,
                "problem",
                "Redis is loading its data.",
                f"{why} Redis answers again once it has finished.",
                "wait; `redis-cli INFO persistence` says loading_eta_seconds",
            )
        case redis.exceptions.AuthenticationError():
            return Finding(
                UNREACHABLE,
                "problem",
                "Redis refuses the user or the password.",
                why,
                "set both in REVOCATION_REDIS_URL: redis://USER:PASSWORD@HOST:6379/0, with / ? # @ in a password "
                "written %2F %3F %23 %40",
            )
        case _ if fault:
            return Finding(
                UNREACHABLE,
                "problem",
                f"Redis cannot be used as it is set: {fault}.",
                why,
                "set REVOCATION_REDIS_URL to the file that holds the authority or the certificate",
            )
        case _:
            return Finding(
                UNREACHABLE,
                "problem",
                f"Redis does not answer: {error}",
                why,
                MEND_UNREACHABLE,
            )
