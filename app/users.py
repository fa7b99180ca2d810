"""Accounts: who may sign in, and with which scope."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.clients import looks_like_client_id
from app.database import Database, InvalidValueError, UserRow
from app.instants import utc_now
from app.passwords import Passwords
from app.scopes import normalise_scope

#: The account that the first start makes.
ADMIN = "admin"

_USERNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


class UserExistsError(Exception):
    """The username is taken, for ever: tokens and revocations name their user by it."""


class UserNotFoundError(LookupError):
    """There is no user of this name."""


@dataclass(frozen=True, slots=True)
class User:
    """An account, without its password. The username is the `sub` of its tokens."""

    username: str
    scope: str
    disabled: bool
    created_at: datetime


class Users:
    """The accounts. Usernames are case-sensitive and never renamed, deleted or given to somebody else."""

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
        except sa.exc.IntegrityError as error:
            raise UserExistsError(f"The username {username} is taken; usernames are never used twice.") from error
        return _user(row)

    def get(self, username: str) -> User | None:
        row = self._row(username)
        return _user(row) if row is not None else None

    def search(self, text: str, *, limit: int) -> tuple[User, ...]:
        """Accounts whose name contains the text in any case, those that begin with it first."""
        contains = UserRow.username.icontains(text, autoescape=True)
        begins = UserRow.username.istartswith(text, autoescape=True)
        query = sa.select(UserRow).where(contains).order_by(begins.desc(), UserRow.username).limit(limit)
        with self._database.reading() as session:
            return tuple(_user(row) for row in session.scalars(query))

    def authenticate(self, username: str, password: str) -> User | None:
        """The user whose password this is; None for a wrong one, an unknown and a disabled user, in the same time.

        Take the time of sign-in before calling this: what is revoked while it runs is then later than the sign-in.
        """
        row = self._row(username)
        verification = self._passwords.verify(password, password_hash=row.password_hash if row is not None else None)
        if row is None or row.disabled or not verification.matches:
            return None
        if verification.rehash_needed:
            self._rehash(row, password)
        return _user(row)

    def change(
        self, username: str, *, password: str | None = None, scope: str | None = None, disabled: bool | None = None
    ) -> User:
        """Change what is given and leave the rest, in one statement; UserNotFoundError if there is no such user.

        Tokens that are out know nothing of it: revoke by subject after this, never before.
        """
        values: dict[str, str | bool] = {}
        if scope is not None:
            values["scope"] = normalise_scope(scope)
        if password is not None:
            values["password_hash"] = self._passwords.hash(password, username=username)
        if disabled is not None:
            values["disabled"] = disabled
        if not values:
            user = self.get(username)
        elif not _USERNAME.fullmatch(username):
            user = None
        else:
            change = sa.update(UserRow).where(UserRow.username == username).values(values).returning(UserRow)
            with self._database.session() as session:
                row = session.scalars(change).one_or_none()
            user = _user(row) if row is not None else None
        if user is None:
            raise UserNotFoundError(f"There is no user {username[:80]!a}.")
        return user

    def _row(self, username: str) -> UserRow | None:
        if not _USERNAME.fullmatch(username):
            return None  # nobody can have this name, and it may be any text: it does not reach SQL
        with self._database.reading() as session:
            return session.get(UserRow, username)

    def _rehash(self, row: UserRow, password: str) -> None:
        # The new hash replaces only the hash that was verified: the password may have been changed since.
        unchanged = (UserRow.username == row.username) & (UserRow.password_hash == row.password_hash)
        with self._database.session() as session:
            session.execute(sa.update(UserRow).where(unchanged).values(password_hash=self._passwords.rehash(password)))


def _check_username(username: str) -> None:
    if not _USERNAME.fullmatch(username):
        raise InvalidValueError(
            "username", "a username has 1 to 64 letters, digits, '.', '_', '@', '+' and '-', a letter or digit first"
        )
    if looks_like_client_id(username):
        raise InvalidValueError("username", "this username could be taken for a client id")


def _user(row: UserRow) -> User:
    return User(username=row.username, scope=row.scope, disabled=row.disabled, created_at=row.created_at)
