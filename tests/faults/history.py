"""History: what was issued, taken back and asked, and when; and the checker, which knows nothing else.

Instants are the monotonic clock of one process. An operation is invoked before its first byte is sent and has ended
after its last byte was read, so what the checker calls late was later still.
"""

import math
import threading
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["ok", "fail", "unknown"]

#: The name by which every token is known, and which a new epoch revokes.
EVERYTHING = "everything"

#: The name of a fault that nobody injected: the machine was too busy to run what is tested.
STALL = "stall"


@dataclass(frozen=True, slots=True)
class Issue:
    """A token, and everything that it can be taken back by."""

    token: str
    handles: frozenset[str]
    invoked: float
    ended: float


@dataclass(frozen=True, slots=True)
class Revoke:
    """A handle taken back: acknowledged (ok), refused (fail), or nobody knows."""

    handle: str
    unconditional: bool
    invoked: float
    ended: float
    outcome: Outcome
    #: Whether its receipt says that it is enforced: from then on the bound of a route excuses nobody.
    enforced: bool = False

    def must_cover(self, issue: Issue) -> bool:
        return self.handle in issue.handles and (self.unconditional or issue.ended <= self.invoked)

    def may_cover(self, issue: Issue) -> bool:
        if self.outcome == "fail" or self.handle not in issue.handles:
            return False
        return self.unconditional or self.outcome == "unknown" or issue.invoked <= self.ended


@dataclass(frozen=True, slots=True)
class Request:
    """A token presented on a route with a bound. A session's refresh tokens are one token here, presented strictly."""

    token: str
    bound: float
    sent: float
    ended: float
    #: The HTTP status; 0 where no answer came.
    status: int
    source: str = ""
    worker: str = ""
    #: Whether it is a refresh token, for which the answer is the next one.
    refreshes: bool = False


@dataclass(frozen=True, slots=True)
class Fault:
    """When something was broken. Until `healed` and a little longer, nobody has to be served."""

    name: str
    began: float
    healed: float


@dataclass
class History:
    """Written by many threads at once."""

    issues: list[Issue] = field(default_factory=list)
    revokes: list[Revoke] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def add(self, event: Issue | Revoke | Request | Fault) -> None:
        with self._lock:
            match event:
                case Issue():
                    self.issues.append(event)
                case Revoke():
                    self.revokes.append(event)
                case Request():
                    self.requests.append(event)
                case Fault():
                    self.faults.append(event)

    def so_far(self) -> "History":
        """A copy, to be judged while others write."""
        with self._lock:
            return History(list(self.issues), list(self.revokes), list(self.requests), list(self.faults))


@dataclass(frozen=True)
class Verdict:
    """What a history shows."""

    #: Accepted although it was sent later than the bound after the acknowledgement of a revocation that covers it, or
    #: after a receipt that calls that revocation enforced.
    violations: Sequence[Request]
    #: Refused although nothing covers it.
    false_refusals: Sequence[Request]
    #: 503 while nothing was broken, or on a route that asks nobody.
    needless_503: Sequence[Request]
    #: Neither an acceptance nor a refusal nor a 503.
    unexpected: Sequence[Request]
    figures: Counter[str]

    def __str__(self) -> str:
        return ", ".join(f"{name} {count}" for name, count in self.figures.items())


def check(history: History, *, recovery_seconds: float) -> Verdict:
    """Judge every request of a history."""
    issues = {issue.token: issue for issue in history.issues}
    by_handle: dict[str, list[Revoke]] = defaultdict(list)
    for revoke in history.revokes:
        by_handle[revoke.handle].append(revoke)
    refused_from = {token: _refused_from(issue, by_handle) for token, issue in issues.items()}

    def is_too_late(request: Request) -> bool:
        acknowledged, enforced = refused_from[request.token]
        return request.bound < math.inf and request.sent > min(acknowledged + request.bound, enforced)

    violations, false_refusals, needless, unexpected = [], [], [], []
    for request in history.requests:
        match request.status:
            case 200 | 204:
                if is_too_late(request):
                    violations.append(request)
            case 401:
                possible = _named(issues[request.token], by_handle)
                if request.bound == math.inf or not any(one.may_cover(issues[request.token]) for one in possible):
                    false_refusals.append(request)
            case 503:
                broken = _broken(request, history.faults, recovery_seconds)
                if request.bound == math.inf or not broken:
                    needless.append(request)
            case 0:
                if not _broken(request, history.faults, recovery_seconds):
                    unexpected.append(request)
            case _:
                unexpected.append(request)
    figures = Counter(
        {
            "requests": len(history.requests),
            "accepted": sum(request.status in (200, 204) for request in history.requests),
            "refused": sum(request.status == 401 for request in history.requests),
            "unavailable": sum(request.status == 503 for request in history.requests),
            "unanswered": sum(request.status == 0 for request in history.requests),
            "revoked": sum(revoke.outcome == "ok" for revoke in history.revokes),
            "unsure": sum(revoke.outcome == "unknown" for revoke in history.revokes),
            "enforced": sum(revoke.enforced for revoke in history.revokes),
            "refreshed": sum(request.status == 200 and request.refreshes for request in history.requests),
            "too late to accept": sum(map(is_too_late, history.requests)),
            "violations": len(violations),
            "false refusals": len(false_refusals),
            "needless 503": len(needless),
        }
    )
    return Verdict(violations, false_refusals, needless, unexpected, figures)


def _named(issue: Issue, by_handle: dict[str, list[Revoke]]) -> Iterable[Revoke]:
    return (revoke for handle in issue.handles for revoke in by_handle.get(handle, ()))


def _refused_from(issue: Issue, by_handle: dict[str, list[Revoke]]) -> tuple[float, float]:
    """When the first revocation that covers the token was acknowledged, and when one was first called enforced."""
    covering = [one for one in _named(issue, by_handle) if one.outcome == "ok" and one.must_cover(issue)]
    return (
        min((one.ended for one in covering), default=math.inf),
        min((one.ended for one in covering if one.enforced), default=math.inf),
    )


def _broken(request: Request, faults: Sequence[Fault], recovery_seconds: float) -> bool:
    return any(fault.began <= request.ended and request.sent <= fault.healed + recovery_seconds for fault in faults)
