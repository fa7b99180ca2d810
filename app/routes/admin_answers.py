"""What the admin routes take in path and query, and answer."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.views import ClientId, Cursor, Instant, ReceiptJson, RevocationJson, Scope, SessionJson
from revocation.handles import Kind

Username = Annotated[str, Field(description="The `sub` of the user's tokens.", examples=["ada"])]
Reason = Annotated[str, Field(description="Why. It stands in the audit log.", examples=["laptop found again"])]
AtCursor = Annotated[str, Field(description="The `next_cursor` of the page before; left out: from the beginning.")]


class WouldEnd(TypedDict):
    """Living sessions that a revocation would end, and how many users and clients they belong to."""

    sessions: Annotated[int, Field(ge=0, examples=[312])]
    subjects: Annotated[int, Field(ge=0, examples=[40])]


class Preview(TypedDict):
    """What a revocation would hit. Nothing is revoked yet."""

    dry_run: Literal[True]
    kind: Annotated[Kind, Field(examples=["subject"])]
    value: Annotated[str | None, Field(examples=["ada"])]
    would_end: WouldEnd
    includes_you: Annotated[bool, Field(description="Whether the asking token is hit as well.", examples=[False])]


class Revoked(TypedDict):
    """Revoked."""

    revocation: RevocationJson
    receipt: ReceiptJson


class NothingToRevoke(TypedDict):
    """Nothing had to be written: what it concerns is dead already."""

    revocation: None
    receipt: ReceiptJson


class OneRevocation(TypedDict):
    """One revocation in force."""

    revocation: RevocationJson


class Undone(TypedDict):
    """The revocation that is no more."""

    undone: RevocationJson


class Revocations(TypedDict):
    """A page of revocations."""

    revocations: list[RevocationJson]
    next_cursor: Cursor


class RevocationsQuery(TypedDict):
    """Which revocations."""

    kind: NotRequired[Annotated[Kind, Field(description="Only of this kind.", examples=["subject"])]]
    value: NotRequired[Annotated[str, Field(description="Only of this handle; needs its `kind`.", examples=["ada"])]]
    issuer: NotRequired[Annotated[str, Field(description="The issuer of the handle; left out: this service.")]]
    cursor: NotRequired[AtCursor]


class NamedRevocation(TypedDict):
    """Which revocation."""

    revocation_id: Annotated[str, Field(description="Its `id`.", examples=["1795539600000-0-5f0c2b1e"])]


class Undo(NamedRevocation):
    """Which revocation, and why."""

    reason: NotRequired[Reason]


class SessionsQuery(TypedDict):
    """Whose sessions."""

    subject: Username


class Sessions(TypedDict):
    """The living sessions of a user."""

    sessions: list[SessionJson]


class AuditRecordJson(TypedDict):
    """One thing that was done."""

    at: Instant
    actor: Annotated[str, Field(description="Who did it.", examples=["admin"])]
    action: Annotated[str, Field(description="What was done.", examples=["revocation.create"])]
    target: Annotated[str, Field(description="To whom or what.", examples=["subject:ada"])]
    reason: Annotated[str, Field(description="Why; empty where nobody said.", examples=["laptop stolen"])]
    address: Annotated[str, Field(description="From where.", examples=["192.0.2.7"])]
    revocation_id: Annotated[
        str | None, Field(description="The revocation that came of it.", examples=["1795539600000-0-5f0c2b1e"])
    ]


class AuditPage(TypedDict):
    """A page of the audit log."""

    records: list[AuditRecordJson]
    next_cursor: Cursor


class PageQuery(TypedDict):
    """Where a list goes on."""

    cursor: NotRequired[AtCursor]


class NamedUser(TypedDict):
    """Which user."""

    username: Username


class UserJson(TypedDict):
    """An account."""

    username: Username
    scope: Scope
    disabled: Annotated[bool, Field(examples=[False])]


class UserChanged(UserJson):
    """The account as it is now, and what taking its tokens back has reached."""

    receipt: ReceiptJson


class ClientCreated(TypedDict):
    """The client, and its secret."""

    client_id: Annotated[ClientId, Field(examples=["client7s0k2m9q4x1v8b3n6d5f2g0h"])]
    client_secret: Annotated[str, Field(description="Shown here and never again.", examples=["kX2..."])]
    name: Annotated[str, Field(examples=["billing"])]
    scope: Scope
