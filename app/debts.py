"""Debts: what the deny-list still owes to accounts that have changed.

A change stands in SQL and its revocation in Redis, and no transaction spans both. So the change writes down, in its own
transaction, what is to be revoked for it. Whoever comes first pays: the request that makes the change, the next one for
the same account, whoever signs in or refreshes by the account as it is now, or the DebtPayer of any process. Several
may pay at once, and again after any failure: the cut-off is fixed once, and the deny-list writes the same revocation
once.

The cut-off is the time of Redis when somebody first asks it after the change, which is later than every `iat` that was
handed out to a reader of the account as it was. Who reads the account as it is pays before taking an `iat`, so that no
payment, however late, takes a new session back.
"""

import contextlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from app.audit import Actor
from app.database import Database, DatabaseUnavailableError, DebtRow, InvalidValueError
from app.revocations import Revocations
from app.sessions import Sessions
from revocation import DenylistUnavailableError, Handle, Receipt, RedisDenylist
from revocation.denylist import Note
from revocation.handles import Kind

#: Debts paid in one go; the others have their turn a moment later.
_MOST_AT_ONCE: Final = 100

#: The kinds of handles that stand for an account. Nothing else owes anything, and nobody waits for SQL because of it.
_KINDS: Final = ("subject", "client")

#: What a username or the id of a client can be. Any other text owes nothing, and does not reach SQL.
_VALUE: Final = re.compile(r"[A-Za-z0-9._@+-]{1,64}")


class OwedError(DenylistUnavailableError):
    """An account has changed, and the deny-list or the database did not answer when its tokens were to be revoked."""


@dataclass(frozen=True, slots=True)
class Debt:
    """A revocation that follows from a change that is saved."""

    id: int
    kind: Kind
    value: str
    #: A time of Redis from before the change.
    since_ms: int
    reason: str
    actor: Actor
    ends_sessions: bool


class Debts:
    """Writes down, pays and counts what is owed."""

    def __init__(
        self,
        database: Database,
        denylist: RedisDenylist,
        revocations: Revocations,
        *,
        sessions: Callable[[], Sessions],
        issuer: str,
    ) -> None:
        self._database = database
        self._denylist = denylist
        self._revocations = revocations
        self._sessions = sessions
        self._issuer = issuer

    def owe(
        self, kind: Kind, value: str, *, since_ms: int, reason: str, actor: Actor, ends_sessions: bool = False
    ) -> Debt:
        """Write down, in the transaction of the change, that everything from before it is to be revoked.

        With `ends_sessions` the user's sessions end as well, also for those who undo the revocation. Raises
        InvalidValueError for texts that the deny-list would refuse later.
        """
        try:
            Note(actor=actor.name, reason=reason, address=actor.address).checked()
        except ValueError as error:
            raise InvalidValueError("reason", str(error)) from error
        row = DebtRow(
            kind=kind,
            value=value,
            since_ms=since_ms,
            cutoff_ms=None,
            reason=reason,
            actor=actor.name,
            address=actor.address,
            ends_sessions=ends_sessions,
        )
        with self._database.session() as session:
            session.add(row)
            session.flush()
            return _debt(row)

    def pay(self, debt: Debt) -> Receipt:
        """Revoke what the change takes back. Raises OwedError; then somebody else does it, or whoever asks again."""
        try:
            return self._pay(debt)
        except (DenylistUnavailableError, DatabaseUnavailableError) as error:
            raise OwedError(
                "The change is saved; its tokens are taken back as soon as the deny-list answers. Nobody has to do "
                "anything for that. Sent again, the same request says when it is done."
            ) from error

    def settle(self, kind: Kind, value: str) -> Receipt | None:
        """Pay what is owed for an account before anything else happens to it; the last receipt, None: nothing was.

        Raises OwedError, and then nothing else may happen to the account.
        """
        receipt = None
        if kind not in _KINDS or not _VALUE.fullmatch(value):
            return None
        for debt in self._outstanding(DebtRow.kind == kind, DebtRow.value == value):
            try:
                receipt = self._pay(debt)
            except (DenylistUnavailableError, DatabaseUnavailableError) as error:
                raise OwedError(
                    "An earlier change of this account is saved, and its tokens are taken back as soon as the "
                    "deny-list answers. Nothing else is done for the account until then. Try again."
                ) from error
        return receipt

    def pay_all(self) -> int:
        """Pay what can be paid, and say how much is left. Raises DatabaseUnavailableError."""
        for debt in self._outstanding():
            with contextlib.suppress(DenylistUnavailableError):
                # Nobody reads this receipt, so nobody waits for it.
                self._pay(debt, wait_seconds=0)
        with self._database.reading() as session:
            return session.scalar(sa.select(sa.func.count()).select_from(DebtRow)) or 0

    def _outstanding(self, *conditions: sa.ColumnElement[bool]) -> list[Debt]:
        query = sa.select(DebtRow).where(*conditions).order_by(DebtRow.id).limit(_MOST_AT_ONCE)
        with self._database.reading() as session:
            return [_debt(row) for row in session.scalars(query)]

    def _pay(self, debt: Debt, *, wait_seconds: float | None = None) -> Receipt:
        cutoff_ms = self._cutoff_ms(debt)
        try:
            receipt = self._revocations.revoke(
                Handle(debt.kind, debt.value, issuer=self._issuer),
                reason=debt.reason,
                actor=debt.actor,
                issued_before_ms=cutoff_ms,
                wait_seconds=wait_seconds,
            )
        except InvalidValueError as error:
            # The texts were checked, so it is the cut-off: this Redis has not reached the time of the one before.
            raise DenylistUnavailableError(str(error)) from error
        if debt.ends_sessions:
            self._sessions().end_all(debt.value, signed_in_before_ms=cutoff_ms, reason=debt.reason, actor=debt.actor)
        # What is not crossed out now is paid again, which writes nothing more.
        with self._database.session() as session:
            session.execute(sa.delete(DebtRow).where(DebtRow.id == debt.id))
        return receipt

    def _cutoff_ms(self, debt: Debt) -> int:
        """The one cut-off of this debt, whoever pays."""
        # Later than an `iat` of this very millisecond.
        now_ms = self._denylist.now_ms() + 1
        this = DebtRow.id == debt.id
        with self._database.session() as session:
            session.execute(sa.update(DebtRow).where(this, DebtRow.cutoff_ms.is_(None)).values(cutoff_ms=now_ms))
            cutoff_ms = session.scalar(sa.select(DebtRow.cutoff_ms).where(this))
        # Where somebody else has paid meanwhile, the later cut-off stands, and an earlier one adds nothing to it.
        return debt.since_ms if cutoff_ms is None else cutoff_ms


def _debt(row: DebtRow) -> Debt:
    return Debt(
        id=row.id,
        kind=row.kind,
        value=row.value,
        since_ms=row.since_ms,
        reason=row.reason,
        actor=Actor(row.actor, row.address),
        ends_sessions=row.ends_sessions,
    )
