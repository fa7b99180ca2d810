import unicodedata
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import Literal

import argon2
import pytest
import sqlalchemy as sa

from app.clients import FIRST_PARTY
from app.database import Database, DatabaseUnavailableError, InvalidValueError, UserRow
from app.passwords import MAX_CHARACTERS, Passwords, Verification, check_password
from app.users import Changed, User, UserExistsError, UserNotFoundError, Users

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
PASSWORD = "correct horse battery staple"

#: A password as long as one may be.
TAIL = (PASSWORD * 40)[:MAX_CHARACTERS]

Form = Literal["NFC", "NFD", "NFKC", "NFKD"]


class CountingHasher(argon2.PasswordHasher):
    """A quick hasher that keeps which hashes it was asked to verify."""

    def __init__(self, *, time_cost: int = 1) -> None:
        super().__init__(time_cost=time_cost, memory_cost=8, parallelism=1)
        self.verified: list[str] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002  # its name in argon2
        self.verified.append(str(hash))
        return super().verify(hash, password)


@pytest.fixture
def hasher() -> CountingHasher:
    return CountingHasher()


@pytest.fixture
def users(database: Database, hasher: CountingHasher) -> Users:
    return Users(database, passwords=Passwords(hasher=hasher), clock=lambda: NOON)


def stored_hash(database: Database, username: str) -> str:
    with database.reading() as session:
        return session.get_one(UserRow, username).password_hash


def test_a_user_comes_back_as_created(users: Users) -> None:
    user = users.create("ada", password=PASSWORD, scope="reports:read me")

    assert user == User(username="ada", scope="me reports:read", disabled=False, created_at=NOON)
    assert users.get("ada") == user
    assert users.authenticate("ada", PASSWORD) == user


def test_a_username_is_case_sensitive(users: Users) -> None:
    users.create("ada", password=PASSWORD, scope="")
    users.create("Ada", password=PASSWORD + "!", scope="")

    assert users.authenticate("Ada", PASSWORD) is None
    assert users.get("ADA") is None


@pytest.mark.parametrize("username", ["a", "9", "Ada.Lovelace_1815+x@example-1.org", "a" * 64, "clients", "client"])
def test_usernames_that_are_accepted(users: Users, username: str) -> None:
    assert users.create(username, password=PASSWORD, scope="").username == username


@pytest.mark.parametrize(
    "username",
    [
        *(
            "",
            " ",
            ".ada",
            "-ada",
            "@ada",
            "ada lovelace",
            "ada\n",
            "ada\0",
            "ädä",
            "a" * 65,
            "a/b",
            "a:b",
            "\ud800",
            "\u0661",
        ),
        *(FIRST_PARTY, FIRST_PARTY.upper(), "client" + "a1" * 12, "CLIENT" + "A1" * 12),
    ],
)
def test_usernames_that_are_refused(users: Users, username: str) -> None:
    with pytest.raises(InvalidValueError, match="username") as caught:
        users.create(username, password=PASSWORD, scope="")

    assert caught.value.field == "username"
    assert users.get(username) is None
    assert users.authenticate(username, PASSWORD) is None
    for disabled in (True, None):
        with pytest.raises(UserNotFoundError):
            users.change(username, disabled=disabled)


def test_a_username_is_never_used_twice(users: Users) -> None:
    users.create("ada", password=PASSWORD, scope="")
    users.change("ada", disabled=True)

    with pytest.raises(UserExistsError, match="ada"):
        users.create("ada", password=PASSWORD, scope="")


def test_of_twenty_threads_that_create_one_user_exactly_one_succeeds(database: Database) -> None:
    users = Users(database, passwords=Passwords(hasher=CountingHasher()))
    start = Barrier(20)

    def create(number: int) -> int | None:
        start.wait(30)
        try:
            users.create("ada", password=f"{PASSWORD} {number}", scope="")
        except UserExistsError:
            return None
        return number

    with ThreadPoolExecutor(20) as pool:
        winners = [number for number in pool.map(create, range(20)) if number is not None]

    assert len(winners) == 1
    assert users.authenticate("ada", f"{PASSWORD} {winners[0]}") is not None


def test_the_wrong_password_is_refused(users: Users) -> None:
    users.create("ada", password=PASSWORD, scope="")

    for wrong in ("", PASSWORD.upper(), PASSWORD + " ", PASSWORD[:-1], PASSWORD + "\0", "\ud800" * 8, "x" * 5000):
        assert users.authenticate("ada", wrong) is None


def test_a_disabled_user_is_refused_until_enabled(users: Users) -> None:
    users.create("ada", password=PASSWORD, scope="")

    assert users.change("ada", disabled=True).after.disabled
    assert users.authenticate("ada", PASSWORD) is None
    assert not users.change("ada", disabled=False).after.disabled
    assert users.authenticate("ada", PASSWORD) is not None


@pytest.mark.parametrize("username", ["ada", "disabled", "nobody", "not a username", "x\0", FIRST_PARTY])
def test_every_attempt_is_one_verification_with_the_same_parameters(
    database: Database, hasher: CountingHasher, username: str
) -> None:
    users = Users(database, passwords=Passwords(hasher=hasher))
    users.create("ada", password=PASSWORD, scope="")
    users.create("disabled", password=PASSWORD, scope="")
    users.change("disabled", disabled=True)

    assert users.authenticate(username, "wrong password") is None

    (verified,) = hasher.verified
    assert argon2.extract_parameters(verified) == argon2.extract_parameters(stored_hash(database, "ada"))


def test_the_stand_in_of_unknown_users_is_made_once(users: Users, hasher: CountingHasher) -> None:
    for attempt in range(3):
        users.authenticate(f"nobody{attempt}", PASSWORD)

    assert len(set(hasher.verified)) == 1


def test_knowing_the_text_of_the_stand_in_opens_nothing(users: Users) -> None:
    assert users.authenticate("nobody", "nobody has this password, and it would be refused") is None


def test_a_hash_with_old_parameters_is_renewed_at_sign_in(database: Database) -> None:
    Users(database, passwords=Passwords(hasher=CountingHasher(time_cost=1))).create("ada", password=PASSWORD, scope="")
    users = Users(database, passwords=Passwords(hasher=CountingHasher(time_cost=2)))

    assert users.authenticate("ada", "wrong password") is None
    assert argon2.extract_parameters(stored_hash(database, "ada")).time_cost == 1

    assert users.authenticate("ada", PASSWORD) is not None
    renewed = stored_hash(database, "ada")
    assert argon2.extract_parameters(renewed).time_cost == 2

    assert users.authenticate("ada", PASSWORD) is not None
    assert stored_hash(database, "ada") == renewed


def test_renewing_a_hash_does_not_bring_back_a_password_changed_meanwhile(database: Database) -> None:
    class ChangesMeanwhile(Passwords):
        def verify(self, password: str, *, password_hash: str | None) -> Verification:
            verification = super().verify(password, password_hash=password_hash)
            old.change("ada", password="another password")
            return verification

    old = Users(database, passwords=Passwords(hasher=CountingHasher(time_cost=1)))
    old.create("ada", password=PASSWORD, scope="")

    Users(database, passwords=ChangesMeanwhile(hasher=CountingHasher(time_cost=2))).authenticate("ada", PASSWORD)

    assert old.authenticate("ada", PASSWORD) is None
    assert old.authenticate("ada", "another password") is not None


def test_a_change_leaves_the_rest(users: Users) -> None:
    created = users.create("ada", password=PASSWORD, scope="me")

    assert users.change("ada", scope="me reports:read").after.scope == "me reports:read"
    changed = users.change("ada", password="another password").after

    assert changed == User(username="ada", scope="me reports:read", disabled=False, created_at=created.created_at)
    assert users.authenticate("ada", PASSWORD) is None
    assert users.authenticate("ada", "another password") == changed
    assert users.change("ada") == Changed(changed, changed)


def test_a_refused_change_changes_nothing(users: Users) -> None:
    user = users.create("ada", password=PASSWORD, scope="me")

    with pytest.raises(InvalidValueError, match="characters"):
        users.change("ada", scope="other", disabled=True, password="short")

    assert users.get("ada") == user


def test_changing_nobody_is_an_error(users: Users) -> None:
    with pytest.raises(UserNotFoundError, match="ada"):
        users.change("ada", disabled=True)


def test_passwords_are_stored_as_argon2id_with_the_recommended_parameters(database: Database) -> None:
    Users(database).create("ada", password=PASSWORD, scope="")

    assert stored_hash(database, "ada").startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert Users(database).authenticate("ada", PASSWORD) is not None


@pytest.mark.parametrize(
    "password",
    ["x7!Kq_2v", TAIL[:64], TAIL, "пароль-пароль", "🔑🚪🏠🌍🦊🐙🧭⛵", "nul\0inside it", "spaces around it "],
)
def test_passwords_of_any_unicode_are_accepted(users: Users, password: str) -> None:
    users.create("ada", password=password, scope="")

    assert users.authenticate("ada", password) is not None
    assert users.authenticate("ada", password[:-1]) is None
    assert users.authenticate("ada", password + " ") is None


def test_a_password_is_not_cut(users: Users) -> None:
    users.create("ada", password=TAIL[:-1] + "a", scope="")

    assert users.authenticate("ada", TAIL[:-1] + "b") is None


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_a_password_is_the_same_in_each_form_that_a_keyboard_sends(users: Users, form: Form) -> None:
    password = "dé\u0323jà vu ﬁnal 漢字 \uff46\uff55\uff4c\uff4c"
    users.create("ada", password=unicodedata.normalize("NFC", password), scope="")

    assert users.authenticate("ada", unicodedata.normalize(form, password)) is not None


def test_a_hash_of_an_earlier_version_is_tried_as_typed_and_then_renewed(
    users: Users, database: Database, hasher: CountingHasher
) -> None:
    users.create("ada", password=PASSWORD, scope="")
    typed = unicodedata.normalize("NFD", "déjà vu encore")
    with database.session() as session:
        session.execute(sa.update(UserRow).values(password_hash=hasher.hash(typed)))

    assert users.authenticate("ada", typed) is not None
    assert users.authenticate("ada", unicodedata.normalize("NFC", typed)) is not None


def test_a_password_in_another_form_costs_the_same_for_unknown_users(users: Users, hasher: CountingHasher) -> None:
    users.create("ada", password=PASSWORD, scope="")
    costs = []
    for username in ("ada", "nobody"):
        hasher.verified.clear()
        users.authenticate(username, unicodedata.normalize("NFD", "déjà vu encore"))
        costs.append(len(hasher.verified))

    assert costs == [2, 2]


@pytest.mark.parametrize(
    "password",
    [
        *("password", "Password123!", "12345678", "qwertyuiop", "aaaaaaaaaaaaaaaa", "letmein123", "\uff50assword"),
        *("ada.lovelace", "lovelace1815", "ecalevol.ada", "Ada.Lovelace1"),
    ],
)
def test_what_somebody_would_guess_first_is_no_password(users: Users, password: str) -> None:
    with pytest.raises(InvalidValueError, match="easy to guess") as caught:
        users.create("ada.lovelace", password=password, scope="")
    assert caught.value.field == "password"

    users.create("ada.lovelace", password=PASSWORD, scope="")
    with pytest.raises(InvalidValueError, match="easy to guess"):
        users.change("ada.lovelace", password=password)


def test_a_password_that_would_be_refused_today_still_signs_in(database: Database) -> None:
    weak = CountingHasher(time_cost=1).hash("password")
    users = Users(database, passwords=Passwords(hasher=CountingHasher(time_cost=2)))
    users.create("ada", password=PASSWORD, scope="")
    with database.session() as session:
        session.execute(sa.update(UserRow).values(password_hash=weak))

    assert users.authenticate("ada", "password") is not None
    assert argon2.extract_parameters(stored_hash(database, "ada")).time_cost == 2


def test_the_words_of_one_user_are_not_held_against_another() -> None:
    """zxcvbn keeps them in a variable of its module."""

    def judge(number: int) -> bool:
        try:
            check_password(f"blåbærgrød {number % 2}", username="grod" if number % 2 else "blabaer")
        except InvalidValueError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(judge, range(40)))


@pytest.mark.parametrize("password", ["", "x7!Kq_2", "x" * 1025, "lone \ud800 surrogate", "\ufdfa" * 60])
def test_passwords_that_are_refused(users: Users, password: str) -> None:
    with pytest.raises(InvalidValueError) as caught:
        users.create("ada", password=password, scope="")

    assert caught.value.field == "password"
    assert not password or password not in str(caught.value)
    assert users.get("ada") is None


def test_a_broken_hash_is_nobodys_password(users: Users, database: Database) -> None:
    users.create("ada", password=PASSWORD, scope="")
    with database.session() as session:
        session.execute(sa.update(UserRow).values(password_hash=""))

    assert users.authenticate("ada", PASSWORD) is None


def test_a_password_is_not_refused_because_the_database_could_not_be_asked() -> None:
    users = Users(Database("postgresql://127.0.0.1:1/none"))

    with pytest.raises(DatabaseUnavailableError):
        users.authenticate("ada", PASSWORD)
    with pytest.raises(DatabaseUnavailableError):
        users.get("ada")
