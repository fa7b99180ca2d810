"""Grants: from credentials to tokens."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from app.clients import FIRST_PARTY, Client
from app.scopes import narrowed
from app.sessions import RefreshRefusedError, Rotation, Session, SessionRevokedError, Sessions
from app.users import Users
from revocation import DenylistUnavailableError, Following, RedisDenylist, TokenIssuer
from revocation.denylist import is_cut_off


class InvalidCredentialsError(Exception):
    """Unknown user, wrong password, disabled account: nobody learns which."""


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
        following: Following | None,
        issuer: TokenIssuer,
        access_seconds: int,
        settle: Callable[[str], object],
    ) -> None:
        self._users = users
        self._sessions = sessions
        self._denylist = denylist
        self._following = following
        self._issuer = issuer
        self._access_seconds = access_seconds
        #: Takes back what was to be taken back when a user's account changed; see app/debts.py.
        self._settle = settle

    def sign_in(self, username: str, password: str, *, origin: Origin) -> Tokens:
        """A new session for a user. Raises InvalidCredentialsError."""
        now_ms = self._denylist.now_ms()
        user = self._users.authenticate(username, password)
        if user is None:
            raise InvalidCredentialsError
        if user.owes:
            # What is owed takes back everything from before it is paid, so this session has to begin after that.
            self._settle(user.username)
            return self.sign_in(username, password, origin=origin)
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
        """The next tokens of a session, for the same scope or less. `client_id` is the client that asks (None: any).

        Raises RefreshRefusedError, and InvalidScopeError before the refresh token is used up.
        """
        presented = self._sessions.presented(refresh_token)
        if client_id not in (None, presented.session.client_id):
            raise RefreshRefusedError("client")
        # The database and this process's own memory are asked before the refresh token is used up: where they cannot
        # say, the client can repeat the same request at any later time.
        # An account that is disabled after this moment is also revoked after it, and its new tokens with it.
        granted = self._granted(presented.session)
        if granted is None:
            raise RefreshRefusedError("revoked")
        if presented.is_current:
            narrowed(scope, granted=granted)
        self._require_agreement(presented.session)
        rotation = self._sessions.rotate(presented, address=origin.address, user_agent=origin.user_agent)
        # This process may have heard of a revocation since, which came too late for the rotation.
        self._require_agreement(presented.session)
        return self._tokens(rotation, narrowed(scope, granted=granted))

    def refreshable(self, refresh_token: str) -> Session | None:
        """The session that this refresh token is good for now; None where `refresh` would refuse it.

        A used one counts as worthless, though for its grace period it still gives the successor. Raises
        DenylistUnavailableError where `refresh` does.
        """
        try:
            presented = self._sessions.presented(refresh_token)
            self._require_agreement(presented.session)
        except RefreshRefusedError:
            return None
        granted = self._granted(presented.session)
        if not presented.is_current or not self._sessions.is_alive(presented.session):
            return None
        return None if granted is None else replace(presented.session, scope=granted)

    def _require_agreement(self, session: Session) -> None:
        """Raise DenylistUnavailableError where this process remembers that a session is revoked and Redis does not.

        Either somebody undid it a moment ago, or Redis has lost it: the follower is about to find out. A session that
        was revoked after its token was used up is known to both: it is refused.
        """
        if self._following is None:
            return
        handles = self._sessions.handles(session)
        cutoff, _ = self._following.look_up(handles)
        if not is_cut_off(session.signed_in_ms, cutoff):
            return
        if is_cut_off(session.signed_in_ms, self._denylist.latest_cutoff(handles)):
            raise RefreshRefusedError("revoked")
        raise DenylistUnavailableError("This process remembers a revocation of this session that Redis lacks.")

    def _granted(self, session: Session) -> str | None:
        """The scope that a session has today: no more than its user; None where the account is gone or disabled."""
        user = self._users.get(session.subject)
        if user is None or user.disabled:
            return None
        if user.owes:
            self._settle(user.username)
        return " ".join(sorted(set(session.scope.split(" ")) & set(user.scope.split(" "))))

    def client_credentials(self, client: Client, *, scope: str | None, now_ms: int) -> Tokens:
        """A token for a client of its own; `now_ms` is the time of Redis from before its secret was checked."""
        words = narrowed(scope, granted=client.scope)
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
