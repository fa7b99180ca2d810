"""Accounts: who may sign in, and with which scope."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.clients import looks_like_client_id
from app.database import Database, DebtRow, InvalidValueError, UserRow
from app.instants import utc_now
from app.passwords import Passwords
from app.scopes import ADMIN_SCOPE, normalise_scope

#: The account that the first start makes.
ADMIN = "admin"

#: What stands in place of a name that was deleted, before a hash of it. No name has a colon.
_DELETED = "deleted:"

_MAX_CHARACTERS = 64

_USERNAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._@+-]{{0,{_MAX_CHARACTERS - 1}}}")


class UserExistsError(Exception):
    """The username is taken, for ever: tokens and revocations name their user by it."""


class UserNotFoundError(LookupError):
    """There is no user of this name."""


class LastAdministratorError(Exception):
    """Without this account nobody could administer any more."""

    def __init__(self, username: str) -> None:
        super().__init__(
            f"{username} is the last account that may administer: give another one the scope {ADMIN_SCOPE} first."
        )


@dataclass(frozen=True, slots=True)
class User:
    """An account, without its password. The username is the `sub` of its tokens."""

    username: str
    scope: str
    disabled: bool
    created_at: datetime
    #: Whether tokens from before its last change are still to be taken back, see app/debts.py; `get` and `authenticate`
    #: tell.
    owes: bool = False

    @property
    def administers(self) -> bool:
        """Whether it may sign in and administer."""
        return not self.disabled and ADMIN_SCOPE in self.scope.split()


@dataclass(frozen=True, slots=True)
class Changed:
    """An account before and after a change."""

    before: User
    after: User


class Users:
    """The accounts. Usernames are case-sensitive, never renamed, and never given to somebody else.

    One account that may administer is always left. Of a deleted account a hash of its name stays, by which the name is
    known to be taken.
    """

    def __init__(
        self,
        database: Database,
        *,
        passwords: Passwords | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self._database = database
        self._passwords = passwords or Passwords()
        self._clock = clock

    def create(self, username: str, *, password: str, scope: str) -> User:
        """A new account; UserExistsError if the name was ever used, InvalidValueError for what cannot be stored."""
        _check_username(username)
        row = UserRow(
            username=username,
            scope=normalise_scope(scope),
            password_hash=self._passwords.hash(password, username=username),
            disabled=False,
            created_at=self._clock(),
        )
        try:
            with self._database.session() as session:
                session.add(row)
                session.flush()
                # The name is there now, so that nobody can delete it between this question and the end.
                if session.get(UserRow, _tombstone(username)) is not None:
                    raise _taken(username)
        except sa.exc.IntegrityError as error:
            raise _taken(username) from error
        return _user(row)

    def get(self, username: str) -> User | None:
        row, owes = self._read(username)
        return _user(row, owes=owes) if row is not None else None

    def search(self, text: str, *, limit: int, skip: int = 0) -> tuple[int, tuple[User, ...]]:
        """How many accounts have a name that contains the text in any case, and a page, first those that begin so."""
        contains = UserRow.username.icontains(text, autoescape=True)
        begins = UserRow.username.istartswith(text, autoescape=True)
        query = sa.select(UserRow).where(contains, _THERE).order_by(begins.desc(), UserRow.username)
        number = sa.select(sa.func.count()).select_from(UserRow).where(contains, _THERE)
        with self._database.reading() as session:
            found = tuple(_user(row) for row in session.scalars(query.offset(skip).limit(limit)))
            return session.scalar(number) or 0, found

    def page(self, *, after: str = "", limit: int, disabled: bool | None = None) -> tuple[User, ...]:
        """The accounts whose names follow a name, in the order of the names; of all, or of those (not) disabled.

        Raises InvalidValueError for what is no name.
        """
        if after and not _USERNAME.fullmatch(after):
            raise InvalidValueError("cursor", "this is not a cursor from an earlier page; leave it out to start anew")
        query = sa.select(UserRow).where(_THERE, UserRow.username > after).order_by(UserRow.username).limit(limit)
        if disabled is not None:
            query = query.where(UserRow.disabled == disabled)
        with self._database.reading() as session:
            return tuple(_user(row) for row in session.scalars(query))

    def authenticate(self, username: str, password: str) -> User | None:
        """The user whose password this is; None for a wrong one, an unknown and a disabled user, in the same time.

        Take the time of sign-in before calling this: what is revoked while it runs is then later than the sign-in.
        """
        row, owes = self._read(username)
        verification = self._passwords.verify(password, password_hash=row.password_hash if row is not None else None)
        if row is None or row.disabled or not verification.matches:
            return None
        if verification.rehash_needed:
            self._rehash(row, password)
        return _user(row, owes=owes)

    def change(
        self, username: str, *, password: str | None = None, scope: str | None = None, disabled: bool | None = None
    ) -> Changed:
        """Change what is given and leave the rest. Raises UserNotFoundError, LastAdministratorError, InvalidValueError.

        Tokens that are out know nothing of it: revoke by subject after this, never before.
        """
        values: dict[str, str | bool] = {}
        if scope is not None:
            values["scope"] = normalise_scope(scope)
        if password is not None:
            values["password_hash"] = self._passwords.hash(password, username=username)
        if disabled is not None:
            values["disabled"] = disabled
        with self._database.session() as session:
            row = self._locked(session, username)
            before = _user(row)
            for name, value in values.items():
                setattr(row, name, value)
            self._keep_an_administrator(session, before, _user(row))
        return Changed(before, _user(row))

    def delete(self, username: str) -> None:
        """Delete an account: its name stays taken. Raises UserNotFoundError and LastAdministratorError."""
        with self._database.session() as session:
            row = self._locked(session, username)
            before = _user(row)
            row.username, row.password_hash, row.scope, row.disabled = _tombstone(username), "", "", True
            self._keep_an_administrator(session, before, _user(row))

    def _locked(self, session: Session, username: str) -> UserRow:
        """The row of an account, which nobody else changes until the transaction ends."""
        # The administrators first, in one order: two that disable each other would wait for each other.
        administrators = sa.select(UserRow.username).where(_ADMINISTERS).order_by(UserRow.username).with_for_update()
        session.scalars(administrators).all()
        row = session.get(UserRow, username, with_for_update=True) if _USERNAME.fullmatch(username) else None
        if row is None:
            raise UserNotFoundError(f"There is no user {username[:80]!a}.")
        return row

    def _keep_an_administrator(self, session: Session, before: User, after: User) -> None:
        if before.administers and not after.administers:
            session.flush()
            if session.scalar(sa.select(sa.func.count()).where(_ADMINISTERS)) == 0:
                raise LastAdministratorError(before.username)

    def _read(self, username: str) -> tuple[UserRow | None, bool]:
        """A row, and whether the account owes, as of the same instant."""
        if not _USERNAME.fullmatch(username):
            return None, False  # nobody can have this name, and it may be any text: it does not reach SQL
        with self._database.reading() as session:
            found = session.execute(sa.select(UserRow, _OWES).where(UserRow.username == username)).one_or_none()
        return (None, False) if found is None else (found[0], found[1])

    def _rehash(self, row: UserRow, password: str) -> None:
        # The new hash replaces only the hash that was verified: the password may have been changed since.
        unchanged = (UserRow.username == row.username) & (UserRow.password_hash == row.password_hash)
        with self._database.session() as session:
            session.execute(sa.update(UserRow).where(unchanged).values(password_hash=self._passwords.rehash(password)))


#: Accounts that were not deleted; accounts that may sign in and administer.
_THERE = ~UserRow.username.startswith(_DELETED)
_ADMINISTERS = ~UserRow.disabled & (" " + UserRow.scope + " ").contains(f" {ADMIN_SCOPE} ", autoescape=True)

_OWES = sa.exists().where(DebtRow.kind == "subject", DebtRow.value == UserRow.username)


def _tombstone(username: str) -> str:
    """What stands in place of a deleted name: as long as a name may be, and none."""
    return _DELETED + hashlib.sha256(username.encode()).hexdigest()[: _MAX_CHARACTERS - len(_DELETED)]


def _taken(username: str) -> UserExistsError:
    return UserExistsError(f"The username {username} is taken; usernames are never used twice.")


def _check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise InvalidValueError(
            "username", "a username has 1 to 64 letters, digits, '.', '_', '@', '+' and '-', a letter or digit first"
        )
    if looks_like_client_id(username):
        raise InvalidValueError("username", "this username could be taken for a client id")


def _user(row: UserRow, *, owes: bool = False) -> User:
    return User(username=row.username, scope=row.scope, disabled=row.disabled, created_at=row.created_at, owes=owes)
