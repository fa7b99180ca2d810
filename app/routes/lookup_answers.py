"""What a search answers."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.views import ClientId, Instant, Issuer, RevocationJson, Scope, SessionId, SessionJson, Subject
from revocation.handles import Kind

State = Literal["active", "revoked", "expired", "ended", "disabled"]


class TokenJson(TypedDict):
    """What an access token says."""

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
    created_at: Instant


class ClientOfJson(TypedDict):
    """A registered client."""

    name: Annotated[str, Field(examples=["billing"])]
    scope: Scope
    created_at: Instant


class FoundJson(TypedDict):
    """One thing that was found. It can be revoked by its kind, value and issuer."""

    kind: Kind
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
    """Whatever the text may stand for."""

    found: list[FoundJson]
