"""Search: a user, a client, a session, a token, a key or a revocation, by a text that may stand for any of them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, cast

from flask import Blueprint
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.bearer import admin_required
from app.clients import FIRST_PARTY, Client
from app.instants import milliseconds
from app.openapi import operation
from app.routes.context import service
from app.routes.formats import (
    ClientId,
    Cursor,
    Instant,
    Issuer,
    KindName,
    RevocationJson,
    Scope,
    SessionId,
    SessionJson,
    Subject,
    revocation_json,
    session_json,
)
from app.session_ids import is_session_id
from app.users import User
from revocation import Claims, Handle, InvalidTokenError, Revocation
from revocation.denylist import is_revoked
from revocation.handles import Kind
from revocation.instants import rfc3339
from revocation.redis.ledger import Standing

routes = Blueprint("search", __name__)

#: The number of users and clients on a page.
_PAGE = 20

#: What stands before the token in a header that somebody copied whole, or in the options of curl.
_HEADER = re.compile(r"""(?i)^(?:-H\s*)?["']?(?:authorization\s*:\s*)?bearer\s+""")

#: The longest token there is, and what may stand around it.
_MAX_QUERY = 8192 + 64

#: A `jti` is of no use to anybody if it can be guessed; ours have 22 characters.
_TOKEN_ID = re.compile(r"[!-~]{16,256}")


class Query(BaseModel):
    """The text to look for. It is in the body, because a token must not get into a log of addresses."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(
        min_length=1,
        max_length=_MAX_QUERY,
        description="A name or a part of one, an id, or a whole token.",
        examples=["ada"],
    )
    cursor: str | None = Field(
        default=None,
        pattern="^[0-9]{1,9}$",
        description="The `next_cursor` of the page before, with the same query; left out: from the beginning.",
    )


State = Literal["active", "revoked", "expired", "ended", "disabled"]


class TokenJson(TypedDict):
    """The claims of an access token."""

    subject: Subject
    client_id: ClientId | None
    session_id: SessionId | None
    scope: Scope
    issued_at: Instant
    expires_at: Instant


class SessionOfJson(SessionJson):
    """A session, and whose it is."""

    subject: Subject


class UserOfJson(TypedDict):
    """An account."""

    scope: Scope
    administers: Annotated[bool, Field(description="Whether it may sign in to the console.", examples=[False])]
    created_at: Instant


class ClientOfJson(TypedDict):
    """A registered client."""

    name: Annotated[str, Field(examples=["billing"])]
    scope: Scope
    created_at: Instant


class FoundJson(TypedDict):
    """One thing that was found. It can be revoked by its kind, value and issuer."""

    kind: KindName
    value: Annotated[str | None, Field(description="Null for kind `issuer`.", examples=["ada"])]
    issuer: Issuer
    state: Annotated[
        State | None, Field(description="Null where nobody keeps one: of a `jti` alone, a key, an unregistered client.")
    ]
    revocations: Annotated[list[RevocationJson], Field(description="In force by exactly this handle, newest first.")]
    token: NotRequired[TokenJson]
    session: NotRequired[SessionOfJson]
    user: NotRequired[UserOfJson]
    client: NotRequired[ClientOfJson]


class SearchResult(TypedDict):
    """Whatever the text may stand for, a page of it."""

    total: Annotated[int, Field(ge=0, description="How many there are on all pages.", examples=[1])]
    found: list[FoundJson]
    next_cursor: Cursor


@dataclass(frozen=True, slots=True)
class _Match:
    """One thing that was found, before Redis was asked what stands for it."""

    handle: Handle
    detail: Mapping[str, Any] = field(default_factory=dict)
    #: Its state, by the cut-off of these handles and the time of Redis in milliseconds.
    judged_by: tuple[Handle, ...] = ()
    state: Callable[[float, int], State | None] = lambda _cutoff, _now_ms: None
    #: What is in force by exactly this handle, where that is known already; oldest first.
    revocations: tuple[Revocation, ...] | None = None

    @property
    def asked(self) -> tuple[Handle, ...]:
        """What has to be asked about before this can be told."""
        return self.judged_by if self.revocations is not None else (self.handle, *self.judged_by)

    def told(self, standing: Standing) -> FoundJson:
        revocations = standing.of(self.handle) if self.revocations is None else self.revocations
        found = {
            "kind": self.handle.kind,
            "value": self.handle.value or None,
            "issuer": self.handle.issuer,
            "state": self.state(standing.latest_cutoff(self.judged_by), standing.now_ms),
            "revocations": [revocation_json(revocation) for revocation in reversed(revocations)],
            **self.detail,
        }
        return cast("FoundJson", found)


@routes.post("/search")
@admin_required
@operation()
def search(body: Query) -> SearchResult:
    """Whatever a text may stand for, with its state and the live revocations of it.

    The text is an access or refresh token, a session id, a `jti`, a key id, the id of a revocation, or a part of the
    name of a user or a client. Each thing found can be revoked by its `kind` and `value`.
    """
    text = body.query.strip()
    text, headers = _HEADER.subn("", text)
    if headers:
        text = text.rstrip("\"'")
    if not text or not text.isprintable():
        # Nothing has such a name, and a database may refuse the text.
        return {"total": 0, "found": [], "next_cursor": None}
    skip = int(body.cursor or 0)
    exact = _exact(text) if skip == 0 else []
    number, named = _named(text, skip=skip)
    known = {(match.handle.kind, match.handle.value) for match in exact}
    matches = exact + [match for match in named if (match.handle.kind, match.handle.value) not in known]
    if not number and not matches and _TOKEN_ID.fullmatch(text):
        # The service stores nothing of a token, so this may be the jti of one.
        matches.append(_Match(_handle("token", text)))
    asked = [handle for match in matches for handle in match.asked]
    standing = service().stores.denylist.standing(asked) if asked else Standing()
    return {
        "total": max(number, len(matches)),
        "found": [match.told(standing) for match in matches],
        "next_cursor": str(skip + _PAGE) if skip + _PAGE < number else None,
    }


def _exact(text: str) -> list[_Match]:
    """The one thing that the text names; a token brings everything by which it can be revoked."""
    try:
        claims = service().verifier.verify_ignoring_expiry(text)
    except InvalidTokenError:
        pass
    else:
        return _of_token(claims)
    session_id = service().sessions.of_refresh_token(text) or (text if is_session_id(text) else None)
    if session_id is not None and (session := _session(session_id)):
        return [session]
    if service().keys.refreshed().find(text) is not None:
        return [_Match(_handle("key", text))]
    found = service().revocations.find_with_others(text)
    return [] if found is None else [_Match(found[0].handle, revocations=found[1])]


def _of_token(claims: Claims) -> list[_Match]:
    """The token itself first, then its session, user, client and key."""
    token: TokenJson = {
        "subject": claims.subject,
        "client_id": claims.client_id,
        "session_id": claims.session_id,
        "scope": " ".join(sorted(claims.scope)),
        "issued_at": rfc3339(claims.issued_at * 1000),
        "expires_at": rfc3339(claims.expires_at * 1000),
    }

    def state(cutoff: float, now_ms: int) -> State:
        if is_revoked(claims, cutoff):
            return "revoked"
        return "expired" if now_ms >= claims.expires_at * 1000 else "active"

    matches: list[_Match] = []
    handles = service().guard.handles_of(claims)
    for handle in handles:
        match handle.kind:
            case "token":
                matches.append(_Match(handle, {"token": token}, handles, state))
            case "session":
                matches.append(_session(handle.value) or _Match(handle, state=_always("ended")))
            case "subject" if (user := service().stores.users.get(handle.value)) is not None:
                matches.append(_user(user))
            case "client":
                matches.append(_client_of(handle.value))
            case "subject" | "issuer":
                # In its own token a client is the subject.
                pass
            case _:
                matches.append(_Match(handle))
    return matches


def _named(text: str, *, skip: int) -> tuple[int, list[_Match]]:
    """How many users and clients there are by a part of their names, and a page of them: first the users."""
    stores = service().stores
    number, users = stores.users.search(text, limit=_PAGE, skip=skip)
    matches = [_user(user) for user in users]
    first_party = text.lower() in FIRST_PARTY
    if first_party and skip <= number < skip + _PAGE:
        matches.append(_client_of(FIRST_PARTY))
    before = number + first_party
    of_clients, clients = stores.clients.search(text, limit=_PAGE - len(matches), skip=max(0, skip - before))
    return before + of_clients, matches + [_client(client) for client in clients]


def _session(session_id: str) -> _Match | None:
    """A session whose record is there: revoked or alive."""
    sessions = service().sessions
    session = sessions.get(session_id)
    if session is None:
        return None
    detail: SessionOfJson = {**session_json(session), "subject": session.subject}

    def state(cutoff: float, now_ms: int) -> State:
        return "active" if session.is_alive(cutoff=cutoff, now_ms=now_ms) else "revoked"

    return _Match(_handle("session", session_id), {"session": detail}, sessions.handles(session), state)


def _user(user: User) -> _Match:
    detail: UserOfJson = {
        "scope": user.scope,
        "administers": user.administers,
        "created_at": rfc3339(milliseconds(user.created_at)),
    }
    state = _always("disabled" if user.disabled else "active")
    return _Match(_handle("subject", user.username), {"user": detail}, state=state)


def _client(client: Client) -> _Match:
    detail: ClientOfJson = {
        "name": client.name,
        "scope": client.scope,
        "created_at": rfc3339(milliseconds(client.created_at)),
    }
    state = _always("disabled" if client.disabled else "active")
    return _Match(_handle("client", client.client_id), {"client": detail}, state=state)


def _client_of(client_id: str) -> _Match:
    client = service().stores.clients.get(client_id)
    return _client(client) if client is not None else _Match(_handle("client", client_id))


def _handle(kind: Kind, value: str) -> Handle:
    return Handle(kind, value, issuer=service().settings.issuer)


def _always(state: State) -> Callable[[float, int], State]:
    return lambda _cutoff, _now_ms: state
