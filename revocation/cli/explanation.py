"""Explanation: the steps of the decision about a token, in their order.

The verifier and the deny-list decide. This file only says to which step each of their answers belongs, and shows the
facts of that step.
"""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeGuard

from revocation.claims import MAX_INSTANT, Claims
from revocation.cli.terminal import span
from revocation.denylist import UNCONDITIONAL, is_revoked
from revocation.errors import (
    DenylistUnavailableError,
    InsufficientScopeError,
    InvalidTokenError,
    RevocationError,
    RevokedTokenError,
)
from revocation.handle_kinds import HandleKinds
from revocation.instants import rfc3339
from revocation.redis.denylist import RedisDenylist
from revocation.verifier import TokenVerifier

Outcome = Literal["passed", "failed", "unknown", "not reached"]
Verdict = Literal["accepted", "refused", "unknown"]

#: The steps of TokenVerifier in its order, each with the reasons for which it fails. The reasons of single claims,
#: `missing_...` and `claim_...`, belong to the step `claims`.
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
    """One question, its answer, and the facts behind it."""

    name: str
    outcome: Outcome
    seen: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """All steps, and the verdict that follows from them."""

    steps: tuple[Step, ...]
    verdict: Verdict
    #: What a guard raises; None where it accepts the token.
    error: RevocationError | None = None

    @property
    def reason(self) -> str | None:
        """The slug of the refusal, as in answers, logs and metrics."""
        if self.error is None:
            return None
        return self.error.reason if isinstance(self.error, InvalidTokenError) else self.error.slug


def step_of(reason: str) -> str:
    """The step that fails for this reason of an InvalidTokenError."""
    return next((step for step, reasons in REASONS.items() if reason in reasons), "claims")


def explain(
    token: str,
    verifier: TokenVerifier,
    denylist: Callable[[], RedisDenylist],
    *,
    scope: str | None = None,
    clock: Callable[[], float] = time.time,
) -> Explanation:
    """Decide about a token as a strict guard and a route that needs this scope do, and keep the facts of every step.

    Asks the deny-list only about a token that is good by itself.
    """
    header, body = _peek(token)
    seen = _facts(token, header, body, now=clock())
    try:
        claims = verifier.verify(token)
    except InvalidTokenError as error:
        return Explanation(tuple(_until(error, seen)), "refused", error)
    passed = [Step(name, "passed", seen[name]) for name in REASONS]
    try:
        answers = _ask(denylist(), claims)
    except InvalidTokenError as error:
        return Explanation((*passed, Step("deny-list", "failed", str(error))), "refused", error)
    except DenylistUnavailableError as error:
        return Explanation((*passed, Step("deny-list", "unknown", str(error))), "unknown", error)
    steps = (*passed, *answers)
    if any(step.outcome == "failed" for step in answers):
        return Explanation(steps, "refused", RevokedTokenError())
    if scope is None:
        return Explanation(steps, "accepted")
    missing = sorted(set(scope.split()) - claims.scope)
    if missing:
        return Explanation(
            (*steps, Step("scope", "failed", f"{' '.join(missing)} is missing")),
            "refused",
            InsufficientScopeError(scope),
        )
    return Explanation((*steps, Step("scope", "passed", scope)), "accepted")


def _until(error: InvalidTokenError, seen: dict[str, str]) -> Iterator[Step]:
    """The steps up to the one that failed, and the steps that the verifier did not reach."""
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
    handles = claims.handles_by(denylist.handle_kinds or HandleKinds())
    head, cutoffs = denylist.ask([[handle] for handle in handles])
    refused_by_epoch = is_revoked(claims, head.everything_ms)
    since = (
        f"everything issued before {rfc3339(head.everything_ms)} is cut off"
        if head.everything_ms
        else "nothing is cut off"
    )
    steps = [Step("deny-list: epoch", "failed" if refused_by_epoch else "passed", f"{head.epoch}: {since}")]
    for handle, cutoff in zip(handles, cutoffs, strict=True):
        prefix = f"{handle.value}: " if handle.value else ""
        # The cut-off of everything counts for every handle; the step of the epoch has already shown it.
        if cutoff <= head.everything_ms or not is_revoked(claims, cutoff):
            steps.append(Step(f"deny-list: {handle.kind}", "passed", f"{prefix}not revoked"))
            continue
        effect = "revoked" if cutoff == UNCONDITIONAL else f"everything issued before {rfc3339(cutoff)} is revoked"
        if cutoff <= _own_instant_ms(claims):
            effect += ", and `iat` less the tolerance (--iat-tolerance) is earlier"
        notes = [
            f"by {revocation.actor or 'somebody'} at {rfc3339(revocation.created_at_ms)}"
            f"{': ' + revocation.reason if revocation.reason else ''} (revocation undo {revocation.id})"
            for revocation in denylist.of_handle(handle)
        ]
        steps.append(Step(f"deny-list: {handle.kind}", "failed", "; ".join([f"{prefix}{effect}", *notes])))
    return steps


def _own_instant_ms(claims: Claims) -> float:
    """The instant that cut-offs are compared with where the `iat` is the time of Redis and needs no tolerance."""
    exact = claims.raw.get("iat_ms")
    return exact if isinstance(exact, int) and exact // 1000 == claims.issued_at // 1 else claims.issued_at * 1000


def _peek(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims as the token has them, not verified; empty where they cannot be read."""
    parts = []
    for part in token.split(".")[:2]:
        try:
            parsed = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        except (ValueError, RecursionError):
            parsed = {}
        parts.append(parsed if isinstance(parsed, dict) else {})
    header, body = [*parts, {}, {}][:2]
    return header, body


def _facts(token: str, header: dict[str, Any], body: dict[str, Any], *, now: float) -> dict[str, str]:
    def members(part: dict[str, Any], *names: str) -> str:
        return ", ".join(f"{name} {_text(part[name])}" for name in names if name in part)

    def when(name: str) -> str:
        return _when(body[name], now) if name in body else "not set"

    exp, iat = body.get("exp"), body.get("iat")
    return {
        "form": f"{len(token)} characters in {token.count('.') + 1} parts",
        "header": members(header, "typ", "alg"),
        "key": members(header, "kid"),
        "signature": members(header, "alg"),
        "claims": members(body, "sub", "client_id", "azp", "sid", "jti", "scope"),
        "issuer": _text(body["iss"]) if "iss" in body else "",
        "audience": _text(body["aud"]) if "aud" in body else "",
        "lifetime": span(exp - iat) if _is_instant(exp) and _is_instant(iat) else "",
        "not before": when("nbf"),
        "issued at": when("iat"),
        "expiry": when("exp"),
    }


def _when(value: Any, now: float) -> str:
    if not _is_instant(value):
        return _text(value)
    distance = f"in {span(value - now)}" if value > now else f"{span(now - value)} ago"
    return f"{rfc3339(value * 1000)} ({distance})"


def _is_instant(value: Any) -> TypeGuard[float]:
    return not isinstance(value, bool) and isinstance(value, int | float) and 0 < value < MAX_INSTANT


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def rows(explanation: Explanation) -> Iterator[tuple[str, str, str]]:
    """The rows of a table: a mark, the step and its facts."""
    marks = {"passed": "✓", "failed": "✗", "unknown": "?", "not reached": "·"}
    for step in explanation.steps:
        yield marks[step.outcome], step.name, step.seen
