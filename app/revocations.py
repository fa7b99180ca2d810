"""Revocations: everything that the service takes back.

Who, why, from where and by which act stand in the deny-list's log, from which AuditCopier brings them into the audit.
"""

import re

from app.audit import Actor
from app.database import InvalidValueError
from revocation import Claims, Handle, Receipt, RedisDenylist, Revocation

#: Nineteen digits always fit into 64 bits, and Redis takes no more.
_ID = re.compile(r"[0-9]{1,19}-[0-9]{1,19}-[0-9a-f]{8}")


class RevocationNotFoundError(LookupError):
    """No revocation of this id is in force."""

    def __init__(self) -> None:
        super().__init__("No such revocation is in force: unknown, expired, or undone.")


class Revocations:
    """Revokes and undoes on the deny-list, for users, clients and administrators alike."""

    def __init__(self, denylist: RedisDenylist) -> None:
        self._denylist = denylist

    def revoke_token(self, claims: Claims, *, reason: str, actor: Actor, action: str) -> Receipt:
        """Revoke one token, whose holder asks for it.

        A token that is dead or was revoked so already leaves no second trace: its holder can ask as often as they like.
        """
        return self._denylist.revoke(
            Handle.token(claims), reason=reason, actor=actor.name, address=actor.address, action=action
        )

    def revoke(
        self,
        handle: Handle,
        *,
        reason: str,
        actor: Actor,
        action: str = "revocation.create",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Revoke. Raises InvalidValueError, and ConflictError from the deny-list."""
        try:
            return self._denylist.revoke(
                handle,
                reason=reason,
                actor=actor.name,
                address=actor.address,
                action=action,
                issued_before_ms=issued_before_ms,
                wait_seconds=wait_seconds,
            )
        except ValueError as error:
            raise InvalidValueError("revocation", str(error)) from error

    def undo(self, revocation_id: str, *, reason: str, actor: Actor) -> Revocation:
        """Take exactly this revocation back, and return what it was. Raises RevocationNotFoundError, ConflictError."""
        revocation = self.get(revocation_id)
        try:
            undone = self._denylist.undo(revocation_id, reason=reason, actor=actor.name, address=actor.address)
        except ValueError as error:
            raise InvalidValueError("reason", str(error)) from error
        if not undone:
            raise RevocationNotFoundError
        return revocation

    def get(self, revocation_id: str) -> Revocation:
        """The revocation in force with this id, or RevocationNotFoundError."""
        revocation = self.find(revocation_id)
        if revocation is None:
            raise RevocationNotFoundError
        return revocation

    def find(self, text: str) -> Revocation | None:
        """The revocation in force that has this text as its id."""
        return self._denylist.find(text) if _ID.fullmatch(text) else None

    def find_with_others(self, text: str) -> tuple[Revocation, tuple[Revocation, ...]] | None:
        """The same, and all that are in force of its handle."""
        return self._denylist.find_with_others(text) if _ID.fullmatch(text) else None

    def of_handle(self, handle: Handle) -> tuple[Revocation, ...]:
        """The revocations in force of exactly this handle, newest first."""
        return tuple(reversed(self._denylist.of_handle(handle)))
