"""Passwords: hashed with Argon2id, checked in the same time whether or not there is such a user."""

import re
import threading
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import argon2
from argon2.exceptions import InvalidHashError, VerifyMismatchError

from app.database import InvalidValueError

MIN_CHARACTERS = 8
MAX_CHARACTERS = 1024

#: Of 0 to 4: a million guesses, which is more than the throttle lets through in days (see app/throttle.py).
_LEAST_SCORE: Final = 2

#: zxcvbn takes no more, and needs 0.1 s for so many.
_JUDGED_CHARACTERS: Final = 72

#: zxcvbn keeps the words of the call that runs in a variable of its module.
_JUDGING: Final = threading.Lock()


def normalise(password: str) -> str:
    """The password as it is hashed: keyboards of different systems send the same letters as different characters."""
    return unicodedata.normalize("NFKC", password)


def check_form(password: str) -> None:
    """Raise InvalidValueError for what cannot become a password. Any Unicode may, spaces and NUL included."""
    if not _is_unicode(password):
        raise InvalidValueError("password", "a password is Unicode text; this one has a lone surrogate in it")
    for text in (password, normalise(password)):
        if not MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
            raise InvalidValueError("password", f"a password has {MIN_CHARACTERS} to {MAX_CHARACTERS} characters")


def check_password(password: str, *, username: str) -> None:
    """Raise InvalidValueError also for what somebody would guess soon: common passwords, the user's own name."""
    check_form(password)
    # Its lists of words take a quarter of a second and some memory, which only who sets a password has to spend.
    from zxcvbn import zxcvbn

    names = [username, *re.split(r"[^A-Za-z0-9]+", username)]
    with _JUDGING:
        judged = zxcvbn(normalise(password)[:_JUDGED_CHARACTERS], user_inputs=[name for name in names if name])
    if judged["score"] < _LEAST_SCORE:
        feedback = judged["feedback"]
        why = " ".join(filter(None, (feedback["warning"], *feedback["suggestions"])))
        raise InvalidValueError("password", f"this password is too easy to guess. {why}".rstrip())


@dataclass(frozen=True, slots=True)
class Verification:
    """Whether a password is the right one, and if so, whether its hash was made with other parameters than today's."""

    matches: bool
    rehash_needed: bool = False


class Passwords:
    """Hashes and verifies passwords. None is cut; each is normalised first (NIST SP 800-63B-4, section 3.1.1.2).

    The parameters are those of the OWASP password storage cheat sheet. argon2-cffi's own want 64 MiB and four threads
    for every login, and logins are what an attacker can make many of at once.
    """

    def __init__(self, *, hasher: argon2.PasswordHasher | None = None) -> None:
        self._hasher = hasher or argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)

    def hash(self, password: str, *, username: str) -> str:
        """The hash to store; InvalidValueError for what cannot be this user's password."""
        check_password(password, username=username)
        return self.rehash(password)

    def rehash(self, password: str) -> str:
        """The hash of a password that its user has already, however easy to guess."""
        return self._hasher.hash(normalise(password))

    def verify(self, password: str, *, password_hash: str | None) -> Verification:
        """Compare with a stored hash, or, where there is no user, do the same work for nothing."""
        if len(password) > MAX_CHARACTERS or not _is_unicode(password):
            return Verification(matches=False)  # no user can have such a password
        stand_in = (
            self._stand_in
        )  # the first call of a process makes it, needed or not, so that no later call takes longer
        stored = stand_in if password_hash is None else password_hash
        # Hashes of earlier versions were made of what was typed.
        for text in dict.fromkeys((normalise(password), password)):
            try:
                self._hasher.verify(stored, text)
            except (VerifyMismatchError, InvalidHashError):
                continue
            if password_hash is None:
                break
            renewed = text != normalise(password) or self._hasher.check_needs_rehash(password_hash)
            return Verification(matches=True, rehash_needed=renewed)
        return Verification(matches=False)

    @cached_property
    def _stand_in(self) -> str:
        return self._hasher.hash("nobody has this password, and it would be refused")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
