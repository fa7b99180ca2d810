"""For admins who look for something: a user, a client, a session, a token, a key, a revocation. Asks Redis."""

import re

from flask import Blueprint, Response, jsonify
from pydantic import BaseModel, ConfigDict, Field

from app.bearer import ADMIN_SCOPE, bearer
from app.clients import FIRST_PARTY, Client
from app.instants import milliseconds, rfc3339
from app.openapi import operation
from app.problems import read_json
from app.routes.admin import REVOCATION_ID
from app.routes.lookup_answers import FoundJson, SearchResult, SessionOfJson, State, TokenJson
from app.service import service
from app.users import User
from app.views import revocation_json, session_json
from revocation import Claims, Handle, InvalidTokenError
from revocation.denylist import is_revoked
from revocation.handles import Kind

routes = Blueprint("lookup", __name__, url_prefix="/admin")

#: So many users, and so many clients, are shown of those that match.
_MOST = 20

#: The longest token there is, and the word before it in a header that was copied whole.
_MAX_QUERY = 8192 + len("Bearer ")

#: A `jti` is of no use to anybody if it can be guessed; ours have 22 characters.
_TOKEN_ID = re.compile(r"[!-~]{16,256}")
_SESSION_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class Query(BaseModel):
    """What `POST /admin/search` takes: in the body, because a token must not get into a log of addresses."""

    model_config = ConfigDict(extra="forbid", strict=True)

    query: str = Field(
        min_length=1,
        max_length=_MAX_QUERY,
        description="A name or a part of one, an id, or a whole token.",
        examples=["ada"],
    )


@routes.post("/search")
@bearer.required(scope=ADMIN_SCOPE, max_staleness=0)
@operation(SearchResult, body=Query)
def search() -> Response:
    """Whatever a text may stand for, with its state and the live revocations of it.

    The text is an access or refresh token, a session id, a `jti`, a key id, the id of a revocation, or a part of the
    name of a user or a client. Each thing found can be revoked by its `kind` and `value`.
    """
    text = read_json(Query).query.strip()
    text = re.sub(r"(?i)^bearer\s+", "", text)
    if not text or not text.isprintable():
        # Nothing has such a name, and a database may not even take the question.
        return _answer([])
    found = _exact(text)
    known = {(one["kind"], one["value"]) for one in found}
    found += [one for one in _named(text) if (one["kind"], one["value"]) not in known]
    if not found and _TOKEN_ID.fullmatch(text):
        # Of a token nothing is stored, so this may be the jti of one.
        found.append(_found("token", text))
    return _answer(found)


def _answer(found: list[FoundJson]) -> Response:
    answer: SearchResult = {"found": found}
    return jsonify(answer)


def _exact(text: str) -> list[FoundJson]:
    """What the text names and nothing else could: a token brings all that it can be revoked by."""
    try:
        claims = service().verifier.verify_ignoring_expiry(text)
    except InvalidTokenError:
        pass
    else:
        return _of_token(claims)
    session_id = service().sessions.of_refresh_token(text) or (text if _SESSION_ID.fullmatch(text) else None)
    if session_id is not None and (session := _session(session_id)):
        return [session]
    key = service().keys.refreshed().find(text, "")
    if key is not None:
        return [_found("key", text)]
    revocation = service().stores.denylist.find(text) if REVOCATION_ID.fullmatch(text) else None
    if revocation is not None:
        handle = revocation.handle
        return [_found(handle.kind, handle.value, issuer=handle.issuer)]
    return []


def _of_token(claims: Claims) -> list[FoundJson]:
    """The token itself first, then its session, user, client and key."""
    denylist = service().stores.denylist
    handles = [handle for handle in claims.handles if handle.kind != "issuer"]
    cutoff = denylist.latest_cutoff(claims.handles)
    state: State = (
        "revoked"
        if is_revoked(claims, cutoff)
        else "expired"
        if denylist.now_ms() >= claims.expires_at * 1000
        else "active"
    )
    token: TokenJson = {
        "subject": claims.subject,
        "client_id": claims.client_id,
        "session_id": claims.session_id,
        "scope": " ".join(sorted(claims.scope)),
        "issued_at": rfc3339(claims.issued_at * 1000),
        "expires_at": rfc3339(claims.expires_at * 1000),
    }
    found: list[FoundJson] = []
    for handle in handles:
        match handle.kind:
            case "token":
                found.append({**_found("token", handle.value, state=state), "token": token})
            case "session":
                found.append(_session(handle.value) or _found("session", handle.value, state="ended"))
            case "subject" if (user := service().stores.users.get(handle.value)) is not None:
                found.append(_user(user))
            case "client":
                found.append(_client_of(handle.value))
            case "key":
                found.append(_found("key", handle.value))
            case _:
                # A client's own token: it is its own subject.
                pass
    return found


def _named(text: str) -> list[FoundJson]:
    """Users and clients by a part of their names."""
    stores = service().stores
    found = [_user(user) for user in stores.users.search(text, limit=_MOST)]
    if text.lower() in FIRST_PARTY:
        found.append(_client_of(FIRST_PARTY))
    return found + [_client(client) for client in stores.clients.search(text, limit=_MOST)]


def _session(session_id: str) -> FoundJson | None:
    """A session whose record is there: revoked or alive."""
    session = service().sessions.get(session_id)
    if session is None:
        return None
    handle = Handle("session", session_id, issuer=service().settings.issuer)
    alive = service().sessions.reached_by(handle, issued_before_ms=0)
    detail: SessionOfJson = {**session_json(session), "subject": session.subject}
    return {**_found("session", session_id, state="active" if alive else "revoked"), "session": detail}


def _user(user: User) -> FoundJson:
    state: State = "disabled" if user.disabled else "active"
    return {
        **_found("subject", user.username, state=state),
        "user": {"scope": user.scope, "created_at": rfc3339(milliseconds(user.created_at))},
    }


def _client(client: Client) -> FoundJson:
    state: State = "disabled" if client.disabled else "active"
    return {
        **_found("client", client.client_id, state=state),
        "client": {
            "name": client.name,
            "scope": client.scope,
            "created_at": rfc3339(milliseconds(client.created_at)),
        },
    }


def _client_of(client_id: str) -> FoundJson:
    client = service().stores.clients.get(client_id)
    return _client(client) if client is not None else _found("client", client_id)


def _found(kind: Kind, value: str, *, issuer: str | None = None, state: State | None = None) -> FoundJson:
    handle = Handle(kind, value, issuer=issuer or service().settings.issuer)
    revocations = service().stores.denylist.of_handle(handle)
    return {
        "kind": kind,
        "value": value or None,
        "issuer": handle.issuer,
        "state": state,
        "revocations": [revocation_json(one) for one in reversed(revocations)],
    }
