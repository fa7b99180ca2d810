"""Refreshing by several tabs at once, and by a thief: who has grace, who ends the session, and what it costs.

Time is virtual: `Api.let_pass` makes a session older.
"""

import heapq
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from app.sessions import RefreshRefusedError
from revocation import Handle
from tests.app.api import Api, Login, another, prepared, settings_for
from tests.support.round_trips import RoundTrips
from tests.support.servers import Server

#: Of many uses in a short time the last stands for all: what a token's grace may last too long by that.
GRAIN = 1 / 32


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


def test_a_session_that_only_this_process_knows_to_be_revoked_gets_no_tokens(valkey: Server, tmp_path: Path) -> None:
    """Redis was restarted on an old snapshot, and the follower has not noticed yet."""
    with prepared(settings_for(valkey, tmp_path, REVOCATION_MAX_STALENESS="1")) as api:
        login = api.login()
        api.revoke(api.admin(), kind="session", value=login.session_id)
        denylist = api.service.stores.denylist
        entry = Handle("session", login.session_id, issuer=api.settings.issuer)
        denylist.link.client.delete(denylist.namespace.entry(entry))

        assert api.refresh(login.refresh_token).status_code == 503


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


@pytest.mark.parametrize("path", ["/oauth/token", "/console/session/refresh"])
def test_three_tabs_are_three_tabs_at_every_door(api: Api, path: str) -> None:
    first = api.login("admin", "correct horse battery")
    api.refreshed(api.refreshed(first))
    if path == "/oauth/token":
        form = {"grant_type": "refresh_token", "refresh_token": first.refresh_token, "client_id": "first-party"}
        answer = api.post(path, data=form)
    else:
        headers = {"Origin": api.settings.issuer, "Cookie": f"console={first.refresh_token}"}
        answer = api.post(path, headers=headers)

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
