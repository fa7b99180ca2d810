"""The oracle: what was minted, what was taken back, and which answers that forbids."""

import math
from dataclasses import dataclass, field

from revocation import Claims, Handle
from tests.search.library import LEEWAY_SECONDS, MARGIN_SECONDS, ORGANISATION, SESSION_SECONDS, TOKEN_SECONDS


class ViolationError(AssertionError):
    """A promise that was broken: a word for the promise, and what was seen."""

    def __init__(self, promise: str, seen: str) -> None:
        super().__init__(f"{promise}: {seen}")
        self.promise = promise


@dataclass(eq=False)
class Token:
    """An access token. `order` is its place among everything that was minted and revoked."""

    name: str
    claims: Claims
    order: int
    #: Whether a thief of its key chose what it says.
    forged: bool = False
    #: Its `iat` lay further ahead than a leeway when data was lost: documented, and ended by a new key.
    stray: bool = False

    @property
    def handles(self) -> tuple[Handle, ...]:
        return self.claims.handles_by(ORGANISATION)

    @property
    def dies_at(self) -> float:
        return self.claims.expires_at


@dataclass(eq=False)
class Session:
    """A login, and the refresh tokens that it was given, oldest first."""

    id: str
    subject: str
    client: str
    signed_in_ms: int
    order: int
    began: float
    handles: tuple[Handle, ...]
    refresh_tokens: list[str]
    #: Ended by its own service, so that its record is gone.
    ended: bool = False


@dataclass(eq=False)
class Promise:
    """One acknowledged revocation."""

    name: str
    id: str
    handle: Handle
    #: None: unconditional.
    cutoff_ms: int | None
    #: Whether the caller chose the cut-off.
    given: bool
    order: int
    acknowledged: float
    #: The later of the two clocks, Redis' and the caller's, when it was made.
    clock_ms: float
    #: What the server knew to be minted then: its cut-off is later than all of that.
    known: frozenset[object]
    #: Redis may forget it when its clock shows this.
    least_end_ms: float
    #: Ended by its own service: nobody mints for this session any more.
    final: bool = False
    #: Whether the library said that it is written; False: it may be.
    sure: bool = True
    undone_at: float | None = None
    #: The processes alive when a receipt said that it is enforced.
    enforced_in: frozenset[object] = frozenset()
    #: The processes that have read it and live.
    read_by: set[object] = field(default_factory=set)
    #: After a loss that somebody noticed only what an epoch cuts off is taken back: what was minted before the loss.
    reduced: bool = False
    until: float = math.inf
    cut_ms: float = math.inf
    #: The furthest that a server which holds it has seen its clock.
    furthest_ms: float = -math.inf
    #: Redis may have forgotten it, and then a later one of the same handle was undone: documented.
    overtaken: bool = False

    @property
    def forgotten_at(self) -> float:
        """When a process that has read it may drop it, by a clock that is right."""
        life = SESSION_SECONDS + LEEWAY_SECONDS + MARGIN_SECONDS
        return math.inf if self.handle.kind == "key" else self.acknowledged + life

    @property
    def stands(self) -> bool:
        return self.sure and self.undone_at is None

    def covers(self, token: Token) -> bool:
        """Whether a process that knows it must refuse the token."""
        if not self.stands or self.handle not in token.handles:
            return False
        if self.handle.kind == "key" or token.forged or token.stray:
            # Who has the key mints whatever evades everything else.
            return self.handle.kind == "key"
        judged = token.claims.judged_at_ms
        if self.reduced and (token.order > self.until or judged > self.cut_ms):
            return False
        if self.cutoff_ms is None:
            return token.order < self.order or not (self.final or self.reduced)
        if self.given:
            return judged < self.cutoff_ms and judged <= self.clock_ms
        return token.order < self.order and (token in self.known or judged <= self.clock_ms)

    def ends(self, session: Session) -> bool:
        """Whether a refresh token of this session must give nothing."""
        if not self.stands or self.handle not in session.handles or session.order > self.order:
            return False
        if self.reduced and (session.order > self.until or session.signed_in_ms > self.cut_ms):
            return False
        if self.cutoff_ms is None:
            return True
        if self.given:
            return session.signed_in_ms < self.cutoff_ms
        return session in self.known or session.signed_in_ms <= self.clock_ms

    def may_explain(self, token: Token, *, known_since: float) -> bool:
        """Whether a refusal of this token may come from it, in a process that knew everything then."""
        if self.undone_at is not None and self.undone_at < known_since:
            return False
        matches = self.handle in token.handles
        return matches and (self.cutoff_ms is None or not self.sure or self.cutoff_ms > token.claims.judged_at_ms)

    def lose(self, *, order: int, cut_ms: float) -> None:
        """Redis forgets it; what was minted later, nobody can be expected to refuse."""
        self.until, self.cut_ms = min(self.until, order), min(self.cut_ms, cut_ms)


def least_end_ms(handle: Handle, *, server_ms: float, caller_ms: float, ends_with_tokens: bool = False) -> float:
    """Until when an entry must stand, by the clock of the server that takes it."""
    margin = LEEWAY_SECONDS + MARGIN_SECONDS
    if handle.kind == "key":
        return math.inf
    if handle.expires_at is not None and not ends_with_tokens:
        end = 1000 * (handle.expires_at + margin)
        # By whichever clock leaves it longer.
        return max(end, server_ms + end - caller_ms)
    life = TOKEN_SECONDS if ends_with_tokens or handle.kind == "token" else SESSION_SECONDS
    return server_ms + 1000 * (life + margin)
