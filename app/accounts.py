"""Accounts: everything that an administrator does to users, clients, keys and tokens, over HTTP or at the command line.

An account that changes takes its tokens with it, in one order of steps: ask Redis, change the account and tell the
audit in one transaction, revoke. Redis is asked first, so that a Redis that is down leaves the account as it is. The
revocation comes after the change: whoever signs in from then on does so by the new state of the account, and stays
signed in.
"""

from collections.abc import Callable

from app.audit import Actor
from app.clients import Client
from app.database import DatabaseUnavailableError, InvalidValueError
from app.revocations import Revocations
from app.sessions import Sessions
from app.stores import Stores
from app.users import User
from revocation import Handle, Key, KeySet, Receipt, Revocation
from revocation.handles import Kind


class SigningKeyError(Exception):
    """The key signs now or will sign: without it nobody could sign in."""

    def __init__(self) -> None:
        super().__init__("This key signs, or will: `python -m app keys revoke` replaces it first.")


class Accounts:
    """Users, clients and keys, as administrators change them. Every change is audited with its actor."""

    def __init__(
        self,
        stores: Stores,
        revocations: Revocations,
        *,
        sessions: Callable[[], Sessions],
        keys: Callable[[], KeySet],
        issuer: str,
    ) -> None:
        self._stores = stores
        self._revocations = revocations
        self._sessions = sessions
        self._keys = keys
        self._issuer = issuer

    def create_user(self, username: str, *, password: str, scope: str, actor: Actor) -> User:
        """A new user. Raises UserExistsError and InvalidValueError."""
        with self._stores.database.session():
            user = self._stores.users.create(username, password=password, scope=scope)
            self._stores.audit.note("user.create", actor=actor, target=username, reason=f"scope: {user.scope!r}")
        return user

    def change_user(
        self,
        username: str,
        *,
        password: str | None = None,
        scope: str | None = None,
        disabled: bool | None = None,
        actor: Actor,
    ) -> tuple[User, Receipt]:
        """Change what is given, and revoke every token of the user. Raises UserNotFoundError and InvalidValueError.

        The sessions of an account that is disabled end with it, also for those who undo the revocation.
        """
        changes = {"password": password, "scope": scope, "disabled": disabled}
        names = ", ".join(name for name, value in changes.items() if value is not None)
        reason = f"account changed: {names}"
        self._stores.denylist.now_ms()
        with self._stores.database.session():
            before = self._stores.users.get(username)
            user = self._stores.users.change(username, password=password, scope=scope, disabled=disabled)
            self._stores.audit.note(
                "user.change", actor=actor, target=username, reason=_difference(before or user, user, password)
            )
        receipt = self._revoke("subject", username, reason=reason, actor=actor)
        if user.disabled:
            self._sessions().end_all(username, reason=reason, actor=actor)
        return user, receipt

    def create_client(self, name: str, *, scope: str, actor: Actor) -> tuple[Client, str]:
        """A new client and its secret, which nobody can read later. Raises InvalidValueError."""
        with self._stores.database.session():
            client, secret = self._stores.clients.create(name, scope=scope)
            self._stores.audit.note(
                "client.create", actor=actor, target=client.client_id, reason=f"name: {name!r}, scope: {client.scope!r}"
            )
        return client, secret

    def disable_client(self, client_id: str, *, actor: Actor) -> tuple[Client, Receipt]:
        """Refuse the client from now on, and revoke its tokens. Raises ClientNotFoundError."""
        self._stores.denylist.now_ms()
        with self._stores.database.session():
            client = self._stores.clients.disable(client_id)
            self._stores.audit.note("client.disable", actor=actor, target=client_id)
        return client, self._revoke("client", client_id, reason="client disabled", actor=actor)

    def rotate_key(self, *, keep_seconds: int, actor: Actor) -> Key:
        """Publish the next key, which signs later; keys whose last token died `keep_seconds` ago go."""
        with self._stores.database.session() as session:
            # A database that does not answer leaves the keys as they are.
            session.connection()
            key = self._stores.keyring.rotate(keep_seconds=keep_seconds)
            self._stores.audit.note("key.rotate", actor=actor, target=key.id)
        return key

    def revoke_key(self, key_id: str, *, actor: Actor) -> tuple[bool, Receipt]:
        """Withdraw a key that leaked and revoke what it signed; False where the key is not among the files.

        Redis is not asked first: the withdrawal alone makes this service refuse the key's tokens. The key is revoked
        also where its file is gone: an earlier attempt may have ended between the two steps.
        """
        withdrawn = self._stores.keyring.withdraw(key_id)
        # Another key signs by now, so that this one can be revoked.
        self._stores.announce_keys(issuer=self._issuer)
        return withdrawn, self._revoke("key", key_id, reason="key revoked", actor=actor, action="key.revoke")

    def revoke(self, handle: Handle, *, reason: str, actor: Actor, issued_before_ms: int | None = None) -> Receipt:
        """Revoke by any handle. Raises like `check`, and ConflictError from the deny-list."""
        self.check(handle, issued_before_ms=issued_before_ms)
        return self._revocations.revoke(handle, reason=reason, actor=actor, issued_before_ms=issued_before_ms)

    def undo(self, revocation_id: str, *, reason: str, actor: Actor) -> tuple[Revocation, bool]:
        """Take a revocation back; and whether its user or client is disabled, and so stays out all the same.

        Raises RevocationNotFoundError, ConflictError and InvalidValueError.
        """
        revocation = self._revocations.undo(revocation_id, reason=reason, actor=actor)
        return revocation, self._is_disabled(revocation.handle)

    def check(self, handle: Handle, *, issued_before_ms: int | None) -> None:
        """Raise SigningKeyError or InvalidValueError where this must not be revoked, or not from this cut-off on.

        A cut-off in the future would lock out users who sign in until then; before a cut-off that lies too far back
        nothing lives that it could concern.
        """
        if handle.kind == "key" and self._signs_now_or_later(handle.value):
            raise SigningKeyError
        if issued_before_ms is None:
            return
        if handle.unconditional:
            raise InvalidValueError(
                "issued_before", f"Revoking a {handle.kind} is unconditional: leave issued_before out."
            )
        now_ms = self._stores.denylist.now_ms()
        if issued_before_ms > now_ms:
            raise InvalidValueError("issued_before", "issued_before lies in the future.")
        if issued_before_ms < now_ms - self._stores.denylist.lifetimes.entry_ms(handle.kind):
            raise InvalidValueError(
                "issued_before", "issued_before lies so far back that nothing from before it lives."
            )

    def _revoke(
        self, kind: Kind, value: str, *, reason: str, actor: Actor, action: str = "revocation.create"
    ) -> Receipt:
        return self._revocations.revoke(
            Handle(kind, value, issuer=self._issuer), reason=reason, actor=actor, action=action
        )

    def _is_disabled(self, handle: Handle) -> bool:
        if handle.issuer != self._issuer or handle.kind not in ("subject", "client"):
            return False
        try:
            account = self._stores.clients.get(handle.value) or self._stores.users.get(handle.value)
        except DatabaseUnavailableError:
            # It is undone, whatever the account is.
            return False
        return account is not None and account.disabled

    def _signs_now_or_later(self, key_id: str) -> bool:
        keys = self._keys()
        key = keys.find(key_id, "")
        return key is not None and key.signing is not None and key.signs_from >= keys.signing_key().signs_from


def _difference(before: User, after: User, password: str | None) -> str:
    """What changed, with its value before and after; of a password nothing but that it is another one."""
    values = {
        "scope": (before.scope, after.scope),
        "disabled": ("yes" if before.disabled else "no", "yes" if after.disabled else "no"),
    }
    changed = [f"{name}: {old!r} -> {new!r}" for name, (old, new) in values.items() if old != new]
    return ", ".join([*changed, *(["password"] if password is not None else [])]) or "nothing"
