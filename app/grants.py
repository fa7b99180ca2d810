"""Grants: from credentials to tokens."""

from dataclasses import dataclass

from app.clients import FIRST_PARTY, Client
from app.sessions import RefreshRefusedError, Rotation, SessionRevokedError, Sessions
from app.users import Users
from revocation import RedisDenylist, TokenIssuer


class InvalidCredentialsError(Exception):
    """Unknown user, wrong password, disabled account: nobody learns which."""


class InvalidScopeError(Exception):
    """The client asks for more scope than was granted (RFC 6749, section 6)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The address and the program that a request comes from, as far as the service can believe them."""

    address: str
    user_agent: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """The answer to a successful grant (RFC 6749, section 5.1)."""

    access_token: str
    expires_in: int
    scope: str
    refresh_token: str | None = None
    session_id: str | None = None


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
            # Somebody revoked the user while the password was checked, perhaps because it is no longer the user's own.
            raise InvalidCredentialsError from error
        return self._tokens(rotation, user.scope)

    def refresh(self, refresh_token: str, *, client_id: str | None, scope: str | None = None, origin: Origin) -> Tokens:
        """The next tokens of a session, for the same scope or less.

        Raises RefreshRefusedError, and InvalidScopeError before the refresh token is used up.
        """
        current = self._sessions.is_current(refresh_token)
        if current is not None and scope is not None and not set(scope.split()) <= set(current.scope.split()):
            raise InvalidScopeError
        # The database is asked before the refresh token is used up: where it does not answer, the client can repeat
        # the same request.
        # An account that is disabled after this moment is also revoked after it, and its new tokens with it.
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
        access_token = self._issuer.issue(
            session.subject,
            scope=scope,
            session=session.id,
            lifetime_seconds=rotation.lifetime_seconds,
            issued_at=rotation.now_ms / 1000,
            client_id=session.client_id,
        )
        return Tokens(access_token, rotation.lifetime_seconds, scope, rotation.refresh_token, session.id)
