"""Steps: why a token would be accepted or refused, in the order in which that is decided.

The verifier and the deny-list decide; what is written here is only which step each of their answers belongs to, and
what there was to see.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard

from revocation.claims import MAX_INSTANT, Claims
from revocation.cli.terminal import instant, span
from revocation.denylist import UNCONDITIONAL, is_revoked
from revocation.errors import DenylistUnavailableError, InvalidTokenError
from revocation.redis.denylist import RedisDenylist
from revocation.verifier import TokenVerifier

Outcome = Literal["passed", "failed", "unknown", "not reached"]
Verdict = Literal["accepted", "refused", "unknown"]

#: The steps of TokenVerifier in its order, and the reasons that end each. Reasons of single claims, `missing_...` and
#: `claim_...`, belong to the step `claims`.
REASONS: Final[dict[str, tuple[str, ...]]] = {
    "form": ("too_long", "malformed"),
    "header": ("header", "type"),
    "key": ("unknown_key", "algorithm"),
    "signature": ("signature",),
    "claims": (),
    "issuer": ("issuer",),
    "audience": ("audience",),
    "lifetime": ("lifetime",),
    "not before": ("not_yet_valid",),
    "issued at": ("issued_in_future",),
    "expiry": ("expired",),
}


@dataclass(frozen=True, slots=True)
class Step:
    """One question, its answer, and what was seen."""

    name: str
    outcome: Outcome
    seen: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All steps, and what follows from them."""

    steps: tuple[Step, ...]
    verdict: Verdict
    #: The slug of the refusal, as in logs and metrics; `denylist_unavailable` where there was no answer.
    reason: str | None = None


def step_of(reason: str) -> str:
    """The step that a reason of InvalidTokenError ends."""
    return next((step for step, reasons in REASONS.items() if reason in reasons), "claims")


def explain(
    token: str,
    verifier: TokenVerifier,
    denylist: Callable[[], RedisDenylist],
    *,
    clock: Callable[[], float] = time.time,
) -> Explanation:
    """Decide about a token as a strict guard does, and keep what was seen on the way.

    The deny-list is asked for only when the token is good by itself.
    """
    header, body = _peek(token)
    seen = _seen(token, header, body, now=clock())
    try:
        claims = verifier.verify(token)
    except InvalidTokenError as error:
        return Explanation(tuple(_until(error, seen)), "refused", error.reason)
    passed = [Step(name, "passed", seen[name]) for name in REASONS]
    try:
        asked = _ask(denylist(), claims)
    except DenylistUnavailableError as error:
        return Explanation((*passed, Step("deny-list", "unknown", str(error))), "unknown", error.slug)
    revoked = any(step.outcome == "failed" for step in asked)
    return Explanation((*passed, *asked), "refused" if revoked else "accepted", "revoked" if revoked else None)


def _until(error: InvalidTokenError, seen: dict[str, str]) -> Iterator[Step]:
    """The steps up to the one that failed, and those that nobody came to."""
    failed = step_of(error.reason)
    outcome: Outcome = "passed"
    for name in REASONS:
        if name == failed:
            yield Step(name, "failed", f"{error} Seen: {seen[name]}" if seen[name] else str(error))
            outcome = "not reached"
        else:
            yield Step(name, outcome, seen[name])
    yield Step("deny-list", "not reached", "")


def _ask(denylist: RedisDenylist, claims: Claims) -> list[Step]:
    head, cutoffs = denylist.ask([[handle] for handle in claims.handles])
    refused_by_epoch = is_revoked(claims, head.everything_ms)
    since = (
        f"everything issued before {instant(head.everything_ms)} is cut off" if head.everything_ms else "open to all"
    )
    steps = [Step("deny-list: epoch", "failed" if refused_by_epoch else "passed", f"{head.epoch}: {since}")]
    for handle, cutoff in zip(claims.handles, cutoffs, strict=True):
        named = f"{handle.value}: " if handle.value else ""
        # The cut-off of everything counts for every handle; here it has a step of its own.
        if cutoff <= head.everything_ms or not is_revoked(claims, cutoff):
            steps.append(Step(f"deny-list: {handle.kind}", "passed", f"{named}not revoked"))
            continue
        what = "revoked" if cutoff == UNCONDITIONAL else f"revoked for what was issued before {instant(cutoff)}"
        if cutoff <= claims.issued_at * 1000:
            what += ", less the tolerance for its clock (--iat-tolerance)"
        notes = [
            f"by {one.actor or 'somebody'} at {instant(one.created_at_ms)}"
            f"{': ' + one.reason if one.reason else ''} (revocation undo {one.id})"
            for one in denylist.of_handle(handle)
        ]
        steps.append(Step(f"deny-list: {handle.kind}", "failed", "; ".join([f"{named}{what}", *notes])))
    return steps


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims as they stand there, believed by nobody; empty where they cannot be read."""
    parts = []
    for part in token.split(".")[:2]:
        try:
            read = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except (ValueError, RecursionError):
            read = {}
        parts.append(read if isinstance(read, dict) else {})
    header, body = [*parts, {}, {}][:2]
    return header, body


def _seen(token: str, header: dict[str, Any], body: dict[str, Any], *, now: float) -> dict[str, str]:
    def both(names: tuple[str, ...], of: dict[str, Any]) -> str:
        return ", ".join(f"{name} {_text(of[name])}" for name in names if name in of)

    def at(name: str) -> str:
        return _when(body[name], now) if name in body else "not set"

    exp, iat = body.get("exp"), body.get("iat")
    return {
        "form": f"{len(token)} characters in {token.count('.') + 1} parts",
        "header": both(("typ", "alg"), header),
        "key": both(("kid",), header),
        "signature": both(("alg",), header),
        "claims": both(("sub", "client_id", "azp", "sid", "jti", "scope"), body),
        "issuer": _text(body["iss"]) if "iss" in body else "",
        "audience": _text(body["aud"]) if "aud" in body else "",
        "lifetime": span(exp - iat) if _is_instant(exp) and _is_instant(iat) else "",
        "not before": at("nbf"),
        "issued at": at("iat"),
        "expiry": at("exp"),
    }


def _when(value: Any, now: float) -> str:
    if not _is_instant(value):
        return _text(value)
    away = f"in {span(value - now)}" if value > now else f"{span(now - value)} ago"
    return f"{instant(value * 1000)} ({away})"


def _is_instant(value: Any) -> TypeGuard[float]:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 < value < MAX_INSTANT


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def rows(explanation: Explanation) -> Iterator[tuple[str, str, str]]:
    """A mark, the step and what was seen, for a table."""
    marks = {"passed": "✓", "failed": "✗", "unknown": "?", "not reached": "·"}
    for step in explanation.steps:
        yield marks[step.outcome], step.name, step.seen
