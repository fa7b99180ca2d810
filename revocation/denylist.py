"""Denylist: what a deny-list promises, the one rule, what it hands out, and how long an entry must live."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, Self

from revocation.claims import MAX_INSTANT, Claims
from revocation.defaults import LEEWAY_SECONDS, MARGIN_SECONDS, SESSION_SECONDS, TOKEN_SECONDS
from revocation.errors import InvalidTokenError
from revocation.handle_kinds import HandleKinds
from revocation.handles import CONTROL, UNCONDITIONAL_KINDS, Handle, Kind

#: The cut-off of an entry that needs none: later than every `iat`.
UNCONDITIONAL: Final = math.inf

#: No entry at all: earlier than every `iat`.
NO_CUTOFF: Final = -math.inf

#: Longest `actor` and `reason` that travel with a revocation, in characters.
MAX_NOTE_LENGTH: Final = 256

#: Above this many revocations in one entry the oldest are merged and can no longer be undone.
MAX_REVOCATIONS_PER_ENTRY: Final = 8

#: More keys than this cannot be revoked at once: every follower remembers all of them.
MAX_REVOKED_KEYS: Final = 10_000

#: An end that counts from now is rounded up to the full hour after the next, so that a repeat adds nothing.
HOUR_MS: Final = 3_600_000

AHEAD: Final = "issued_before is later than now by Redis' clock: leave it out to mean now"


def is_cut_off(issued_at_ms: float, latest_cutoff: float) -> bool:
    """The one rule: what was issued at an instant is revoked if the latest cut-off of its handles is later."""
    return latest_cutoff > issued_at_ms


def is_revoked(claims: Claims, latest_cutoff: float) -> bool:
    """The same of a token, by its `iat`."""
    return is_cut_off(claims.judged_at_ms, latest_cutoff)


@dataclass(frozen=True, slots=True)
class Revocation:
    """One act of taking back. Instants are milliseconds of Redis' clock."""

    id: str
    handle: Handle
    #: Everything issued before this instant; None: unconditional.
    issued_before_ms: int | None
    #: When its last token is dead and Redis forgets it; None: it stands until undone.
    expires_at_ms: int | None
    created_at_ms: int
    reason: str = ""
    actor: str = ""
    #: Where the actor did it from, and by which act of an application; empty where nobody said.
    address: str = ""
    action: str = ""
    #: The same for all that one call took back together; empty where it was the only one.
    batch: str = ""

    @classmethod
    def noted(
        cls,
        id_: str,
        handle: Handle,
        *,
        issued_before_ms: int | None,
        expires_at_ms: int | None,
        created_at_ms: int,
        note: "Note",
    ) -> Self:
        """A revocation with what stands beside it."""
        about = (note.reason, note.actor, note.address, note.action, note.batch)
        return cls(id_, handle, issued_before_ms, expires_at_ms, created_at_ms, *about)

    @property
    def note(self) -> "Note":
        """Who made it, and why."""
        return Note(self.actor, self.reason, self.address, self.action, self.batch)


@dataclass(frozen=True, slots=True)
class Note:
    """Who revokes or undoes, why, from where, and by which act of an application. It stands beside the change."""

    actor: str = ""
    reason: str = ""
    address: str = ""
    action: str = ""
    #: Names what was taken back together.
    batch: str = ""

    def checked(self) -> Self:
        """The note as it may be stored: ValueError where a text is too long or holds control characters."""
        for text in (self.actor, self.reason, self.address, self.action, self.batch):
            checked_note(text)
        return self


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a revocation has reached."""

    #: Empty where nothing had to be written, because the tokens concerned are dead already.
    revocations: tuple[Revocation, ...]
    #: Whether no process can accept the tokens any more (routes with an infinite bound aside).
    enforced: bool
    followers_confirmed: int
    followers_total: int
    elapsed_seconds: float
    #: Why nobody can say that it is enforced, where that is not for a follower that has not confirmed; else empty.
    obstacle: str = ""
    #: Whether an entry was written; False where everything asked for was in force or dead already.
    written: bool = True

    @property
    def revocation(self) -> Revocation | None:
        """The only revocation, or None where nothing had to be written."""
        return self.revocations[0] if self.revocations else None


@dataclass(frozen=True, slots=True)
class Page:
    """Live revocations, newest first, and where the next page begins (None: this was the last)."""

    revocations: tuple[Revocation, ...]
    next_cursor: str | None
    #: Of a page on which a batch stands as one: how many of each batch the page has passed.
    batches: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the log: a revocation, or the undoing of one."""

    #: Names the line; no other line ever has it.
    id: str
    undone: bool
    #: What was made or undone; None where the log no longer says what an undone one was.
    revocation: Revocation | None
    revocation_id: str
    at_ms: int
    note: Note


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things live, in seconds; entries must outlive what they concern at every verifier."""

    #: No token lives longer (`exp - iat`); verifiers refuse those that would.
    max_token_seconds: int = TOKEN_SECONDS
    #: Clock skew that verifiers forgive.
    leeway_seconds: int = LEEWAY_SECONDS
    #: Added to every entry, for clocks that run at different speeds.
    margin_seconds: int = MARGIN_SECONDS
    #: The longest life of a session: for so long a session, a subject or a client stays revoked, whoever mints for it.
    session_seconds: int = SESSION_SECONDS

    @property
    def horizon_ms(self) -> int:
        """The age at which no log entry can concern a living token any more."""
        return 1000 * (self.max_token_seconds + 2 * self.leeway_seconds + 2 * self.margin_seconds)

    def entry_ms(self, kind: Kind) -> int:
        """Life of an entry whose last token is not known: `iat` may lie one leeway ahead, `exp` is forgiven another."""
        tokens = self.max_token_seconds + 2 * self.leeway_seconds
        sessions = 0 if kind == "token" else self.session_seconds + 2 * self.leeway_seconds
        return 1000 * (max(tokens, sessions) + self.margin_seconds)

    def dead_at_ms(self, expires_at: float) -> int:
        """When a token with this `exp` (seconds) is dead everywhere, margin included, rounded up."""
        return 1000 * (math.ceil(expires_at) + self.leeway_seconds + self.margin_seconds)

    def require_bounded(self, claims: Claims, *, now: float) -> None:
        """Raise InvalidTokenError for a token that its deny-list entry might not outlive."""
        if claims.issued_at > now + self.leeway_seconds:
            raise InvalidTokenError("issued_in_future", "The token says it was issued in the future.")
        if claims.expires_at - claims.issued_at > self.max_token_seconds:
            raise InvalidTokenError("lifetime", f"The token lives longer than {self.max_token_seconds} seconds.")


@dataclass(frozen=True, slots=True)
class FollowerState:
    """How a follower is doing. Counts only grow."""

    #: How old its knowledge is, in seconds; infinite until it has caught up for the first time.
    age_seconds: float
    #: Entries that it holds in memory.
    entries: int
    #: Whether the last beat was answered.
    is_connected: bool
    #: Log entries that changed what it holds, those that it ignored, and breaks in the chain.
    applied: int = 0
    junk: int = 0
    breaks: int = 0
    #: Times that it noticed that Redis had lost revocations, and that it met an epoch that somebody else had opened.
    amnesia: int = 0
    epochs: int = 0


class Following(Protocol):
    """Knows the deny-list from memory, and how old that knowledge is."""

    #: Called in the follower's thread after every beat, answered or not.
    on_beat: Callable[[], None]

    @property
    def longest_seconds(self) -> float:
        """The longest bound that it can be asked with."""

    @property
    def state(self) -> FollowerState:
        """How it is doing, for health checks and metrics."""

    def start(self) -> None:
        """Begin to follow in this process, also again after `stop`; the first `look_up` would do it as well."""

    def stop(self) -> None:
        """Stop following, so that nobody waits for this process."""

    def look_up(self, handles: Sequence[Handle]) -> tuple[float, float]:
        """The latest cut-off held for any of the handles, and the age of that knowledge in seconds."""

    def ask(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """The latest cut-off of each of several tokens, according to the deny-list itself, from one question.

        Raises DenylistUnavailableError where it cannot answer, or knows less than this process does.
        """


class Denylist(Protocol):
    """Knows what was taken back.

    Every method raises DenylistUnavailableError where it cannot answer, and never gives an answer it is not sure of.
    """

    @property
    def lifetimes(self) -> Lifetimes:
        """How long its entries live, and so which tokens it can vouch for."""

    @property
    def handle_kinds(self) -> HandleKinds | None:
        """The kinds of handles that a guard looks for in tokens; None where this process decides about none."""

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds by which can be revoked now: the built-in ones, and those that every process was told of."""

    def is_unconditional(self, kind: Kind) -> bool:
        """Whether revoking a handle of this kind takes back everything under it. ValueError for one not declared."""

    def now_ms(self) -> int:
        """The time for a token that is minted now, in milliseconds; an error while nothing may be minted."""

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off in force for any of the handles, in milliseconds; NO_CUTOFF where there is none."""

    def latest_cutoffs(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """The same for several tokens or sessions, from one question."""

    def revoke(
        self,
        handle: Handle,
        *,
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Take back everything under the handle: issued before now, or before the instant given.

        Acknowledged means written; the receipt says how many followers have confirmed it within `wait_seconds` (None:
        as long as the deny-list waits by default), and whether it is enforced. The texts (see Note) stand in the log
        beside the revocation. Raises ValueError for a cut-off on a kind that has none or later than now, and for a text
        that is too long or holds control characters; ConflictError where too many keys are revoked.
        """

    def revoke_many(
        self,
        handles: Sequence[Handle],
        *,
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Revoke several handles; all are written when it returns. Raises like `revoke`."""

    def undo(
        self, revocation_id: str, *, reason: str = "", actor: str = "", address: str = "", action: str = ""
    ) -> bool:
        """Take back exactly this revocation; False where it is unknown, expired or undone already.

        Raises ConflictError where it was merged with others and can no longer be told apart.
        """

    def find(self, revocation_id: str) -> Revocation | None:
        """The live revocation with this id; None where it is unknown, expired or undone."""

    def of_handle(self, handle: Handle) -> tuple[Revocation, ...]:
        """The live revocations of exactly this handle, oldest first; those that were merged are not told apart."""

    def page(self, *, kind: Kind | None = None, cursor: str | None = None, limit: int = 50) -> Page:
        """Live revocations, newest first. Raises ValueError for a cursor that did not come from a page."""

    def changes(self, *, after: str | None = None, limit: int = 100) -> tuple[tuple[Change, ...], str]:
        """What happened after a cursor, oldest first, and the cursor for the next question.

        Without a cursor: nothing yet, and the place from which to go on. Raises ValueError for a cursor that did not
        come from here.
        """

    def follow(self, *, shortest_seconds: float, longest_seconds: float) -> Following | None:
        """A follower for a process that decides with bounds from the shortest to the longest.

        None where asking costs no more than looking into a copy would.
        """


def checked_note(text: str) -> str:
    """A reason or actor as it may be stored: ValueError where it is too long or holds control characters."""
    if len(text) > MAX_NOTE_LENGTH:
        raise ValueError(f"a reason or actor has at most {MAX_NOTE_LENGTH} characters, this one {len(text)}")
    if CONTROL.search(text):
        raise ValueError("a reason or actor holds no control characters or lone surrogates")
    return text


def checked_cutoffs(handles: Iterable[Handle], issued_before_ms: int | None) -> None:
    """Raise ValueError where a cut-off is given for a kind that has none, or is no plausible instant."""
    if issued_before_ms is not None:
        if not 0 <= issued_before_ms < 1000 * MAX_INSTANT:
            raise ValueError(f"issued_before is an instant in milliseconds, not {issued_before_ms}")
        for handle in handles:
            if handle.kind in UNCONDITIONAL_KINDS:
                raise takes_no_cutoff(handle.kind)


def takes_no_cutoff(kind: Kind) -> ValueError:
    """The error of whoever gives a cut-off where everything under the handle is taken back."""
    return ValueError(f"revoking a {kind} is unconditional: it takes no issued_before")
