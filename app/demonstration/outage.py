"""Outage: what each way of knowing a caller answers while its Redis is away."""

import math
import tempfile
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from app.demonstration.server_sessions import ServerSessions
from revocation import (
    DenylistUnavailableError,
    EmbeddedServer,
    Guard,
    RedisDenylist,
    Refused,
    TokenVerifier,
    connect,
)

_BEFORE_SECONDS: Final = 0.8
_AWAY_SECONDS: Final = 4.0
_AFTERWARDS_SECONDS: Final = 1.2

#: The pause between two samples.
_PAUSE_SECONDS: Final = 0.1

#: For how long a Redis that has just started is waited for.
_PATIENCE_SECONDS: Final = 5.0

#: The longest turn of a visitor; it ends with what it shows.
_TURN_MS: Final = 15_000


@dataclass(frozen=True, slots=True)
class Sample:
    """What a request was answered in each of the ways, at one moment."""

    #: Since the first sample.
    at_seconds: float
    is_redis_away: bool
    #: HTTP status by way: session, stateless, bounded, strict.
    answers: dict[str, int]


class Outage:
    """Starts a Redis of its own, stops it for some seconds (SIGSTOP: it hangs, as servers do), and ends it.

    Nobody else's requests are touched. It starts a server each time, so visitors take turns: `app:demo:outage`, in the
    service's own Redis, stands for as long as one has the turn.
    """

    def __init__(self, store: RedisDenylist, verifier: TokenVerifier, *, max_staleness: float) -> None:
        self._store = store
        self._verifier = verifier
        self._max_staleness = max_staleness
        self._turn = store.key("app:demo:outage")

    def begins(self) -> bool:
        """Whether nobody else has the turn; then the caller has it, until `samples` ends. DenylistUnavailableError."""
        return bool(self._store.link.call(lambda client: client.set(self._turn, "1", nx=True, px=_TURN_MS)))

    @property
    def seconds(self) -> float:
        """How long it takes, about."""
        return _BEFORE_SECONDS + _AWAY_SECONDS + _AFTERWARDS_SECONDS

    def samples(self, token: str) -> Generator[Sample]:
        """The samples of a token that is good, as they are taken. Closing the generator ends the server, too."""
        try:
            with tempfile.TemporaryDirectory(prefix="outage-") as directory:
                server = EmbeddedServer(directory)
                with server.owned():
                    denylist = RedisDenylist(connect(server.url), lifetimes=self._store.lifetimes)
                    guard = Guard(self._verifier, denylist, max_staleness=self._max_staleness)
                    try:
                        yield from self._sampled(server, denylist, guard, token)
                    finally:
                        guard.stop()
                        denylist.link.close()
        finally:
            self._store.link.call(lambda client: client.delete(self._turn))

    def _sampled(self, server: EmbeddedServer, denylist: RedisDenylist, guard: Guard, token: str) -> Iterator[Sample]:
        denylist.open(accept_existing=True)
        sessions = ServerSessions(denylist)
        session_id = sessions.begin("somebody")
        guard.start()
        patience = time.monotonic() + _PATIENCE_SECONDS
        while guard.follower and guard.follower.state.age_seconds > self._max_staleness:
            if time.monotonic() > patience:
                raise DenylistUnavailableError("The Redis of the playground's outage did not get ready.")
            time.sleep(_PAUSE_SECONDS)
        begun = time.monotonic()

        def sampled(until: float, *, away: bool) -> Iterator[Sample]:
            while (now := time.monotonic() - begun) < until:
                answers = {
                    "session": _status_of_session(sessions, session_id),
                    "stateless": _status(guard, token, math.inf),
                    "bounded": _status(guard, token, self._max_staleness),
                    "strict": _status(guard, token, 0),
                }
                yield Sample(now, away, answers)
                time.sleep(_PAUSE_SECONDS)

        yield from sampled(_BEFORE_SECONDS, away=False)
        with server.paused():
            yield from sampled(_BEFORE_SECONDS + _AWAY_SECONDS, away=True)
        yield from sampled(self.seconds, away=False)


def _status(guard: Guard, token: str, max_staleness: float) -> int:
    decision = guard.decide(token, max_staleness=max_staleness)
    if not isinstance(decision, Refused):
        return 200
    return 503 if isinstance(decision.error, DenylistUnavailableError) else 401


def _status_of_session(sessions: ServerSessions, id_: str) -> int:
    try:
        return 200 if sessions.username(id_) else 401
    except DenylistUnavailableError:
        return 503
