"""Accounts: everything that an administrator does to users, clients, keys and tokens, over HTTP or at the command line.

An account that changes takes its tokens with it, in one order of steps: pay what an earlier change still owes, ask
Redis, change the account and write down what is owed for that and who did it, in one transaction, pay (app/debts.py).
Redis is asked first, so that a Redis that is down leaves the account as it is; one that goes down after the change owes
the revocation, and nothing else happens to the account until it is made. Whoever signs in after the change does so by
the new state of the account, and stays signed in. Where nothing changes, nothing is revoked.
"""

import contextlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Final, Literal

from app.audit import Actor
from app.clients import FIRST_PARTY, Client, ClientNotFoundError, looks_like_client_id
from app.database import DatabaseUnavailableError, InvalidValueError
from app.debts import Debts
from app.revocations import RevocationNotFoundError, Revocations
from app.sessions import Sessions
from app.stores import Stores
from app.throttle import Throttle
from app.users import Changed, User, UserNotFoundError
from revocation import ConflictError, Handle, Key, Receipt, Revocation
from revocation.denylist import checked_note

#: How many revocations of a batch one call takes back, which is one question each.
_UNDONE_AT_ONCE: Final = 500

#: Who proves an identity here.
Holder = Literal["user", "client"]


class UnknownValueError(LookupError):
    """A handle of this service that names nobody; `reason` is a slug that says what is unknown."""

    def __init__(self, handle: Handle, *, similar: str | None) -> None:
        noun = "user" if handle.kind == "subject" else handle.kind
        self.reason = f"unknown_{noun}"
        hint = f" Did you mean {similar}?" if similar is not None else ""
        super().__init__(f"There is no {noun} {handle.value[:80]}.{hint}")


class ClientClosedError(Exception):
    """Undoing this revocation would bring back the tokens of a client that is disabled or deleted."""

    def __init__(self, client_id: str, state: Literal["disabled", "deleted"]) -> None:
        todo = "enable it first" if state == "disabled" else "they stay revoked"
        super().__init__(f"The client {client_id} is {state}, and this would bring its tokens back: {todo}.")


class Accounts:
    """Users, clients and keys, as administrators change them. Every change is audited with its actor."""

    def __init__(
        self,
        stores: Stores,
        revocations: Revocations,
        debts: Debts,
        *,
        sessions: Callable[[], Sessions],
        throttles: Mapping[Holder, Throttle],
        issuer: str,
    ) -> None:
        self._stores = stores
        self._revocations = revocations
        self._debts = debts
        self._sessions = sessions
        self._throttles = throttles
        self._issuer = issuer

    # Users

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
    ) -> tuple[User, Receipt | None]:
        """Change what is given, and revoke every token of the user; None where there was nothing to revoke.

        An account that is only enabled has no tokens. The sessions of one that is disabled end with it, also for those
        who undo the revocation. Raises UserNotFoundError, LastAdministratorError and InvalidValueError, and OwedError
        where the change is saved and its tokens are revoked later.
        """
        settled = self._debts.settle("subject", username)
        since_ms = self._stores.denylist.now_ms()
        with self._stores.database.session():
            changed = self._stores.users.change(username, password=password, scope=scope, disabled=disabled)
            difference = _difference(changed, is_new_password=password is not None)
            if difference:
                told = ", ".join(f"{name}: {text}" if text else name for name, text in difference.items())
                self._stores.audit.note("user.change", actor=actor, target=username, reason=told)
            if not difference or (set(difference) == {"disabled"} and not changed.after.disabled):
                return changed.after, settled
            debt = self._debts.owe(
                "subject",
                username,
                since_ms=since_ms,
                reason=f"account changed: {', '.join(difference)}",
                actor=actor,
                ends_sessions=changed.after.disabled,
            )
        return changed.after, self._debts.pay(debt)

    def delete_user(self, username: str, *, actor: Actor) -> Receipt:
        """Delete the account, its sessions and what else is known of the person; the name stays taken.

        The audit keeps the name for as long as it keeps its records. Raises UserNotFoundError and
        LastAdministratorError, and OwedError where the account is deleted and its tokens are revoked later.
        """
        settled = self._debts.settle("subject", username)
        since_ms = self._stores.denylist.now_ms()
        try:
            with self._stores.database.session():
                self._stores.users.delete(username)
                self._stores.audit.note("user.delete", actor=actor, target=username)
                debt = self._debts.owe(
                    "subject", username, since_ms=since_ms, reason="account deleted", actor=actor, ends_sessions=True
                )
        except UserNotFoundError:
            if settled is None:
                raise
            # An earlier attempt has deleted it, and this one has taken back its tokens.
            receipt = settled
        else:
            receipt = self._debts.pay(debt)
        self._throttles["user"].lift(username)
        return receipt

    # Clients

    def create_client(self, name: str, *, scope: str, actor: Actor) -> tuple[Client, str]:
        """A new client and its secret, which nobody can read later. Raises InvalidValueError."""
        with self._stores.database.session():
            client, secret = self._stores.clients.create(name, scope=scope)
            self._stores.audit.note(
                "client.create", actor=actor, target=client.client_id, reason=f"name: {name!r}, scope: {client.scope!r}"
            )
        return client, secret

    def change_client(self, client_id: str, *, disabled: bool, actor: Actor) -> tuple[Client, Receipt | None]:
        """Refuse the client from now on and revoke its tokens, or take it again.

        Raises ClientNotFoundError, and OwedError where it is refused and its tokens are revoked later.
        """
        settled = self._debts.settle("client", client_id)
        since_ms = self._stores.denylist.now_ms()
        with self._stores.database.session():
            client, is_new = self._stores.clients.change(client_id, disabled=disabled)
            if is_new:
                action = "client.disable" if disabled else "client.enable"
                self._stores.audit.note(action, actor=actor, target=client_id)
            if not (is_new and disabled):
                return client, settled
            debt = self._debts.owe("client", client_id, since_ms=since_ms, reason="client disabled", actor=actor)
        return client, self._debts.pay(debt)

    def rotate_client_secret(self, client_id: str, *, overlap: timedelta, actor: Actor) -> tuple[Client, str]:
        """The client and its new secret; the one that it had is good for a while. Raises ClientNotFoundError."""
        with self._stores.database.session():
            client, secret = self._stores.clients.rotate_secret(client_id, overlap=overlap)
            told = f"the old secret is good for {overlap.total_seconds():.0f} s"
            self._stores.audit.note("client.secret", actor=actor, target=client_id, reason=told)
        return client, secret

    def delete_client(self, client_id: str, *, actor: Actor) -> Receipt:
        """Delete the client and revoke its tokens.

        Raises ClientNotFoundError, and OwedError where it is deleted and its tokens are revoked later.
        """
        settled = self._debts.settle("client", client_id)
        since_ms = self._stores.denylist.now_ms()
        try:
            with self._stores.database.session():
                client = self._stores.clients.delete(client_id)
                self._stores.audit.note("client.delete", actor=actor, target=client_id, reason=f"name: {client.name!r}")
                debt = self._debts.owe("client", client_id, since_ms=since_ms, reason="client deleted", actor=actor)
        except ClientNotFoundError:
            if settled is None:
                raise
            # An earlier attempt has deleted it, and this one has taken back its tokens.
            receipt = settled
        else:
            receipt = self._debts.pay(debt)
        self._throttles["client"].lift(client_id)
        return receipt

    # Failures

    def lift(self, holder: Holder, name: str, *, actor: Actor) -> None:
        """Let everybody try again to prove that they are this user or client."""
        with self._stores.database.session():
            self._stores.audit.note(f"{holder}.unlock", actor=actor, target=name)
            self._throttles[holder].lift(name)

    def lift_address(self, address: str, *, actor: Actor) -> None:
        """Let everybody at this address try again."""
        with self._stores.database.session():
            self._stores.audit.note("address.unlock", actor=actor, target=address)
            for throttle in self._throttles.values():
                throttle.lift_address(address)

    # Keys

    def rotate_key(self, *, keep_seconds: int, actor: Actor) -> Key:
        """Publish the next key, which signs later; keys whose last token died `keep_seconds` ago go."""
        with self._stores.database.session() as session:
            # A database that does not answer leaves the keys as they are.
            session.connection()
            key = self._stores.keyring.rotate(keep_seconds=keep_seconds)
            self._stores.audit.note("key.rotate", actor=actor, target=key.id)
        return key

    def revoke_key(self, key_id: str, *, reason: str = "key revoked", actor: Actor) -> tuple[bool, Receipt]:
        """Withdraw a key that leaked and revoke what it signed; False where the key is not among the files.

        Redis is not asked first: the withdrawal alone makes this service refuse the key's tokens. The key is revoked
        also where its file is gone: an earlier attempt may have ended between the two steps. Raises InvalidValueError.
        """
        try:
            Handle("key", key_id, issuer=self._issuer)
            checked_note(reason)
        except ValueError as error:
            raise InvalidValueError("key", str(error)) from error
        withdrawn = self._stores.keyring.withdraw(key_id)
        # Another key signs by now, so that this one can be revoked.
        self._stores.announce_keys(issuer=self._issuer)
        handle = Handle("key", key_id, issuer=self._issuer)
        return withdrawn, self._revocations.revoke(handle, reason=reason, actor=actor, action="key.revoke")

    # Revocations by any handle

    def revoke(
        self,
        handle: Handle,
        *,
        reason: str,
        actor: Actor,
        issued_before_ms: int | None = None,
        even_if_unknown: bool = False,
    ) -> Receipt:
        """Revoke by any handle. Raises like `check`, and ConflictError from the deny-list."""
        self.check(handle, issued_before_ms=issued_before_ms, even_if_unknown=even_if_unknown)
        return self._revocations.revoke(handle, reason=reason, actor=actor, issued_before_ms=issued_before_ms)

    def settle(self, username: str) -> None:
        """Take back what an earlier change of this user's account still owes. Raises OwedError."""
        self._debts.settle("subject", username)

    def undo(self, revocation_id: str, *, reason: str, actor: Actor) -> tuple[Revocation, bool]:
        """Take a revocation back; and whether its user is disabled, and so stays out all the same.

        Raises RevocationNotFoundError, ConflictError, InvalidValueError, and ClientClosedError: the tokens of a client
        belong to no session that would have ended.
        """
        handle = self._revocations.get(revocation_id).handle
        self._check_client(handle)
        if handle.issuer == self._issuer:
            # What is owed may be this very revocation, and would be made again: so it is where nobody can be asked.
            with contextlib.suppress(DatabaseUnavailableError):
                self._debts.settle(handle.kind, handle.value)
        revocation = self._revocations.undo(revocation_id, reason=reason, actor=actor)
        return revocation, self._is_disabled(revocation.handle)

    def undo_batch(
        self, batch: str, *, reason: str, actor: Actor, cursor: str | None = None
    ) -> tuple[int, int, str | None]:
        """Take back what was revoked together: how many were, how many cannot be, and the cursor where there are more.

        Raises InvalidValueError, and ValueError for a cursor that did not come from here.
        """
        page = self._stores.denylist.page(matching=lambda one: one.batch == batch, cursor=cursor, limit=_UNDONE_AT_ONCE)
        undone = kept = 0
        for revocation in page.revocations:
            try:
                self._check_client(revocation.handle)
                self._revocations.undo(revocation.id, reason=reason, actor=actor)
            except (ClientClosedError, ConflictError):
                kept += 1
            except RevocationNotFoundError:
                # Somebody else was faster, or it has ended.
                continue
            else:
                undone += 1
        return undone, kept, page.next_cursor

    def check(self, handle: Handle, *, issued_before_ms: int | None, even_if_unknown: bool = False) -> None:
        """Raise an error where this must not be revoked, or not from this cut-off on, or where it names nobody.

        They are SigningKeyError, InvalidValueError and UnknownValueError. A cut-off in the future would lock out users
        who sign in until then; before a cut-off that lies too far back nothing lives that it could concern.
        """
        if handle.kind == "key" and handle.issuer == self._issuer:
            self._stores.announce_keys(issuer=self._issuer)
        self._stores.denylist.signing_keys.protect([handle])
        self._check_cutoff(handle, issued_before_ms)
        if not even_if_unknown and handle.issuer == self._issuer and not self._names_somebody(handle):
            raise UnknownValueError(handle, similar=self._similar(handle))

    def _check_cutoff(self, handle: Handle, issued_before_ms: int | None) -> None:
        if issued_before_ms is None:
            return
        if self._stores.denylist.is_unconditional(handle.kind):
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

    def _names_somebody(self, handle: Handle) -> bool:
        """Whether this service knows what the handle names. Of tokens it keeps nothing."""
        stores, value = self._stores, handle.value
        match handle.kind:
            case "subject":
                return stores.users.get(value) is not None or stores.clients.get(value) is not None
            case "client":
                return value == FIRST_PARTY or stores.clients.get(value) is not None
            case "session":
                return self._sessions().get(value) is not None
            case "key":
                return stores.keyring.source().key_set().find(value) is not None
            case _:
                return True

    def _similar(self, handle: Handle) -> str | None:
        """A user whose name differs in case alone."""
        if handle.kind != "subject" or not handle.value.isprintable():
            return None
        _, found = self._stores.users.search(handle.value, limit=10)
        return next((user.username for user in found if user.username.lower() == handle.value.lower()), None)

    def _check_client(self, handle: Handle) -> None:
        """Raise ClientClosedError for a client of ours that may have no tokens. In its own tokens it is the subject."""
        if handle.issuer != self._issuer or not looks_like_client_id(handle.value) or handle.value == FIRST_PARTY:
            return
        client = self._stores.clients.get(handle.value)
        if client is None or client.disabled:
            raise ClientClosedError(handle.value, "deleted" if client is None else "disabled")

    def _is_disabled(self, handle: Handle) -> bool:
        if handle.issuer != self._issuer or handle.kind != "subject":
            return False
        try:
            user = self._stores.users.get(handle.value)
        except DatabaseUnavailableError:
            # It is undone, whatever the account is.
            return False
        return user is not None and user.disabled


def _difference(changed: Changed, *, is_new_password: bool) -> dict[str, str]:
    """What changed, with its value before and after; of a password nothing but that it is another one."""
    before, after = changed.before, changed.after
    told = {}
    if before.scope != after.scope:
        told["scope"] = f"{before.scope!r} -> {after.scope!r}"
    if before.disabled != after.disabled:
        told["disabled"] = "no -> yes" if after.disabled else "yes -> no"
    return told | ({"password": ""} if is_new_password else {})
