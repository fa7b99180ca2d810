"""Clients of the token endpoint: programs that may ask for tokens of their own, introspect and revoke."""

import hashlib
import hmac
import re
import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from app.database import ClientRow, Database, InvalidValueError
from app.instants import utc_now
from app.scopes import normalise_scope
from revocation.defaults import DAY_SECONDS

#: The public client of login tokens: it has no secret and no row.
FIRST_PARTY = "first-party"

#: For how long an old secret is good beside a new one, and for how long at the most.
OVERLAP_SECONDS: Final = DAY_SECONDS
MAX_OVERLAP_SECONDS: Final = 31 * DAY_SECONDS

_MAX_NAME_CHARACTERS = 100
_ID_PREFIX = "client"
_ID_CHARACTERS = 24
_SECRET_CHARACTERS = 43  # of 62: 256 bits

_CLIENT_ID = re.compile(rf"{_ID_PREFIX}[a-z0-9]{{{_ID_CHARACTERS}}}")
_NO_SECRET_HASH = "0" * 64  # no known text has this SHA-256


class ClientNotFoundError(LookupError):
    """There is no client of this id."""


@dataclass(frozen=True, slots=True)
class Client:
    """A confidential client, without its secret."""

    client_id: str
    name: str
    scope: str
    disabled: bool
    created_at: datetime


def looks_like_client_id(value: str) -> bool:
    """Whether a person or a machine could take this for a client (RFC 9700, section 4.15)."""
    return _CLIENT_ID.fullmatch(value.lower()) is not None or value.lower() == FIRST_PARTY


class Clients:
    """The registered clients.

    A secret is 256 random bits, not a word that somebody chose: nobody can guess it from its SHA-256, and checking it
    costs a microsecond where Argon2 would make every call of the token endpoint pay for a password.
    """

    def __init__(self, database: Database, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._database = database
        self._clock = clock

    def create(self, name: str, *, scope: str) -> tuple[Client, str]:
        """A new client and its secret, which is shown once: only its hash is stored."""
        if not (1 <= len(name) <= _MAX_NAME_CHARACTERS and name.isprintable() and name.strip() == name):
            raise InvalidValueError(
                "name", f"a name has 1 to {_MAX_NAME_CHARACTERS} printable characters, without spaces around it"
            )
        scope = normalise_scope(scope)
        client_id = _ID_PREFIX + _random(string.ascii_lowercase + string.digits, _ID_CHARACTERS)
        secret = _random(string.ascii_letters + string.digits, _SECRET_CHARACTERS)
        row = ClientRow(
            client_id=client_id,
            name=name,
            secret_hash=_secret_hash(secret),
            scope=scope,
            disabled=False,
            created_at=self._clock(),
        )
        with self._database.session() as session:
            session.add(row)
        return _client(row), secret

    def authenticate(self, client_id: str, secret: str) -> Client | None:
        """The client whose secret this is; None for a wrong one, an unknown and a disabled client, in the same time."""
        row = self._row(client_id)
        stored = row.secret_hash if row is not None else _NO_SECRET_HASH
        previous = row.previous_secret_hash if row is not None and self._has_previous(row) else None
        hashed = _secret_hash(secret)
        matches = hmac.compare_digest(hashed, stored) | hmac.compare_digest(hashed, previous or _NO_SECRET_HASH)
        return _client(row) if row is not None and matches and not row.disabled else None

    def get(self, client_id: str) -> Client | None:
        row = self._row(client_id)
        return _client(row) if row is not None else None

    def list(self) -> tuple[Client, ...]:
        """All clients, the oldest first."""
        with self._database.reading() as session:
            rows = session.scalars(sa.select(ClientRow).order_by(ClientRow.created_at, ClientRow.client_id))
            return tuple(_client(row) for row in rows)

    def page(self, *, after: str = "", limit: int) -> tuple[Client, ...]:
        """The clients whose ids follow an id, in the order of the ids. InvalidValueError for what is no id."""
        if after and not _CLIENT_ID.fullmatch(after):
            raise InvalidValueError("cursor", "this is not a cursor from an earlier page; leave it out to start anew")
        query = sa.select(ClientRow).where(ClientRow.client_id > after).order_by(ClientRow.client_id).limit(limit)
        with self._database.reading() as session:
            return tuple(_client(row) for row in session.scalars(query))

    def search(self, text: str, *, limit: int, skip: int = 0) -> tuple[int, tuple[Client, ...]]:
        """How many clients have a name or id that contains the text in any case, and some, in the order of names."""
        columns = (ClientRow.name, ClientRow.client_id)
        contains = sa.or_(*(column.icontains(text, autoescape=True) for column in columns))
        query = sa.select(ClientRow).where(contains).order_by(ClientRow.name, ClientRow.client_id)
        number = sa.select(sa.func.count()).select_from(ClientRow).where(contains)
        with self._database.reading() as session:
            found = tuple(_client(row) for row in session.scalars(query.offset(skip).limit(limit)))
            return session.scalar(number) or 0, found

    def change(self, client_id: str, *, disabled: bool) -> tuple[Client, bool]:
        """Refuse the client from now on, or no longer; and whether that is new. Raises ClientNotFoundError.

        Its tokens live until they are revoked.
        """
        with self._database.session() as session:
            row = self._locked(session, client_id)
            is_new, row.disabled = row.disabled != disabled, disabled
        return _client(row), is_new

    def rotate_secret(self, client_id: str, *, overlap: timedelta) -> tuple[Client, str]:
        """The client and a new secret; the one that it had is good for a while. Raises ClientNotFoundError."""
        secret = _random(string.ascii_letters + string.digits, _SECRET_CHARACTERS)
        with self._database.session() as session:
            row = self._locked(session, client_id)
            row.previous_secret_hash, row.previous_secret_until = row.secret_hash, self._clock() + overlap
            row.secret_hash = _secret_hash(secret)
        return _client(row), secret

    def delete(self, client_id: str) -> Client:
        """Delete the client: nobody will have its id again. Raises ClientNotFoundError."""
        with self._database.session() as session:
            row = self._locked(session, client_id)
            session.delete(row)
        return _client(row)

    def _has_previous(self, row: ClientRow) -> bool:
        return row.previous_secret_until is not None and self._clock() < row.previous_secret_until

    def _locked(self, session: Session, client_id: str) -> ClientRow:
        row = session.get(ClientRow, client_id, with_for_update=True) if _CLIENT_ID.fullmatch(client_id) else None
        if row is None:
            raise ClientNotFoundError(f"There is no client {client_id[:80]!a}.")
        return row

    def _row(self, client_id: str) -> ClientRow | None:
        if not _CLIENT_ID.fullmatch(client_id):
            return None  # nobody can have this id, and it may be any text: it does not reach SQL
        with self._database.reading() as session:
            return session.get(ClientRow, client_id)


def _random(alphabet: str, length: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _secret_hash(secret: str) -> str:
    # With surrogatepass any text that a client sends is a wrong secret, and no exception.
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def _client(row: ClientRow) -> Client:
    return Client(
        client_id=row.client_id, name=row.name, scope=row.scope, disabled=row.disabled, created_at=row.created_at
    )
