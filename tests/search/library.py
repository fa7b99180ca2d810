"""Everything that the search knows of the library: how a process is put together, stepped and asked."""

import contextlib
import importlib
import itertools
import logging
import pkgutil
import secrets
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import pytest
import redis

import revocation.redis
from app.audit import Actor
from app.refresh_tokens import RefreshTokens
from app.sessions import RefreshRefusedError, SessionRevokedError, Sessions
from revocation import (
    Claims,
    ConfigurationError,
    ConflictError,
    DenylistUnavailableError,
    Guard,
    Handle,
    HandleKinds,
    InvalidTokenError,
    Lifetimes,
    Receipt,
    RedisDenylist,
)
from revocation.redis.connect import connect
from revocation.redis.follower import Follower
from revocation.redis.head import Head
from revocation.redis.protocol import order
from tests.support.servers import plain
from tests.support.tokens import ISSUER, claims_of

Answer = Literal["accepted", "refused", "unavailable"]

FOREIGN: Final = "https://foreign.example"
NAMESPACE: Final = "{denylist}:"
LOG: Final = NAMESPACE + "log"
HEAD: Final = NAMESPACE + "head"

TOKEN_SECONDS: Final = 300
LEEWAY_SECONDS: Final = 10
MARGIN_SECONDS: Final = 20
SESSION_SECONDS: Final = 3000
#: How far the log reaches back, see docs/protocol.md.
HORIZON_SECONDS: Final = TOKEN_SECONDS + 2 * (LEEWAY_SECONDS + MARGIN_SECONDS)
GRACE_SECONDS: Final = 10
LONGEST_SECONDS: Final = 60.0

#: What a call into the library may raise without anything being wrong.
REFUSALS: Final = (DenylistUnavailableError, ConfigurationError, ConflictError, ValueError)

#: Tokens are revoked by their organisation, too, where a process was told of it.
ORGANISATION: Final = HandleKinds({"org": "org_id"})

_SECRET: Final = b"a secret of the search's own, 32 b"


@dataclass(frozen=True)
class Settings:
    """What one process is told. Those of `service` are what `init` is given first."""

    name: str
    leeway: int = LEEWAY_SECONDS
    margin: int = MARGIN_SECONDS
    session: int = SESSION_SECONDS
    longest: float = LONGEST_SECONDS
    follows: bool = True
    told: bool = True

    @property
    def may_open(self) -> bool:
        """Whether whoever runs the deny-list would run `init` with these."""
        return (self.leeway, self.margin, self.session) == (LEEWAY_SECONDS, MARGIN_SECONDS, SESSION_SECONDS)

    @property
    def lifetimes(self) -> Lifetimes:
        """What this process would open a deny-list with; who has no sessions wishes none to be allowed for."""
        return Lifetimes(
            max_token_seconds=TOKEN_SECONDS,
            leeway_seconds=self.leeway,
            margin_seconds=self.margin,
            session_seconds=self.session or TOKEN_SECONDS,
        )


SETTINGS: Final = (
    Settings("service"),
    Settings("service"),
    Settings("strict", follows=False),
    Settings("api", session=0),
    Settings("strict", follows=False),
    Settings("brisk", longest=1.0),
    Settings("tight", margin=1),
    Settings("lax", leeway=60),
)


class SteppedFollower(Follower):
    """The real follower without its thread: the search calls for every beat."""

    def _ensure_running(self) -> None:
        if not self._id:
            self._id = secrets.token_hex(4)


class Parts:
    """One process of the library: its client, deny-list, sessions, follower and guard."""

    def __init__(
        self,
        address: Path,
        settings: Settings,
        *,
        boot_clock: Callable[[], float],
        wall_clock: Callable[[], float],
        min_replicas: int,
    ) -> None:
        # A server that waits in vain for its copies holds a check up for as long as this.
        timeout = 0.1 if min_replicas else 2.0
        client = plain(connect(f"unix://{address}", timeout_seconds=timeout))
        self.client = client
        self.denylist = RedisDenylist(
            client,
            lifetimes=settings.lifetimes,
            min_replicas=min_replicas,
            own_session_seconds=settings.session,
            handles=ORGANISATION if settings.told else None,
            clock=wall_clock,
        )
        self.denylist.link.breaker._clock = boot_clock
        self.sessions = Sessions(
            self.denylist,
            RefreshTokens(_SECRET),
            issuer=ISSUER,
            idle_seconds=SESSION_SECONDS,
            absolute_seconds=SESSION_SECONDS,
            grace_seconds=GRACE_SECONDS,
            access_seconds=TOKEN_SECONDS - 1,
        )
        self.follower: SteppedFollower | None = None
        if settings.follows:
            self.follower = SteppedFollower(
                self.denylist,
                shortest_seconds=0.05,
                longest_seconds=settings.longest,
                clock=boot_clock,
            )
            self.follower._ensure_running()
        self.guard = Guard(None, self.denylist, max_staleness=0.0, follower=self.follower, clock=wall_clock)

    def beat(self) -> bool:
        """One beat as the thread does it; whether this process knows everything as of now."""
        if self.follower is None or self.follower._stopped:
            return False
        self.follower._live_on(self.follower._generation)
        return self.follower.state.age_seconds <= 0

    @property
    def position(self) -> str:
        """The last line that its follower has read; empty where there is none."""
        return (self.follower._view.position if self.follower else None) or ""

    def age(self) -> float:
        """How old the knowledge in memory is, in seconds."""
        return float("inf") if self.follower is None or self.follower._stopped else self.follower.state.age_seconds

    def stop(self) -> None:
        """End as a process does that is told to: the lease is given back."""
        if self.follower is not None and not self.follower._stopped:
            self.follower._stopped = True
            with contextlib.suppress(DenylistUnavailableError):
                self.denylist.leases.give_back(self.follower._id)

    def close(self) -> None:
        """End as a killed process does."""
        for client in (self.client, self.follower._client if self.follower else None):
            if client is not None:
                client.connection_pool.disconnect()

    def check(self, claims: Claims, bound: float) -> Answer:
        """What the guard says of claims that somebody verified, at a bound."""
        try:
            self.guard.check(claims, max_staleness=bound)
        except InvalidTokenError:
            return "refused"
        except DenylistUnavailableError:
            return "unavailable"
        return "accepted"

    def init(self, *, new_epoch: bool = False) -> bool:
        """What `revocation init` does; true where it was done."""
        self.denylist.open(new_epoch=new_epoch, longest_bound_seconds=LONGEST_SECONDS)
        return True

    def declare(self) -> bool:
        """Roll the kind of handle out: from now on tokens are revoked by it."""
        self.denylist.open(declare=["org"], longest_bound_seconds=LONGEST_SECONDS)
        return True

    def withdraw(self) -> bool:
        """Roll it back."""
        self.denylist.open(withdraw=["org"], longest_bound_seconds=LONGEST_SECONDS)
        return True

    def mint_ms(self) -> int:
        """The `iat` of a token that is minted now."""
        return self.denylist.now_ms()

    def sign_in(self, subject: str, client: str) -> tuple[str, str, int] | None:
        """Session, refresh token and `iat` of a new login; None where it was revoked meanwhile."""
        try:
            made = self.sessions.create(
                subject,
                client_id=client,
                scope="me",
                signed_in_ms=self.denylist.now_ms(),
                address="-",
                user_agent="-",
            )
        except SessionRevokedError:
            return None
        return made.session.id, made.refresh_token, made.now_ms

    def refresh(self, token: str) -> tuple[str, int] | None:
        """The next refresh token, and the `iat` of the access token beside it; None where it is refused."""
        try:
            rotation = self.sessions.rotate(self.sessions.presented(token), address="-", user_agent="-")
        except RefreshRefusedError:
            return None
        return rotation.refresh_token, rotation.now_ms

    def end_session(self, session: str) -> Receipt:
        return self.sessions.end(session, reason="logout", actor=Actor("ada"), action="session.end")

    def revoke(
        self, handles: Sequence[Handle], *, actor: str, before_ms: int | None = None, wait: float = 0.0
    ) -> Receipt:
        if len(handles) == 1:
            return self.denylist.revoke(
                handles[0], reason="search", actor=actor, issued_before_ms=before_ms, wait_seconds=wait
            )
        return self.denylist.revoke_many(
            handles, reason="search", actor=actor, issued_before_ms=before_ms, wait_seconds=wait
        )

    def revoke_in_batches(self, handles: Sequence[Handle], *, between: Callable[[], None]) -> Receipt:
        """A bulk, with something that happens after its first batch was written."""
        script, calls = self.denylist._revoke, itertools.count()

        def batch(**asked: Any) -> Any:
            if next(calls) == 1:
                between()
            return script(**asked)

        self.denylist._revoke = batch  # type: ignore[assignment]  # a failpoint
        try:
            return self.revoke(handles, actor="ada")
        finally:
            self.denylist._revoke = script

    def undo(self, revocation_id: str) -> bool:
        return self.denylist.undo(revocation_id, actor="search", reason="undo")


def claims(
    issued_at_ms: int,
    *,
    subject: str,
    client: str = "c0",
    session: str | None = None,
    key: str = "k0",
    foreign: bool = False,
) -> Claims:
    """Verified claims of a token of ours, or of another issuer with a clock of its own."""
    if foreign:
        issued_at_ms -= issued_at_ms % 1000
    return claims_of(
        issued_at_ms=issued_at_ms,
        lifetime_seconds=TOKEN_SECONDS - 1,
        tolerance_seconds=LEEWAY_SECONDS if foreign else 0.0,
        key_id=key,
        iss=FOREIGN if foreign else ISSUER,
        sub=subject,
        client_id=client,
        sid=session,
        org_id=f"o{client}",
    )


def is_trimmed(client: "redis.Redis", position: str) -> bool:
    """Whether the log of a server begins behind this position, so that nobody can say whether it held that line."""
    text: Any = client.get(HEAD)
    return text is not None and position != "" and order(position) <= order(Head.parse(text).floor)


def is_conflict(error: BaseException | None) -> bool:
    """Whether an undo was refused because the revocation was merged with others."""
    return isinstance(error, ConflictError)


def ignoring_redis() -> contextlib.suppress:
    """Whatever Redis refuses here is no matter: junk that does not fit is no junk."""
    return contextlib.suppress(redis.ResponseError)


@contextlib.contextmanager
def installed(*, wall: Callable[[], float], boot: Callable[[], float], wait: Callable[[float], None]) -> Iterator[None]:
    """The library reads these clocks, waits for receipts in this way, and says nothing, within this block."""
    with pytest.MonkeyPatch.context() as patch:
        for found in pkgutil.iter_modules(revocation.redis.__path__, "revocation.redis."):
            module: Any = importlib.import_module(found.name)
            if isinstance(getattr(module, "time", None), types.ModuleType):
                sleep = wait if found.name.endswith("leases") else _no_sleep
                clocks = types.SimpleNamespace(time=wall, monotonic=boot, perf_counter=boot, sleep=sleep)
                patch.setattr(module, "time", clocks)
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(logging.NOTSET)


def _no_sleep(seconds: float) -> None:
    """Nobody waits in real time."""
