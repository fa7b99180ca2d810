"""Formats: how tokens, sessions, revocations and receipts look in JSON.

The types say it once: mypy holds the code to them, and `/openapi.json` is made of them.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Final, Literal, NotRequired, TypeVar, cast

from pydantic import AwareDatetime, BeforeValidator, Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.grants import Tokens
from app.health import Epoch
from app.sessions import Session
from revocation import Receipt, Revocation, formats
from revocation.handles import KINDS, OWN_KIND, Kind
from revocation.instants import rfc3339

T = TypeVar("T")

#: The size of the pages of a list.
PAGE_SIZE: Final = 50

INVALID_CURSOR: Final = "`invalid`: a cursor from elsewhere."

UNKNOWN_USER: Final = "`unknown_user`: there is no user of this name."

#: RFC 3339, UTC, milliseconds.
Instant = Annotated[str, Field(json_schema_extra={"format": "date-time"}, examples=["2026-11-24T17:00:00.000Z"])]

_DATE_AND_TIME = re.compile(r"\d{4}-\d{2}-\d{2}[Tt ]\d")


def paged(found: Sequence[T], place: Callable[[T], str]) -> tuple[Sequence[T], str | None]:
    """The page, and where the next one begins, of what was found when one more than a page was asked for."""
    page = found[:PAGE_SIZE]
    return page, place(page[-1]) if len(found) > PAGE_SIZE else None


def _written_out(value: object) -> object:
    """Pydantic would read a number as well, and guess whether it counts seconds or milliseconds."""
    if not isinstance(value, str) or not _DATE_AND_TIME.match(value):
        raise ValueError("write it as 2026-11-24T17:00:00Z")
    return value


#: An instant that a client gives: RFC 3339, with its zone.
GivenInstant = Annotated[AwareDatetime, BeforeValidator(_written_out)]

Issuer = Annotated[str, Field(description="The `iss` of the tokens.", examples=["https://auth.example"])]
SessionId = Annotated[str, Field(description="The `sid` of its tokens.", examples=["N3eT0bRrA2CzpmqhyFj3Kw"])]
Subject = Annotated[str, Field(description="The user, or the client that acts for itself.", examples=["ada"])]
ClientId = Annotated[str, Field(description="The client the token was issued to.", examples=["first-party"])]
Scope = Annotated[str, Field(description="What it may do, space-separated.", examples=["reports:read"])]
Cursor = Annotated[
    str | None, Field(description="Give it as `cursor` to read on; null on the last page.", examples=[None])
]
AtCursor = Annotated[str, Field(description="The `next_cursor` of the page before; left out: from the beginning.")]
Username = Annotated[str, Field(description="The `sub` of the user's tokens.", examples=["ada"])]


class TokensJson(TypedDict):
    """Tokens (RFC 6749, section 5.1). A client's own token comes without a refresh token and a session."""

    access_token: Annotated[
        str,
        Field(
            description="A JWT of type `at+jwt` (RFC 9068).", examples=["eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9..."]
        ),
    ]
    token_type: Literal["Bearer"]
    expires_in: Annotated[int, Field(ge=1, description="Life of the access token in seconds.", examples=[900])]
    scope: Scope
    refresh_token: NotRequired[
        Annotated[
            str,
            Field(
                description="Good for one refresh.",
                examples=["N3eT0bRrA2CzpmqhyFj3Kw.1.dGhpcyBpcyBub3QgYSByZWFsIG9uZQ"],
            ),
        ]
    ]
    session_id: NotRequired[SessionId]
    device_token: NotRequired[
        Annotated[
            str,
            Field(
                description="After a sign-in: send it along with the next one. It opens nothing.",
                examples=["8Nf0c2b1eQx7Tq4L.1795539600.Zm9y"],
            ),
        ]
    ]


class SessionJson(TypedDict):
    """A session as its user and an admin see it."""

    session_id: SessionId
    client_id: ClientId
    created_at: Annotated[Instant, Field(description="When its user signed in.")]
    last_used_at: Annotated[Instant, Field(description="When it was last refreshed.")]
    expires_at: Annotated[Instant, Field(description="When it ends if nobody refreshes it.")]
    ip: Annotated[str, Field(description="Where it was last used from.", examples=["192.0.2.7"])]
    user_agent: Annotated[str, Field(description="As the client named itself.", examples=["Mozilla/5.0"])]


class AtSession(TypedDict):
    """Where a list of sessions goes on."""

    cursor: NotRequired[AtCursor]


KindName = Annotated[
    Kind,
    Field(
        description=f"What it goes by: {', '.join(KINDS)}, or a kind of an application's own.",
        pattern=OWN_KIND.pattern,
        examples=["subject"],
    ),
]


class RevocationJson(TypedDict):
    """One revocation in force."""

    id: Annotated[str, Field(description="Names it for undoing.", examples=["1795539600000-0-5f0c2b1e"])]
    issuer: Issuer
    kind: KindName
    value: Annotated[str | None, Field(description="Whose; null for kind `issuer`.", examples=["ada"])]
    issued_before: Annotated[
        Instant | None,
        Field(
            description="Revoked is what was issued before this; null: everything.",
            examples=["2026-11-24T17:00:00.001Z"],
        ),
    ]
    expires_at: Annotated[
        Instant | None,
        Field(
            description="When it goes, as nothing that it concerns can be alive; null: stands until undone.",
            examples=["2026-12-24T17:02:00.000Z"],
        ),
    ]
    reason: Annotated[str, Field(examples=["laptop stolen"])]
    actor: Annotated[str, Field(description="Who revoked.", examples=["admin"])]
    address: Annotated[str, Field(description="From where; empty where nobody said.", examples=["192.0.2.7"])]
    batch: Annotated[
        str | None, Field(description="The same for all that was revoked together; null: alone.", examples=[None])
    ]
    created_at: Instant


class FollowersJson(TypedDict):
    """How many processes decide from their own copy, and how many of them have this revocation in it."""

    confirmed: Annotated[int, Field(ge=0, examples=[4])]
    total: Annotated[int, Field(ge=0, examples=[4])]


class ReceiptJson(TypedDict):
    """How far a revocation has reached by the time of the answer."""

    enforced: Annotated[
        bool,
        Field(
            description="Whether no process accepts the tokens any more; routes at `max_staleness=inf` aside, which "
            "accept them until they expire.",
            examples=[True],
        ),
    ]
    followers: FollowersJson
    elapsed_seconds: Annotated[float, Field(ge=0, description="From the revocation to this answer.", examples=[0.003])]


class ReceiptAnswer(TypedDict):
    """Done; the receipt says by how many processes already."""

    receipt: ReceiptJson


def tokens_json(tokens: Tokens) -> TokensJson:
    """Tokens; a client's own token has neither a refresh token nor a session."""
    members: TokensJson = {
        "access_token": tokens.access_token,
        "token_type": "Bearer",
        "expires_in": tokens.expires_in,
        "scope": tokens.scope,
    }
    if tokens.refresh_token is not None:
        members["refresh_token"] = tokens.refresh_token
    if tokens.session_id is not None:
        members["session_id"] = tokens.session_id
    return members


def session_json(session: Session) -> SessionJson:
    """A session as its user and an admin see it."""
    return {
        "session_id": session.id,
        "client_id": session.client_id,
        "created_at": rfc3339(session.signed_in_ms),
        "last_used_at": rfc3339(session.used_ms),
        "expires_at": rfc3339(session.ends_ms),
        "ip": session.address,
        "user_agent": session.user_agent,
    }


def revocation_json(revocation: Revocation) -> RevocationJson:
    """A revocation, as the command line prints it."""
    return cast("RevocationJson", formats.revocation_json(revocation))


def receipt_json(receipt: Receipt) -> ReceiptJson:
    """How far a revocation has reached."""
    return cast("ReceiptJson", formats.receipt_json(receipt))


def epoch_bounds(epoch: Epoch) -> tuple[str, str | None]:
    """The members `opened_at` and `accepts_from` of an epoch."""
    return rfc3339(epoch.opened_ms), None if epoch.accepts_from_ms is None else rfc3339(epoch.accepts_from_ms)
