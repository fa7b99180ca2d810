"""Sandbox: test your own app's revocation without Redis. A guard in memory, a clock, and faults to inject."""

import contextlib
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from revocation.claims import Claims
from revocation.denylist import FollowerState, Lifetimes, Receipt
from revocation.errors import DenylistUnavailableError
from revocation.guard import Guard
from revocation.handle_kinds import ClaimHandle, HandleKinds
from revocation.handles import Handle
from revocation.issuer import TokenIssuer
from revocation.keys import Key, KeySet
from revocation.memory import MemoryDenylist
from revocation.verifier import TokenVerifier


class Clock:
    """A clock that stands still until it is told otherwise (seconds since the epoch)."""

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


class FaultyDenylist(MemoryDenylist):
    """A deny-list whose server can be taken away."""

    def __init__(self, *, lifetimes: Lifetimes, handles: HandleKinds | None = None, clock: Clock) -> None:
        super().__init__(lifetimes=lifetimes, handles=handles, clock=clock)
        self.down = False

    def open(self, *, accept_existing: bool = False) -> None:
        """As MemoryDenylist, while the server is up."""
        self._require_server()
        super().open(accept_existing=accept_existing)

    def _require_open(self) -> None:
        # Whatever asks a deny-list looks first whether it is open.
        self._require_server()
        super()._require_open()

    def _require_server(self) -> None:
        if self.down:
            raise DenylistUnavailableError("Redis does not answer (the test took it down).")


class SandboxFollower:
    """A follower in the sandbox's time: it is up to date while the server is up, and grows old while it is down."""

    def __init__(self, denylist: FaultyDenylist, *, longest_seconds: float, clock: Clock) -> None:
        self.longest_seconds = longest_seconds
        self._denylist = denylist
        self._clock = clock
        self._held = denylist.copy()
        self._stamp = clock()
        self.on_beat: Callable[[], None] = _nothing

    @property
    def state(self) -> FollowerState:
        """Connected while the server is up."""
        age = 0.0 if not self._denylist.down else self._clock() - self._stamp
        return FollowerState(age, len(self._held), is_connected=not self._denylist.down)

    def start(self) -> None:
        """Nothing happens: there is no thread."""

    def stop(self) -> None:
        """Nothing happens: there is no thread."""

    def look_up(self, handles: Sequence[Handle]) -> tuple[float, float]:
        """What is held, and how old that is in the sandbox's seconds."""
        if not self._denylist.down:
            self._held, self._stamp = self._denylist.copy(), self._clock()
        return self._held.latest_cutoff(handles), self._clock() - self._stamp

    def ask(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """What the server says, while it is up."""
        return self._denylist.latest_cutoffs(many)


class Sandbox:
    """A whole setting in memory: `sandbox.guard` goes where your app takes its Guard.

    >>> sandbox = Sandbox()
    >>> token = sandbox.mint("ada", scope="reports:read")
    >>> sandbox.guard.authenticate(token).subject
    'ada'
    >>> _ = sandbox.revoke(token)
    >>> sandbox.guard.authenticate(token)
    Traceback (most recent call last):
        ...
    revocation.errors.RevokedTokenError: The token has been revoked.
    """

    def __init__(
        self,
        *,
        issuer: str = "https://auth.example",
        audience: str = "https://api.example",
        max_staleness: float = 1.0,
        longest_staleness: float = 60.0,
        lifetimes: Lifetimes | None = None,
        handles: Mapping[str, str | tuple[str, ...] | ClaimHandle] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        keys = KeySet([Key.from_secret(secrets.token_bytes(32))])
        chosen = lifetimes or Lifetimes()
        self.denylist = FaultyDenylist(lifetimes=chosen, handles=HandleKinds(handles), clock=self.clock)
        self.issuer = TokenIssuer(keys, issuer=issuer, audience=audience, clock=self.clock)
        self.verifier = TokenVerifier(
            keys,
            issuer=issuer,
            audience=audience,
            leeway_seconds=chosen.leeway_seconds,
            max_lifetime_seconds=chosen.max_token_seconds,
            iat_tolerance_seconds=0,
            clock=self.clock,
        )
        self.follower = SandboxFollower(self.denylist, longest_seconds=longest_staleness, clock=self.clock)
        self.guard = Guard(
            self.verifier,
            self.denylist,
            max_staleness=max_staleness,
            follower=self.follower,
            clock=self.clock,
        )

    def mint(
        self,
        subject: str = "ada",
        *,
        scope: str = "",
        session: str | None = None,
        lifetime_seconds: int = 900,
        claims: Mapping[str, Any] | None = None,
    ) -> str:
        """A good token, issued now; `claims` are claims of its own."""
        return self.issuer.issue(
            subject, scope=scope, session=session, lifetime_seconds=lifetime_seconds, claims=claims
        )

    def claims(self, token: str) -> Claims:
        """What a token says, whether or not it is still in force."""
        return self.verifier.verify_ignoring_expiry(token)

    def revoke(self, what: str | Handle, *, reason: str = "test") -> Receipt:
        """Take back a token, or everything under a handle."""
        handle = what if isinstance(what, Handle) else Handle.token(self.claims(what))
        return self.denylist.revoke(handle, reason=reason)

    @contextlib.contextmanager
    def redis_down(self) -> Iterator[None]:
        """Within this block the deny-list cannot be asked, and revoking fails.

        Strict routes answer 503 at once, bounded ones when their knowledge is too old (`clock.advance`).
        """
        self.denylist.down = True
        try:
            yield
        finally:
            self.denylist.down = False

    def flush(self) -> None:
        """Let Redis lose its data."""
        self.denylist.flush()


def _nothing() -> None:
    """Nobody listens."""
