"""Grants: from credentials to tokens."""

from dataclasses import dataclass
from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict  # pydantic cannot read the one of typing before 3.12

from app.clients import FIRST_PARTY, Client
from app.sessions import RefreshRefusedError, Rotation, SessionRevokedError, Sessions
from app.users import Users
from app.views import Scope, SessionId
from revocation import RedisDenylist, TokenIssuer


class InvalidCredentialsError(Exception):
    """Unknown user, wrong password, disabled account: nobody learns which."""


class InvalidScopeError(Exception):
    """More is asked for than was granted (RFC 6749, section 6)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from, as far as it can be believed."""

    address: str
    user_agent: str


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


@dataclass(frozen=True, slots=True)
class Tokens:
    """The answer to a successful grant (RFC 6749, section 5.1)."""

    access_token: str
    expires_in: int
    scope: str
    refresh_token: str | None = None
    session_id: str | None = None

    def to_json(self) -> TokensJson:
        """The members that are there."""
        members: TokensJson = {
            "access_token": self.access_token,
            "token_type": "Bearer",
            "expires_in": self.expires_in,
            "scope": self.scope,
        }
        if self.refresh_token is not None:
            members["refresh_token"] = self.refresh_token
        if self.session_id is not None:
            members["session_id"] = self.session_id
        return members


class Grants:
    """Signs users in, refreshes their sessions, and gives clients tokens of their own.

    The `iat` of every token is the time of Redis from before its credentials were read: a revocation that comes in
    between is later than the token, and takes it back.
    """

    def __init__(
        self,
        *,
        users: Users,
        sessions: Sessions,
        denylist: RedisDenylist,
        issuer: TokenIssuer,
        access_seconds: int,
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._denylist = denylist
        self._issuer = issuer
        self._access_seconds = access_seconds

    def sign_in(self, username: str, password: str, *, origin: Origin) -> Tokens:
        """A new session for a user. Raises InvalidCredentialsError."""
        now_ms = self._denylist.now_ms()
        user = self._users.authenticate(username, password)
        if user is None:
            raise InvalidCredentialsError
        try:
            rotation = self._sessions.create(
                user.username,
                client_id=FIRST_PARTY,
                scope=user.scope,
                signed_in_ms=now_ms,
                address=origin.address,
                user_agent=origin.user_agent,
            )
        except SessionRevokedError as error:
            # Revoked while the password was checked: perhaps because it is not the user's any more.
            raise InvalidCredentialsError from error
        return self._tokens(rotation, user.scope)

    def refresh(self, refresh_token: str, *, client_id: str | None, scope: str | None = None, origin: Origin) -> Tokens:
        """The next tokens of a session, for the same scope or less.

        Raises RefreshRefusedError, and InvalidScopeError before the refresh token is used up.
        """
        current = self._sessions.is_current(refresh_token)
        if current is not None and scope is not None and not set(scope.split()) <= set(current.scope.split()):
            raise InvalidScopeError
        # Asked before anything is used up: where the database does not answer, the same request can be sent again.
        # Who is disabled after this is revoked after this, and so are the tokens.
        subject = self._sessions.subject_of(refresh_token)
        user = self._users.get(subject) if subject is not None else None
        rotation = self._sessions.rotate(
            refresh_token, client_id=client_id, address=origin.address, user_agent=origin.user_agent
        )
        if user is None or user.disabled:
            raise RefreshRefusedError("revoked")
        granted = rotation.session.scope.split()
        wanted = granted if scope is None else sorted(set(scope.split()))
        if not set(wanted) <= set(granted):
            raise InvalidScopeError
        return self._tokens(rotation, " ".join(wanted))

    def client_credentials(self, client: Client, *, scope: str | None, now_ms: int) -> Tokens:
        """A token for a client of its own; `now_ms` is the time of Redis from before its secret was checked."""
        granted = client.scope.split()
        wanted = granted if scope is None else sorted(set(scope.split()))
        if not set(wanted) <= set(granted):
            raise InvalidScopeError
        words = " ".join(wanted)
        token = self._issuer.issue(
            client.client_id,
            scope=words,
            lifetime_seconds=self._access_seconds,
            issued_at=now_ms / 1000,
            client_id=client.client_id,
        )
        return Tokens(token, self._access_seconds, words)

    def _tokens(self, rotation: Rotation, scope: str) -> Tokens:
        session = rotation.session
        # No longer than its session, which nobody could end any more.
        lifetime_seconds = max(1, min(self._access_seconds, (rotation.ends_ms - rotation.now_ms) // 1000))
        access_token = self._issuer.issue(
            session.subject,
            scope=scope,
            session=session.id,
            lifetime_seconds=lifetime_seconds,
            issued_at=rotation.now_ms / 1000,
            client_id=session.client_id,
        )
        return Tokens(access_token, lifetime_seconds, scope, rotation.refresh_token, session.id)
