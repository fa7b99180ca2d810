"""Refreshing by several tabs at once, and by a thief: who has grace, who ends the session, and what it costs.

Time is virtual: `Api.let_pass` makes a session older.
"""

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from app.sessions import RefreshRefusedError
from revocation import DenylistUnavailableError, Handle
from tests.app.api import ADMIN_PASSWORD, Api, Login, another, prepared, settings_for
from tests.support.round_trips import RoundTrips
from tests.support.servers import Server

#: Of many uses in a short time the last stands for all: what a token's grace may last too long by that.
GRAIN = 1 / 32

#: Where a refresh token can be used.
DOORS = ["/auth/refresh", "/oauth/token", "/console/session/refresh"]


def used_in_turn(api: Api, login: Login, times: int, *, every_seconds: float = 0.0) -> Iterator[Login]:
    """The logins that follow from one another, the first included."""
    yield login
    for _ in range(times):
        login = api.refreshed(login)
        yield login
        if every_seconds:
            api.let_pass(login, every_seconds)


def test_any_earlier_token_gives_the_successor_of_now_within_the_grace_of_its_own_first_use(api: Api) -> None:
    """Three tabs, or two quick reloads: supabase#8959, hydra#3895."""
    logins = list(used_in_turn(api, api.login(), 5))

    for earlier in logins[:-1]:
        again = api.refreshed(earlier)
        assert again.refresh_token == logins[-1].refresh_token
        assert api.me(again.access_token) == 200
    assert api.refreshed(logins[-1]).refresh_token not in {login.refresh_token for login in logins}


@pytest.fixture
def following(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    """A process that follows the deny-list, with a short grace."""
    with prepared(settings_for(valkey, tmp_path, REVOCATION_MAX_STALENESS="1", APP_REFRESH_GRACE="1")) as api:
        yield api


def lose_revocation(api: Api, login: Login) -> None:
    """Revoke a session, and let Redis alone forget it: an old snapshot, and the follower has not noticed yet."""
    api.revoke(api.admin(), kind="session", value=login.session_id)
    denylist = api.service.stores.denylist
    client: Any = denylist.link.client
    client.delete(denylist.namespace.entry(Handle("session", login.session_id, issuer=api.settings.issuer)))


def refresh_at(api: Api, path: str, token: str) -> TestResponse:
    """Refresh at one of the three doors."""
    if path == "/oauth/token":
        return api.post(path, data={"grant_type": "refresh_token", "refresh_token": token, "client_id": "first-party"})
    if path == "/console/session/refresh":
        return api.post(path, headers={"Origin": api.settings.issuer, "Cookie": f"console={token}"})
    return api.refresh(token)


@pytest.mark.parametrize("path", DOORS)
def test_a_refresh_that_cannot_be_decided_has_used_nothing_up(following: Api, path: str) -> None:
    """Whoever repeats it after the grace, as the 503 says, is no thief."""
    login = following.login("admin", ADMIN_PASSWORD)
    lose_revocation(following, login)

    assert refresh_at(following, path, login.refresh_token).status_code == 503
    following.let_grace_pass(login)
    assert refresh_at(following, path, login.refresh_token).status_code == 503, "and not the end of the session"

    strict = replace(following.settings.revocation, max_staleness=0)
    with another(following.settings, revocation=strict) as forgetful:
        assert refresh_at(forgetful, path, login.refresh_token).status_code == 200


@pytest.mark.parametrize("path", DOORS)
def test_a_process_that_cannot_read_the_log_uses_no_refresh_token_up(
    following: Api, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a rolling upgrade a newer version may write what this one does not understand."""
    login = following.login("admin", ADMIN_PASSWORD)

    def blocked(handles: object) -> None:
        raise DenylistUnavailableError("The log of the deny-list holds an entry of a newer version.")

    with monkeypatch.context() as patch:
        patch.setattr(following.service.guard.follower, "look_up", blocked)
        assert refresh_at(following, path, login.refresh_token).status_code == 503
    following.let_grace_pass(login)
    assert refresh_at(following, path, login.refresh_token).status_code == 200


def test_introspection_of_a_refresh_token_says_no_more_than_a_refresh_does(following: Api) -> None:
    login, machine = following.login(), following.machine()

    def introspected() -> TestResponse:
        return following.post("/oauth/introspect", data={"token": login.refresh_token}, headers=machine.basic)

    assert introspected().get_json()["active"] is True
    lose_revocation(following, login)

    assert introspected().status_code == following.refresh(login.refresh_token).status_code == 503


def test_a_session_that_is_revoked_while_its_token_is_used_up_is_refused_and_not_unavailable(
    valkey: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The follower hears of the revocation between the rotation and the last look: nothing is lost, so it is a 401."""
    with prepared(settings_for(valkey, tmp_path, REVOCATION_MAX_STALENESS="1")) as api:
        login = api.login()
        sessions = api.service.grants._sessions
        rotate = sessions.rotate

        def rotated_and_revoked(*presented: Any, **origin: Any) -> Any:
            rotation = rotate(*presented, **origin)
            api.revoke(api.admin(), kind="session", value=login.session_id)
            return rotation

        monkeypatch.setattr(sessions, "rotate", rotated_and_revoked)

        assert api.refresh(login.refresh_token).status_code == 401


def test_the_grace_of_a_token_counts_from_its_own_first_use_and_not_from_the_last_rotation(api: Api) -> None:
    grace = api.settings.refresh_grace_seconds
    first = api.login()
    second = api.refreshed(first)
    api.let_pass(first, grace - 1)
    third = api.refreshed(second)
    assert api.refreshed(first).refresh_token == third.refresh_token
    api.let_pass(first, 2)

    assert api.refreshed(second).refresh_token == third.refresh_token
    assert api.refresh(first.refresh_token).status_code == 401

    assert api.me(third.access_token) == 401
    assert api.refresh(third.refresh_token).status_code == 401


def test_using_a_token_again_gives_it_no_more_grace(api: Api) -> None:
    first = api.login()
    latest = api.refreshed(first)
    for _ in range(5):
        api.let_pass(first, api.settings.refresh_grace_seconds / 5 - 0.1)
        assert api.refreshed(first).refresh_token == latest.refresh_token
    api.let_pass(first, 1)

    assert api.refresh(first.refresh_token).status_code == 401


@pytest.mark.parametrize("path", DOORS)
def test_three_tabs_are_three_tabs_at_every_door(api: Api, path: str) -> None:
    first = api.login("admin", ADMIN_PASSWORD)
    api.refreshed(api.refreshed(first))

    answer = refresh_at(api, path, first.refresh_token)

    assert answer.status_code == 200
    assert api.me(answer.get_json()["access_token"]) == 200


def test_many_quick_uses_are_remembered_in_little_room_and_nobody_loses_grace(api: Api) -> None:
    """A record must not grow with how often a client refreshes."""
    client: Any = api.service.stores.denylist.link.client
    with another(api.settings, refresh_grace_seconds=60) as patient:
        sessions, login = patient.service.sessions, patient.login()
        tokens, longest = [login.refresh_token], 0
        for number in range(400):
            tokens.append(sessions.rotate(sessions.presented(tokens[-1]), address="", user_agent="").refresh_token)
            if number % 8 == 0:
                patient.let_pass(login, 0.7)
                longest = max(longest, client.hstrlen(patient.record(login), "uses"))

        for token in tokens[::39]:
            given = sessions.rotate(sessions.presented(token), address="", user_agent="").refresh_token
            assert given == tokens[-1]
        assert longest < 2 * 64 * len("1000=1795539600000 ")
        patient.let_grace_pass(login)
        assert patient.refresh(tokens[390]).status_code == 401


def test_the_record_of_the_version_before_goes_on_and_only_its_last_token_has_grace(api: Api) -> None:
    """It wrote down no more than when the last token was used."""
    client: Any = api.service.stores.denylist.link.client
    one, other = api.login(), api.login()
    for login in (one, other):
        latest = list(used_in_turn(api, login, 3))
        client.hdel(api.record(login), "uses")
        before, current = latest[2], latest[3]
        assert api.refreshed(before).refresh_token == current.refresh_token
    assert api.refresh(latest[1].refresh_token).status_code == 401, "as it was before"
    assert api.me(current.access_token) == 401

    first, *_, fourth = used_in_turn(api, api.login(), 3)
    client.hdel(api.record(first), "uses")
    fifth = api.refreshed(fourth)
    sixth = api.refreshed(fifth)
    for earlier in (fourth, fifth):
        assert api.refreshed(earlier).refresh_token == sixth.refresh_token
    assert api.refresh(first.refresh_token).status_code == 401


def test_a_process_of_the_version_before_may_rotate_in_between(api: Api) -> None:
    """In a rolling upgrade both write the same record: nobody gets grace that the older one did not write down."""
    client: Any = api.service.stores.denylist.link.client
    logins = list(used_in_turn(api, api.login(), 2))
    # What the older process does with the tokens 3 and 4: it writes n and the last instant.
    client.hincrby(api.record(logins[0]), "n", 2)
    tokens = api.service.sessions._tokens
    third, fourth, fifth = (tokens.token(logins[0].session_id, n) for n in (3, 4, 5))

    sixth = api.refresh(fifth).get_json()["refresh_token"]

    for kept in (logins[0].refresh_token, fourth, fifth):
        assert api.refresh(kept).get_json()["refresh_token"] == sixth
    assert api.refresh(third).status_code == 401


def test_a_refresh_is_two_round_trips(api: Api, round_trips: RoundTrips) -> None:
    login = api.refreshed(api.login(api.add_user(scope="me")))
    form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token, "client_id": "first-party"}

    assert round_trips.of(lambda: api.refreshed(login)) == 2
    assert round_trips.of(lambda: api.refreshed(login)) == 2, "by grace"
    assert round_trips.of(lambda: api.post("/oauth/token", data={**form, "scope": "me"})) == 2


# Many tabs, by a model


@dataclass(order=True)
class Event:
    """Something that happens at an instant of virtual time: a request that reaches the server, or an answer a tab."""

    at: float
    number: int
    what: str = field(compare=False)
    tab: int = field(compare=False)
    token: str = field(compare=False)


class Tabs:
    """Four tabs that share what a browser keeps, and refresh by it or by what they remember themselves."""

    DELAY_SECONDS = 2.0
    LOST = 0.2

    def __init__(self, api: Api, seed: int) -> None:
        self.api = api
        self.random = random.Random(seed)
        self.login = api.login()
        self.shared = self.login.refresh_token
        self.own = [self.shared] * 4
        self.now = 0.0
        self.numbers = itertools.count()
        self.events: list[Event] = []
        #: When each token was first used: not before the one, not after the other.
        self.first_use: dict[str, tuple[float, float]] = {}
        self.current = self.shared
        self.answers = 0

    def run(self, seconds: float) -> None:
        """Let them go on for so long; every request that arrives must be answered with the successor of that moment."""
        for tab in range(4):
            for tick in range(round(seconds / 0.05)):
                self.later(0.05 * tick + self.random.random() / 20, "send", tab)
        while self.events:
            event = heapq.heappop(self.events)
            if event.at > self.now:
                self.api.let_pass(self.login, event.at - self.now)
                self.now = event.at
            getattr(self, event.what)(event)

    def later(self, seconds: float, what: str, tab: int, token: str = "") -> None:
        heapq.heappush(self.events, Event(self.now + seconds, next(self.numbers), what, tab, token))

    def send(self, event: Event) -> None:
        token = self.shared if self.random.random() < 0.5 else self.own[event.tab]
        if self.random.random() >= self.LOST:
            self.later(self.random.random() * self.DELAY_SECONDS, "arrive", event.tab, token)

    def arrive(self, event: Event) -> None:
        successor = self.use(event.token)
        assert successor is not None, f"refused at {self.now}"
        self.answers += 1
        if self.random.random() >= self.LOST:
            self.later(self.random.random() * self.DELAY_SECONDS, "take", event.tab, successor)

    def take(self, event: Event) -> None:
        # The answer that comes last wins, and it may be an older one.
        self.own[event.tab] = self.shared = event.token

    def use(self, token: str) -> str | None:
        """Refresh, and compare with what must happen: the successor, or None where the session has ended."""
        sessions = self.api.service.sessions
        grace = self.api.settings.refresh_grace_seconds
        before = self.time()
        try:
            given = sessions.rotate(sessions.presented(token), address="", user_agent="").refresh_token
        except RefreshRefusedError:
            given = None
        after = self.time()
        if token == self.current:
            assert given not in {None, token, *self.first_use}
            self.first_use[token] = (before, after)
            self.current = str(given)
        else:
            earliest, latest = self.first_use[token]
            if after - earliest <= grace:
                assert given == self.current
            elif before - latest > grace * (1 + GRAIN):
                assert given is None
            else:
                assert given in (None, self.current)
        return given

    def time(self) -> float:
        """Virtual and real time together, in seconds: while the test runs, Redis' clock goes on as well."""
        client: Any = self.api.service.stores.denylist.link.client
        seconds, microseconds = client.time()
        return float(self.now + seconds + microseconds / 1e6)


@pytest.mark.parametrize("seed", range(2))
def test_four_tabs_keep_their_session_while_answers_are_late_and_lost(api: Api, seed: int) -> None:
    tabs = Tabs(api, seed)

    tabs.run(3)

    assert tabs.answers > 100
    assert api.refresh(tabs.current).status_code == 200, "one successor at a time, and the session lives"


@pytest.mark.parametrize("seed", range(2))
def test_a_token_that_comes_back_at_any_later_time_has_grace_or_ends_the_session(api: Api, seed: int) -> None:
    for number in range(3):
        tabs = Tabs(api, 100 * seed + number)
        tabs.run(0.5)
        alive = True
        while alive:
            pause = tabs.random.choice([0.01, 0.3, 2.0, 9.9, 10.1])
            api.let_pass(tabs.login, pause)
            tabs.now += pause
            token = tabs.random.choice([*tabs.first_use, tabs.current])
            alive = tabs.use(token) is not None
        assert api.refresh(tabs.current).status_code == 401
