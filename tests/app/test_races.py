"""Races with real threads and exact numbers. None of these is ever tried twice: a flaky race is a bug."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from app.audit import Actor
from app.grants import Origin, Tokens
from app.passwords import Passwords, Verification
from app.sessions import RefreshRefusedError, Rotation
from revocation import Handle, RevokedTokenError
from tests.app.api import PASSWORD, Api, Login, QuickPasswords, another

T = TypeVar("T")

HERE = Origin("127.0.0.1", "")


def together(acts: list[Callable[[], T]]) -> list[T]:
    """What the acts answer, each in a thread of its own, all let go at the same moment."""
    start = Barrier(len(acts))

    def run(act: Callable[[], T]) -> T:
        start.wait(30)
        return act()

    with ThreadPoolExecutor(len(acts)) as pool:
        return list(pool.map(run, acts))


@pytest.fixture(scope="module")
def pair() -> Iterator[Callable[[Callable[[], Any], Callable[[], Any]], None]]:
    """Runs two acts at the same moment, over and over in the same two threads."""
    with ThreadPoolExecutor(2) as pool:
        start = Barrier(2)

        def run(act: Callable[[], Any]) -> None:
            start.wait(30)
            act()

        def both(first: Callable[[], Any], second: Callable[[], Any]) -> None:
            for done in [pool.submit(run, first), pool.submit(run, second)]:
                done.result(60)

        yield both


Pair = Callable[[Callable[[], Any], Callable[[], Any]], None]


def users(api: Api, times: int) -> Iterator[str]:
    """So many names, each of them fifty times: above a hundred sessions, signing in looks for the oldest one."""
    for number in range(times):
        if number % 50 == 0:
            name = api.add_user()
        yield name


def begun(api: Api, subject: str) -> Rotation:
    """A session of a user, as signing in begins it, once nothing that was revoked covers it any more."""
    denylist, sessions = api.service.stores.denylist, api.service.sessions
    cutoff = denylist.latest_cutoff([Handle("subject", subject, issuer=api.settings.issuer)])
    while (now_ms := denylist.now_ms()) < cutoff:
        pass
    return sessions.create(subject, client_id="first-party", scope="", signed_in_ms=now_ms, address="", user_agent="")


def accepted(api: Api, access_token: str) -> bool:
    try:
        api.service.guard.authenticate(access_token, max_staleness=0)
    except RevokedTokenError:
        return False
    return True


def refreshed(api: Api, refresh_token: str) -> Tokens | None:
    try:
        return api.service.grants.refresh(refresh_token, client_id=None, origin=HERE)
    except RefreshRefusedError:
        return None


def closer(pause: float, *, came_first: bool) -> float:
    """How long the second is held back next time, so that either comes first about as often."""
    return max(pause * (0.8 if came_first else 1.25), 1e-5)


# Refreshing


def test_fifty_refreshes_of_one_token_give_one_successor(api: Api) -> None:
    login = api.login()
    with another(api.settings) as second:
        answers = together([lambda one=one: one.refresh(login.refresh_token) for one in [api, second] * 25])  # type: ignore[misc]  # bound per thread

    assert Counter(answer.status_code for answer in answers) == {200: 50}
    (successor,) = {answer.get_json()["refresh_token"] for answer in answers}
    access = {answer.get_json()["access_token"] for answer in answers}
    assert len(access) == 50
    assert {api.me(token) for token in access} == {200}
    client: Any = api.service.stores.denylist.link.client
    assert client.hget(api.service.stores.denylist.key(f"app:session:{login.session_id}"), "n") == b"2"
    assert api.refresh(successor).status_code == 200


def test_fifty_refreshes_of_a_token_used_long_ago_give_nothing_and_end_the_session(api: Api) -> None:
    login = api.login()
    latest = api.refreshed(login)
    api.let_grace_pass(login)

    answers = together([lambda: api.refresh(login.refresh_token)] * 50)

    assert Counter(answer.status_code for answer in answers) == {401: 50}
    assert [api.me(login.access_token), api.me(latest.access_token)] == [401, 401]
    assert api.refresh(latest.refresh_token).status_code == 401


def test_a_thief_and_the_owner_at_once_cannot_both_keep_the_session(api: Api) -> None:
    """Twenty times: one holds the token of before, the other the good one, and the grace period is over."""
    for _ in range(20):
        stolen = api.login()
        good = api.refreshed(stolen)
        api.let_grace_pass(stolen)

        thief, owner = together([lambda: api.refresh(stolen.refresh_token), lambda: api.refresh(good.refresh_token)])  # noqa: B023  # run at once

        if owner.status_code == 200 and thief.status_code == 200:
            # The owner's came first: the thief's is then the one just before it, and within its grace period.
            assert thief.get_json()["refresh_token"] == owner.get_json()["refresh_token"]
        else:
            assert thief.status_code == 401
            assert api.refresh(good.refresh_token).status_code == 401
            assert api.me(good.access_token) == 401
            assert owner.status_code == 401 or api.me(owner.get_json()["access_token"]) == 401


# Revoking against refreshing


def test_a_thousand_times_no_token_of_a_refresh_outlives_the_revocation_of_its_user(api: Api, pair: Pair) -> None:
    """Once a revocation is acknowledged, no refresh of an older session works, and nothing lives that one gave.

    Every refresh here was invoked before the acknowledgement or of a session from before the cut-off, so nothing of it
    may be accepted: neither the access token that it answered with, nor a refresh with what it answered, nor with what
    it was asked with.
    """
    denylist = api.service.stores.denylist
    came_first, accepted_after, refreshed_after = 0, 0, 0
    pause = 0.001
    for user in users(api, 1000):
        subject = Handle("subject", user, issuer=api.settings.issuer)
        session = begun(api, user)
        given: list[Tokens | None] = []

        def refresh(token: str = session.refresh_token, given: list[Tokens | None] = given) -> None:
            given.append(refreshed(api, token))

        def revoke(pause: float = pause, subject: Handle = subject) -> None:
            time.sleep(pause)
            denylist.revoke(subject)

        pair(refresh, revoke)

        (tokens,) = given
        pause = closer(pause, came_first=tokens is not None)
        if tokens is not None:
            came_first += 1
            accepted_after += accepted(api, tokens.access_token)
            refreshed_after += refreshed(api, str(tokens.refresh_token)) is not None
        refreshed_after += refreshed(api, session.refresh_token) is not None

    assert (accepted_after, refreshed_after) == (0, 0)
    assert 0 < came_first < 1000, "the two never raced"


def test_nothing_of_a_session_outlives_a_logout_that_races_a_refresh(api: Api, pair: Pair) -> None:
    came_first, accepted_after, refreshed_after = 0, 0, 0
    pause = 0.001
    for user in users(api, 300):
        session = begun(api, user)
        given: list[Tokens | None] = []

        def refresh(token: str = session.refresh_token, given: list[Tokens | None] = given) -> None:
            given.append(refreshed(api, token))

        def end(session_id: str = session.session.id, pause: float = pause) -> None:
            time.sleep(pause)
            api.service.sessions.end(session_id, reason="logged out", actor=Actor("test"), action="session.logout")

        pair(refresh, end)

        (tokens,) = given
        pause = closer(pause, came_first=tokens is not None)
        if tokens is not None:
            came_first += 1
            accepted_after += accepted(api, tokens.access_token)
            refreshed_after += refreshed(api, str(tokens.refresh_token)) is not None
        refreshed_after += refreshed(api, session.refresh_token) is not None

    assert (accepted_after, refreshed_after) == (0, 0)
    assert 0 < came_first < 300, "the two never raced"


def test_logouts_of_one_session_at_once_all_succeed(api: Api) -> None:
    login = api.login()

    answers = together([lambda: api.logout(login.access_token)] * 20)

    assert Counter(answer.status_code for answer in answers) == {200: 20}
    assert api.me(login.access_token) == 401


# Signing in against a change of the account


def test_no_sign_in_with_the_old_password_outlives_the_change_of_the_password(api: Api) -> None:
    admin, user = api.admin(), api.add_user()
    passwords = [PASSWORD, "another password"]
    alive = 0
    for number in range(60):
        old, new = passwords[number % 2], passwords[(number + 1) % 2]
        body = {"username": user, "password": old}

        signed_in, changed = together(
            [
                lambda: api.post("/auth/login", json=body, address="192.0.2.50"),  # noqa: B023  # run at once
                lambda: api.patch(f"/admin/users/{user}", token=admin, json={"password": new}),  # noqa: B023  # same
            ]
        )

        assert changed.status_code == 200
        assert signed_in.status_code in (200, 401)
        if signed_in.status_code == 200:
            login = Login.of(signed_in, user)
            alive += api.me(login.access_token) == 200
            alive += api.refresh(login.refresh_token).status_code == 200
        else:
            # Those who were too late count as failures; nobody is to be locked out here.
            api.service.throttle.lift(user)
            api.service.throttle.lift_address("127.0.0.1")

    assert alive == 0
    assert api.me(api.login(user, passwords[0]).access_token) == 200


@pytest.mark.parametrize("change", ["password", "scope", "disabled"])
def test_a_change_while_the_password_is_checked_refuses_the_sign_in(api: Api, change: str) -> None:
    """The worst moment: the old state is read, and the change and its revocation are through before a session is."""
    admin, user = api.admin(), api.add_user()
    body: dict[str, Any] = {"password": "another password", "scope": "me", "disabled": True}

    class ChangesMeanwhile(Passwords):
        def __init__(self) -> None:
            self.quick = QuickPasswords()

        def verify(self, password: str, *, password_hash: str | None) -> Verification:
            verification = self.quick.verify(password, password_hash=password_hash)
            answer = api.patch(f"/admin/users/{user}", token=admin, json={change: body[change]})
            assert answer.status_code == 200
            return verification

    with another(api.settings) as slow:
        slow.service.stores.users._passwords = ChangesMeanwhile()
        refused = slow.post("/auth/login", json={"username": user, "password": PASSWORD})

    assert refused.status_code == 401
    assert api.service.sessions.page(user).sessions == ()


def test_logging_out_everywhere_takes_along_a_sign_in_that_has_begun(api: Api) -> None:
    login = api.login()

    class LogsOutMeanwhile(Passwords):
        def verify(self, password: str, *, password_hash: str | None) -> Verification:
            assert api.post("/auth/logout-all", token=login.access_token).status_code == 200
            return Verification(matches=True)

    with another(api.settings) as slow:
        slow.service.stores.users._passwords = LogsOutMeanwhile()
        refused = slow.post("/auth/login", json={"username": login.username, "password": PASSWORD})

    assert refused.status_code == 401


def test_a_secret_that_is_checked_while_its_client_is_revoked_gives_a_dead_token(api: Api) -> None:
    machine = api.machine()
    clients = api.service.stores.clients
    authenticate = clients.authenticate

    def revoked_meanwhile(client_id: str, secret: str) -> Any:
        client = authenticate(client_id, secret)
        denylist = api.service.stores.denylist
        cutoff = (
            denylist.revoke(Handle("client", client_id, issuer=api.settings.issuer)).revocations[0].issued_before_ms
        )
        while denylist.now_ms() < (cutoff or 0):
            pass
        return client

    clients.authenticate = revoked_meanwhile  # type: ignore[method-assign]  # the worst moment
    try:
        token = api.machine_token(machine)
    finally:
        del clients.authenticate

    assert api.me(token) == 401


# Accounts


def test_of_twenty_requests_to_make_one_account_one_succeeds(api: Api) -> None:
    admin = api.admin()
    passwords = [f"password number {number}" for number in range(20)]

    def create(password: str) -> int:
        body = {"username": "wanted", "password": password}
        return api.post("/admin/users", token=admin, json=body).status_code

    statuses = together([lambda password=password: create(password) for password in passwords])  # type: ignore[misc]  # bound per thread

    assert Counter(statuses) == {201: 1, 409: 19}
    assert api.login("wanted", passwords[statuses.index(201)]).username == "wanted"


def test_the_same_revocation_is_undone_once(api: Api) -> None:
    admin = api.admin()
    revocation = api.revoke(admin, kind="subject", value=api.add_user())

    answers = together([lambda: api.undo(admin, revocation)] * 10)

    assert Counter(answer.status_code for answer in answers) == {200: 1, 404: 9}
