"""Passwords: hashed with Argon2id, checked in the same time whether or not there is such a user."""

from dataclasses import dataclass
from functools import cached_property

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from app.database import InvalidValueError

MIN_CHARACTERS = 8
MAX_CHARACTERS = 1024


def check_password(password: str) -> None:
    """Raise InvalidValueError for what cannot become a password. Any Unicode may, spaces and NUL included."""
    if not MIN_CHARACTERS <= len(password) <= MAX_CHARACTERS:
        raise InvalidValueError("password", f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")
    if not _is_unicode(password):
        raise InvalidValueError("password", "a password is Unicode text; this one has a lone surrogate in it")


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a password is the right one, and if so, whether its hash was made with other parameters than today's."""

    matches: bool
    rehash_needed: bool = False


class Passwords:
    """Hashes and verifies passwords exactly as they were sent: neither cut nor normalised (ASVS 6.2.8, 6.2.9).

    The parameters are those of the OWASP password storage cheat sheet. argon2-cffi's own want 64 MiB and four threads
    for every login, and logins are what an attacker can make many of at once.
    """

    def __init__(self, *, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

    def hash(self, password: str) -> str:
        """The hash to store; InvalidValueError for what cannot be a password."""
        check_password(password)
        return self._hasher.hash(password)

    def verify(self, password: str, *, password_hash: str | None) -> Verification:
        """Compare with a stored hash, or, where there is no user, do the same work for nothing."""
        if len(password) > MAX_CHARACTERS or not _is_unicode(password):
            return Verification(matches=False)  # no user can have such a password
        stand_in = (
            self._stand_in
        )  # the first call of a process makes it, needed or not, so that no later call takes longer
        try:
            self._hasher.verify(stand_in if password_hash is None else password_hash, password)
        except (VerifyMismatchError, InvalidHashError):
            return Verification(matches=False)
        if password_hash is None:
            return Verification(matches=False)
        return Verification(matches=True, rehash_needed=self._hasher.check_needs_rehash(password_hash))

    @cached_property
    def _stand_in(self) -> str:
        return self._hasher.hash("nobody has this password, and it would be refused")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
