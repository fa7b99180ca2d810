"""Doctor: finds what silently breaks a deny-list."""

from collections.abc import Callable, Iterator
from typing import Final

import redis

from revocation.doctor.access import rights, transport
from revocation.doctor.finding import Finding, Severity
from revocation.doctor.patient import Patient
from revocation.doctor.replicas import priorities, replication
from revocation.doctor.state import epoch, followers, version
from revocation.doctor.storage import eviction, memory, persistence
from revocation.doctor.timing import latency_and_clock
from revocation.redis.denylist import RedisDenylist
from revocation.settings import RevocationSettings

__all__ = ["UNREACHABLE", "Finding", "Severity", "examine", "in_memory"]

#: The check that fails where the server does not answer, so that nothing else could be looked at.
UNREACHABLE: Final = "reach"

_CHECKS: Final[tuple[Callable[[Patient], Iterator[Finding]], ...]] = (
    *(eviction, memory, persistence, replication, priorities),
    *(latency_and_clock, rights, transport, version, epoch, followers),
)


def examine(denylist: RedisDenylist, *, settings: RevocationSettings, url: str) -> list[Finding]:
    """Look at a deny-list, at this URL (as `connect` takes it), and say what is wrong with it, and what is fine.

    The deny-list's client should be more patient than REVOCATION_TIMEOUT, or what is slower cannot be measured. Writes
    nothing but a key of its own that ends after five seconds; followers whose lease has run out are forgotten, as by
    every receipt.
    """
    patient = Patient(denylist, settings=settings, url=url)
    findings: list[Finding] = []
    try:
        patient.client.ping()
    except redis.exceptions.NoPermissionError:
        pass
    except (redis.RedisError, OSError) as error:
        return [_unreachable(error)]
    try:
        for check in _CHECKS:
            findings += check(patient)
    except (redis.RedisError, OSError) as error:
        findings.append(_unreachable(error))
    finally:
        patient.denylist.link.close()
    return findings


def in_memory() -> Finding:
    """What there is to say of REVOCATION_REDIS_URL=memory, which nobody else can look into."""
    return Finding(
        "store",
        "problem",
        "REVOCATION_REDIS_URL is memory: each process has a deny-list of its own, and loses it when it ends.",
        "With several workers, a token that one of them has revoked is accepted by the others.",
        "export REVOCATION_REDIS_URL=redis://HOST:6379/0   (or unset it, for the embedded store)",
    )


def _unreachable(error: Exception) -> Finding:
    why = "Every check that has to ask is 503."
    match error:
        case redis.exceptions.BusyLoadingError():
            return Finding(
                UNREACHABLE,
                "problem",
                "Redis is loading its data.",
                f"{why} It ends by itself.",
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
        case _:
            return Finding(
                UNREACHABLE,
                "problem",
                f"Redis does not answer: {error}",
                why,
                "see that it runs, that REVOCATION_REDIS_URL names it, and that nothing in between keeps it away",
            )
