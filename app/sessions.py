"""Sessions: logins that can be refreshed, listed and ended. They live in Redis, judged by the deny-list's entries.

Keys, in the deny-list's namespace and so in its cluster slot:

    app:session:<sid>          hash: subject, client, scope, n (of the refresh token that is good now), signed_in, used,
                               rotated (when the token before it was first used), uses ('<n>=<ms> ...': when earlier
                               ones were, as far back as grace reaches), ends (ms), exp (s, of the last access token),
                               ip, user_agent; it outlives the session's idle or absolute life by what verifiers forgive
    app:sessions               sorted set: every sid by when it ends if nobody refreshes it (ms)
    app:sessions:<subject>     the same of one subject, by the name of its handle
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from app.audit import Actor
from app.database import InvalidValueError
from app.refresh_tokens import RefreshTokens
from app.session_ids import SESSION_ID, new_session_id
from revocation import Handle, Receipt, RedisDenylist
from revocation.denylist import is_cut_off

#: A user has no more sessions than this: the one that was not used for the longest time ends for a new one.
MOST_SESSIONS: Final = 100

#: Records read from Redis at a time.
_BATCH: Final = 500

_ALL: Final = "app:sessions"
_CURSOR = re.compile(rf"([0-9]{{1,15}})\.({SESSION_ID})")

_MAX_USER_AGENT = 256


class SessionRevokedError(Exception):
    """The user, the client or everyone was revoked after the time of sign-in."""


class RefreshRefusedError(Exception):
    """This refresh token gives nothing; `reason` is `unknown`, `gone`, `revoked`, `client` or `reuse`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class RefreshReuseError(RefreshRefusedError):
    """The token was used before, so somebody else has a copy: its session has been ended, and the audit knows."""

    def __init__(self) -> None:
        super().__init__("reuse")


@dataclass(frozen=True, slots=True)
class Session:
    """One login. Instants are milliseconds of Redis' clock."""

    id: str
    subject: str
    client_id: str
    scope: str
    signed_in_ms: int
    used_ms: int
    #: When the session ends if nobody refreshes it.
    ends_ms: int
    address: str
    user_agent: str

    def is_alive(self, *, cutoff: float, now_ms: int) -> bool:
        """Whether it is neither over nor revoked, by the latest cut-off of its handles and the time of Redis."""
        return not is_cut_off(self.signed_in_ms, cutoff) and self.ends_ms > now_ms


@dataclass(frozen=True, slots=True)
class SessionPage:
    """Living sessions, and where the next page begins (None: this was the last)."""

    sessions: tuple[Session, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Presented:
    """A refresh token of ours and the session that it belongs to, as Redis has it; the session may be over."""

    session: Session
    #: The number of the token.
    n: int
    #: Whether it is the one that is good now, rather than one that was used, or never handed out.
    is_current: bool


@dataclass(frozen=True, slots=True)
class Rotation:
    """A session, the refresh token that is good now, and the time for the access token beside it."""

    session: Session
    refresh_token: str
    now_ms: int
    #: How long that access token lives: no longer than its session, which nobody could end any more.
    lifetime_seconds: int


class Sessions:
    """Creates, rotates, lists and ends sessions."""

    def __init__(
        self,
        denylist: RedisDenylist,
        tokens: RefreshTokens,
        *,
        issuer: str,
        idle_seconds: int,
        absolute_seconds: int,
        grace_seconds: int,
        access_seconds: int,
    ) -> None:
        self._denylist = denylist
        self._tokens = tokens
        self._issuer = issuer
        self._idle_ms = idle_seconds * 1000
        self._absolute_ms = absolute_seconds * 1000
        self._grace_ms = grace_seconds * 1000
        self._access_ms = access_seconds * 1000
        self._create = denylist.script("create", package="app")
        self._rotate = denylist.script("rotate", package="app")

    def create(
        self, subject: str, *, client_id: str, scope: str, signed_in_ms: int, address: str, user_agent: str
    ) -> Rotation:
        """Begin a session. `signed_in_ms` is the time of Redis from before the credentials were read.

        Above MOST_SESSIONS of this user, those that were not used for the longest time end. Raises SessionRevokedError
        where the user, the client or everyone was revoked since then.
        """
        session_id = new_session_id()
        agent = user_agent[:_MAX_USER_AGENT]
        ends_ms = signed_in_ms + min(self._idle_ms, self._absolute_ms)
        session = Session(session_id, subject, client_id, scope, signed_in_ms, signed_in_ms, ends_ms, address, agent)
        fields = {"subject": subject, "client": client_id, "scope": scope, "ip": address, "user_agent": agent}
        word, answer = self._create(
            keys=[
                self._denylist.namespace.head,
                self._denylist.namespace.clock,
                *map(self._denylist.key, (_record(session_id), *self._indexes(subject))),
                *self._judges(session),
            ],
            args=[
                signed_in_ms,
                self._idle_ms,
                self._absolute_ms,
                self._access_ms,
                session_id,
                *(part for pair in fields.items() for part in pair),
            ],
        )
        if word == "revoked":
            raise SessionRevokedError
        lifetime_seconds, count = map(int, answer)
        if count > MOST_SESSIONS:
            self._let_go(count - MOST_SESSIONS, subject, but=session_id, actor=Actor(subject, address))
        return Rotation(session, self._tokens.token(session_id, 1), signed_in_ms, lifetime_seconds)

    def presented(self, refresh_token: str) -> Presented:
        """What a refresh token belongs to, from one question to Redis. Raises RefreshRefusedError."""
        read = self._tokens.read(refresh_token)
        if read is None:
            raise RefreshRefusedError("unknown")
        session_id, n = read
        (record,) = self._records([session_id])
        if not record:
            raise RefreshRefusedError("gone")
        return Presented(self._session(session_id, record), n, is_current=int(record[b"n"]) == n)

    def rotate(self, presented: Presented, *, address: str, user_agent: str) -> Rotation:
        """Use a refresh token; the next one takes its place.

        Any earlier one is answered with the successor of today for the length of the grace period from its own first
        use: several tabs, quick reloads, or a retry after a lost answer. Raises RefreshRefusedError; RefreshReuseError
        for a token that is presented later than that, which ends the session.
        """
        session = presented.session
        word, answer = self._rotate(
            keys=[
                self._denylist.namespace.head,
                self._denylist.namespace.clock,
                *map(self._denylist.key, (_record(session.id), *self._indexes(session.subject))),
                *self._judges(session),
            ],
            args=[
                session.id,
                presented.n,
                self._grace_ms,
                self._idle_ms,
                self._absolute_ms,
                self._access_ms,
                address,
                user_agent[:_MAX_USER_AGENT],
            ],
        )
        if word == "reuse":
            actor = Actor(session.subject, address)
            self.end(
                session.id,
                subject=session.subject,
                reason="refresh token used twice",
                actor=actor,
                action="session.reuse",
            )
            raise RefreshReuseError
        if word != "ok":
            raise RefreshRefusedError(word)
        issued_ms, lifetime_seconds, n = map(int, answer[:3])
        return Rotation(session, self._tokens.token(session.id, n), issued_ms, lifetime_seconds)

    def of_refresh_token(self, refresh_token: str) -> str | None:
        """The id of the session that a refresh token of ours, old or new, belongs to."""
        read = self._tokens.read(refresh_token)
        return read[0] if read else None

    def is_alive(self, session: Session) -> bool:
        """Whether the session is neither over nor revoked."""
        return next(self._alive([session]), None) is not None

    def end(self, session_id: str, *, reason: str, actor: Actor, action: str, subject: str | None = None) -> Receipt:
        """End a session, by an act that stands in the log. `subject` is its user; None: Redis is asked for it.

        One step in Redis deletes the session's record, so that nothing can be refreshed, and makes its entry, which
        ends with the last access token that the session was given. A session that has ended already leaves no second
        trace: anybody who holds one of its tokens can end it again, as often as they like.
        """
        if subject is None:
            session = self.get(session_id)
            subject = None if session is None else session.subject
        return self._end([session_id], subject, reason=reason, actor=actor, action=action)

    def end_all(self, subject: str, *, signed_in_before_ms: int, reason: str, actor: Actor) -> None:
        """End the sessions of a user from before an instant, with their access tokens.

        Nobody waits here until every process knows.

        Each has an entry of its own, so that undoing a revocation of the user brings none of them back.
        """
        indexed = self._indexed(self._index(subject))
        ids = [session.id for session in indexed if session.signed_in_ms < signed_in_before_ms]
        if ids:
            self._end(ids, subject, reason=reason, actor=actor, action="session.end", wait_seconds=0)

    def get(self, session_id: str) -> Session | None:
        """The session with this id, revoked or not; None where it has ended."""
        return next(self._read([session_id]), None)

    def page(self, subject: str, *, cursor: str | None = None, limit: int = 50) -> SessionPage:
        """The living sessions of a user, the last used first. Raises InvalidValueError for a cursor from elsewhere.

        What is used between two questions moves to the first page.
        """
        before = _place(cursor)
        read = sorted(self._indexed(self._index(subject)), key=_order, reverse=True)
        alive = self._alive(session for session in read if before is None or _order(session) < before)
        found = tuple(islice(alive, limit + 1))
        shown = found[:limit]
        return SessionPage(shown, "{}.{}".format(*_order(shown[-1])) if len(found) > limit else None)

    def reached_by(self, handle: Handle, *, issued_before_ms: int) -> list[Session]:
        """The living sessions that revoking this handle would end."""
        match handle.kind:
            case _ if handle.issuer != self._issuer:
                return []
            case "session":
                sessions: Iterable[Session] = self._read([handle.value])
            case "subject":
                sessions = self._indexed(self._index(handle.value))
            case "client" | "issuer":
                sessions = self._indexed(_ALL)
            case _:
                return []
        return [
            session
            for session in self._alive(sessions)
            if (handle.kind == "session" or is_cut_off(session.signed_in_ms, issued_before_ms))
            and (handle.kind != "client" or session.client_id == handle.value)
        ]

    def handles(self, session: Session) -> tuple[Handle, ...]:
        """What it is judged by."""
        return (
            Handle("session", session.id, issuer=self._issuer),
            Handle("subject", session.subject, issuer=self._issuer),
            Handle("client", session.client_id, issuer=self._issuer),
            Handle("issuer", issuer=self._issuer),
        )

    def _index(self, subject: str) -> str:
        return f"app:sessions:{Handle('subject', subject, issuer=self._issuer).name}"

    def _indexes(self, subject: str | None) -> list[str]:
        return [_ALL] if subject is None else [_ALL, self._index(subject)]

    def _judges(self, session: Session) -> list[str]:
        return [self._denylist.key(handle.name) for handle in self.handles(session)]

    def _end(
        self,
        ids: Sequence[str],
        subject: str | None,
        *,
        reason: str,
        actor: Actor,
        action: str,
        wait_seconds: float | None = None,
    ) -> Receipt:
        return self._denylist.end_many(
            {Handle("session", id_, issuer=self._issuer): _record(id_) for id_ in ids},
            indexes=self._indexes(subject),
            reason=reason,
            actor=actor.name,
            address=actor.address,
            action=action,
            wait_seconds=wait_seconds,
        )

    def _let_go(self, surplus: int, subject: str, *, but: str, actor: Actor) -> None:
        """End the sessions of a user that are too many. Nobody waits here until every process knows.

        One batch is looked at: whoever has more, from before there was a bound, loses them with the next sign-ins.
        """
        oldest = self._indexed(self._index(subject), most=_BATCH)
        others = sorted((session for session in oldest if session.id != but), key=_order)
        too_many = [session.id for session in others[: max(0, min(surplus, len(others) + 1 - MOST_SESSIONS))]]
        if too_many:
            reason = f"more than {MOST_SESSIONS} sessions"
            self._end(too_many, subject, reason=reason, actor=actor, action="session.surplus", wait_seconds=0)

    def _indexed(self, index: str, *, most: int = 0) -> Iterator[Session]:
        """The sessions that an index names, revoked or not, the soonest to end first; what has ended leaves it."""
        ids: Any = self._denylist.link.call(lambda client: client.zrange(self._denylist.key(index), 0, most - 1))
        for batch in _batches(id_.decode() for id_ in ids):
            found = list(self._read(batch))
            gone = set(batch).difference(session.id for session in found)
            if gone:
                self._forget(gone, {index, _ALL})
            yield from found

    def _forget(self, ids: Iterable[str], indexes: Iterable[str]) -> None:
        def ask(client: Any) -> None:
            pipeline = client.pipeline(transaction=False)
            for index in indexes:
                pipeline.zrem(self._denylist.key(index), *ids)
            pipeline.execute()

        self._denylist.link.call(ask)

    def _read(self, ids: Iterable[str]) -> Iterator[Session]:
        for batch in _batches(ids):
            records = self._records(batch)
            for session_id, record in zip(batch, records, strict=True):
                if record:
                    yield self._session(session_id, record)

    def _records(self, ids: Sequence[str]) -> list[dict[bytes, bytes]]:
        def ask(client: Any) -> list[dict[bytes, bytes]]:
            pipeline = client.pipeline(transaction=False)
            for session_id in ids:
                pipeline.hgetall(self._denylist.key(_record(session_id)))
            answers: list[dict[bytes, bytes]] = pipeline.execute()
            return answers

        return self._denylist.link.call(ask)

    def _alive(self, sessions: Iterable[Session]) -> Iterator[Session]:
        for batch in _batches(sessions):
            now_ms = self._denylist.now_ms()
            cutoffs = self._denylist.latest_cutoffs([self.handles(session) for session in batch])
            for session, cutoff in zip(batch, cutoffs, strict=True):
                if session.is_alive(cutoff=cutoff, now_ms=now_ms):
                    yield session

    def _session(self, session_id: str, record: dict[bytes, bytes]) -> Session:
        text = {name.decode(): value.decode("utf-8", "replace") for name, value in record.items()}
        signed_in_ms, used_ms = int(text["signed_in"]), int(text["used"])
        return Session(
            session_id,
            text["subject"],
            text["client"],
            text["scope"],
            signed_in_ms,
            used_ms,
            # rotate.lua judges by the absolute life that is set today, too.
            min(int(text["ends"]), signed_in_ms + self._absolute_ms, used_ms + self._idle_ms),
            text["ip"],
            text["user_agent"],
        )


def _record(session_id: str) -> str:
    return f"app:session:{session_id}"


def _order(session: Session) -> tuple[int, str]:
    return session.used_ms, session.id


def _place(cursor: str | None) -> tuple[int, str] | None:
    """Which session the page before ended with."""
    if cursor is None:
        return None
    match = _CURSOR.fullmatch(cursor)
    if match is None:
        raise InvalidValueError("cursor", "this is not a cursor from an earlier page; leave it out to begin")
    return int(match[1]), match[2]


def _batches(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while batch := list(islice(iterator, _BATCH)):
        yield batch
