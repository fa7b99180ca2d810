"""Guard: token + max_staleness -> Accepted, or Refused with the reason."""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import wait
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Protocol

from revocation.asker import Asker
from revocation.claims import Claims
from revocation.denylist import Denylist, Following, is_revoked
from revocation.errors import (
    ConfigurationError,
    DenylistUnavailableError,
    ExpiredTokenError,
    InvalidTokenError,
    RevokedTokenError,
)
from revocation.handle_kinds import HandleKinds
from revocation.handles import Handle
from revocation.keys_pending import KeysPendingError

#: Who said whether the token was revoked: nobody (`none`), this process's own follower, or the deny-list itself.
Source = Literal["none", "follower", "redis"]


#: A fetch of keys that was under way, and the one that begins after it.
_WAITS_FOR_KEYS: Final = 2


@dataclass(frozen=True, slots=True)
class Accepted:
    """The token may be let in."""

    claims: Claims
    source: Source
    #: The cost of the decision, in seconds.
    verify_seconds: float
    revocation_seconds: float
    #: Whether memory would have done, had it not been too old.
    is_fallback: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """The token must not be let in, or nobody can say whether it may: then the error is DenylistUnavailableError."""

    error: InvalidTokenError | DenylistUnavailableError
    #: None where the token did not verify.
    claims: Claims | None
    source: Source
    verify_seconds: float
    revocation_seconds: float
    is_fallback: bool = False


Decision = Accepted | Refused


@dataclass(slots=True)
class _Question:
    """What memory cannot decide: the deny-list has to be asked."""

    claims: Claims
    #: Everything that the token can be revoked by.
    handles: tuple[Handle, ...]
    verify_seconds: float
    #: When the look into memory began, on the performance counter.
    started: float
    is_fallback: bool = False


class Verifying(Protocol):
    """What a guard needs of a TokenVerifier, or of TrustedIssuers."""

    #: How many tokens its cache held, and how many it did not.
    @property
    def cache_hits(self) -> int: ...
    @property
    def cache_misses(self) -> int: ...
    @property
    def leeway_seconds(self) -> int: ...
    def verify(self, token: str) -> Claims:
        """The claims of a token that is good now. Raises InvalidTokenError."""

    def verify_ignoring_expiry(self, token: str) -> Claims:
        """The claims of a token that is or was good."""

    def read(self, mapping: Mapping[str, Any], *, iat_tolerance_seconds: float) -> Claims:
        """The claims that somebody else verified. Raises InvalidTokenError."""

    def other_key_ids(self, issuer: str, key_id: str) -> tuple[str, ...]:
        """The other ids under which the issuer publishes the same key. Raises InvalidTokenError."""


class Guard:
    """The whole decision: verify, then check the deny-list, or raise.

    `max_staleness` is how old, in seconds, this process's knowledge of revocations may be: 0 asks Redis every time,
    `inf` never does, and what lies between may be decided from memory. Where Redis must be asked and cannot be, the
    answer is DenylistUnavailableError, never yes.

    `bounds` are the other finite bounds that this process will decide with; the longest of them is what a dead process
    may hold up a receipt for, and the longest that can be asked for: a longer one counts as this.
    """

    def __init__(
        self,
        verifier: Verifying | None,
        denylist: Denylist,
        *,
        max_staleness: float = 1.0,
        bounds: Iterable[float] = (),
        follower: Following | None = None,
        on_decision: Callable[[Decision], None] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.verifier = verifier
        self.denylist = denylist
        self.max_staleness = checked_staleness(max_staleness)
        self._on_decision = on_decision
        self._clock = clock
        finite = [bound for bound in map(checked_staleness, (max_staleness, *bounds)) if 0 < bound < math.inf]
        if follower is None and finite:
            follower = denylist.follow(shortest_seconds=min(finite), longest_seconds=max(finite))
        self.follower = follower
        self._ask = denylist.latest_cutoffs if follower is None else follower.ask
        self._asker = Asker(self._ask)
        self._kinds = _looked_for(denylist)
        if verifier is not None:
            _require_agreement(verifier, denylist)

    def start(self) -> None:
        """Begin to follow the log in this process now; the first bounded decision would do it as well."""
        if self.follower is not None:
            self.follower.start()

    def stop(self) -> None:
        """Stop following, so that nobody waits for this process; `start` follows again."""
        if self.follower is not None:
            self.follower.stop()

    def require_bound(self, max_staleness: float | None) -> None:
        """Raise ConfigurationError for the bound of a route that this guard would not decide with."""
        if max_staleness is None or checked_staleness(max_staleness) == math.inf or self.follower is None:
            return
        require_followed(max_staleness, longest_seconds=self.follower.longest_seconds)

    def authenticate(self, token: str, *, max_staleness: float | None = None) -> Claims:
        """The claims of a token that may be accepted.

        Raises InvalidTokenError (ExpiredTokenError, RevokedTokenError) or DenylistUnavailableError.
        """
        decision = self.decide(token, max_staleness=max_staleness)
        if isinstance(decision, Refused):
            raise decision.error
        return decision.claims

    def check(
        self, claims: Claims | Mapping[str, Any], *, key_id: str | None = None, max_staleness: float | None = None
    ) -> None:
        """Raise unless claims that somebody else verified are in force.

        A mapping is read as decoded claims: what revocation needs must be in it. `key_id` is the id of the key that
        verified the signature: without it, the guard cannot see that a key is revoked. A Claims object from a verifier
        knows its key.

        Raises like `authenticate`, also ExpiredTokenError, whatever the bound: the deny-list forgets the revocations of
        expired tokens, so nobody can vouch for them.
        """
        bound = self._bound(max_staleness)
        leeway = self.denylist.lifetimes.leeway_seconds
        if not isinstance(claims, Claims):
            read = Claims.from_mapping if self.verifier is None else self.verifier.read
            claims = read(claims, iat_tolerance_seconds=leeway)
        if key_id is not None:
            claims = self._with_key(claims, key_id)
        handles = self.handles_of(claims)
        if self._clock() >= claims.expires_at + leeway:
            decision = self._reported(Refused(ExpiredTokenError(), claims, "none", 0.0, 0.0))
        else:
            decision = self._answered(self._judged(claims, handles, bound, verify_seconds=0.0))
        if isinstance(decision, Refused):
            raise decision.error

    def decide(self, token: str, *, max_staleness: float | None = None) -> Decision:
        """Like `authenticate`, but the decision and its cost come back instead of being raised."""
        for _ in range(_WAITS_FOR_KEYS):
            try:
                return self._answered(self._considered(token, max_staleness))
            except KeysPendingError as pending:
                wait([pending.fetch], pending.seconds)
        return self._answered(self._considered(token, max_staleness, last=True))

    def decide_nowait(self, token: str, *, max_staleness: float | None = None) -> Decision | None:
        """The same from memory, so that nobody waits; None where the deny-list has to be asked, or an issuer."""
        try:
            decision = self._considered(token, max_staleness)
        except KeysPendingError:
            return None
        return None if isinstance(decision, _Question) else decision

    async def decide_async(self, token: str, *, max_staleness: float | None = None) -> Decision:
        """Like `decide`, for coroutines of asyncio: the event loop goes on while the deny-list or an issuer is asked.

        However many tokens wait for an answer, one thread asks for all of them.
        """
        decision: Decision | _Question
        for _ in range(_WAITS_FOR_KEYS):
            try:
                decision = self._considered(token, max_staleness)
                break
            except KeysPendingError as pending:
                import asyncio  # it would be half of this library's import, and most programs have no event loop

                await asyncio.wait([asyncio.wrap_future(pending.fetch)], timeout=pending.seconds)
        else:
            decision = self._considered(token, max_staleness, last=True)
        if not isinstance(decision, _Question):
            return decision
        try:
            cutoff = await self._asker.latest_cutoff(decision.handles)
        except DenylistUnavailableError as error:
            return self._ruled(decision, "redis", error)
        return self._ruled(decision, "redis", cutoff)

    def _with_key(self, claims: Claims, key_id: str) -> Claims:
        """The claims, with a handle for every id of this key.

        Raises InvalidTokenError where no revocation could name the key: what cannot be revoked must not be accepted.
        """
        try:
            Handle("key", key_id, issuer=claims.issuer)
        except (TypeError, ValueError) as error:
            raise InvalidTokenError("key_id", "No revocation can name the token's key by its id.") from error
        others = () if self.verifier is None else self._other_key_ids(self.verifier, claims.issuer, key_id)
        known = () if claims.key_id is None else (claims.key_id, *claims.other_key_ids)
        every = tuple(dict.fromkeys((*known, key_id, *others)))
        return claims if every == known else replace(claims, key_id=every[0], other_key_ids=every[1:])

    def _other_key_ids(self, verifier: Verifying, issuer: str, key_id: str) -> tuple[str, ...]:
        for _ in range(_WAITS_FOR_KEYS):
            try:
                return verifier.other_key_ids(issuer, key_id)
            except KeysPendingError as pending:
                wait([pending.fetch], pending.seconds)
        return verifier.other_key_ids(issuer, key_id)

    def _considered(self, token: str, max_staleness: float | None, *, last: bool = False) -> Decision | _Question:
        """The decision, where memory is enough for it. Raises KeysPendingError, unless this is the last attempt."""
        bound = self._bound(max_staleness)
        if self.verifier is None:
            raise ConfigurationError("this guard has no verifier: it can only check claims that somebody else verified")
        started = time.perf_counter()
        try:
            claims = self.verifier.verify(token)
            handles = self.handles_of(claims)
        except InvalidTokenError as error:
            if isinstance(error, KeysPendingError) and not last:
                raise
            return self._reported(Refused(error, None, "none", time.perf_counter() - started, 0.0))
        return self._judged(claims, handles, bound, verify_seconds=time.perf_counter() - started)

    def handles_of(self, claims: Claims) -> tuple[Handle, ...]:
        """Everything that the token can be revoked by. Raises InvalidTokenError where a claim names no handle."""
        return claims.handles if self._kinds is None else claims.handles_by(self._kinds)

    def _judged(
        self, claims: Claims, handles: tuple[Handle, ...], bound: float, *, verify_seconds: float
    ) -> Decision | _Question:
        """The decision, where memory is enough for it."""
        if bound == math.inf:
            return self._reported(Accepted(claims, "none", verify_seconds, 0.0))
        question = _Question(claims, handles, verify_seconds, time.perf_counter())
        if self.follower is None:
            return question
        try:
            cutoff, age = self.follower.look_up(handles)
        except DenylistUnavailableError as error:
            return self._ruled(question, "redis", error)
        # What was taken back once is refused, also by knowledge that is too old to accept with.
        if age < min(bound, self.follower.longest_seconds) or is_revoked(claims, cutoff):
            return self._ruled(question, "follower", cutoff)
        question.is_fallback = bound > 0
        return question

    def _answered(self, decision: Decision | _Question) -> Decision:
        """The decision; the deny-list is asked where memory was not enough."""
        if not isinstance(decision, _Question):
            return decision
        try:
            [cutoff] = self._ask([decision.handles])
        except DenylistUnavailableError as error:
            return self._ruled(decision, "redis", error)
        return self._ruled(decision, "redis", cutoff)

    def _ruled(self, question: _Question, source: Source, cutoff: float | DenylistUnavailableError) -> Decision:
        """The decision by the latest cut-off in force, or by the error where nobody can say what it is."""
        claims = question.claims
        error: InvalidTokenError | DenylistUnavailableError | None = None
        if isinstance(cutoff, DenylistUnavailableError):
            error = cutoff
        else:
            try:
                # The head may say how long tokens live, and it was read by now.
                self.denylist.lifetimes.require_bounded(claims, now=self._clock())
            except InvalidTokenError as unbounded:
                error = unbounded
            else:
                error = RevokedTokenError() if is_revoked(claims, cutoff) else None
        took = time.perf_counter() - question.started
        if error is not None:
            return self._reported(Refused(error, claims, source, question.verify_seconds, took, question.is_fallback))
        return self._reported(Accepted(claims, source, question.verify_seconds, took, question.is_fallback))

    def _bound(self, max_staleness: float | None) -> float:
        return self.max_staleness if max_staleness is None else checked_staleness(max_staleness)

    def _reported(self, decision: Decision) -> Decision:
        if self._on_decision is not None:
            self._on_decision(decision)
        return decision


def checked_staleness(seconds: float) -> float:
    """Raise ConfigurationError for what is not a number of seconds from 0 to infinity."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds >= 0:
        raise ConfigurationError(f"max_staleness is a number of seconds from 0 to inf, not {seconds!r}")
    return seconds


def require_followed(bound: float, *, longest_seconds: float) -> None:
    """Raise ConfigurationError where no follower serves the bound of a route.

    Such a route would be 503 in an outage without anybody being told.
    """
    if bound > longest_seconds:
        raise ConfigurationError(
            f"a route asks for max_staleness={bound:g}, longer than the longest bound of the guard's follower "
            f"({longest_seconds:g} s): build Guard(..., bounds=[{bound:g}])"
        )


def _looked_for(denylist: Denylist) -> HandleKinds | None:
    """The kinds of one's own that the guard looks for in tokens; None where there are none."""
    kinds = denylist.handle_kinds
    if kinds is None:
        raise ConfigurationError("this deny-list was made with decides=False: a guard needs one that decides")
    return kinds or None


def _require_agreement(verifier: Verifying, denylist: Denylist) -> None:
    """A verifier that forgives for longer than entries live would accept revoked tokens.

    One that takes tokens of a longer life need not agree: the guard refuses each of them.
    """
    ours, theirs = verifier.leeway_seconds, denylist.lifetimes.leeway_seconds
    if ours > theirs:
        raise ConfigurationError(
            f"the verifier's leeway ({ours} s) is above the deny-list's ({theirs} s): entries would end too early"
        )
