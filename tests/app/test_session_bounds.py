"""How many sessions a user has, how long a list of them is, and that nobody reads again what has ended."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.sessions import MOST_SESSIONS, Rotation
from tests.app.api import Api, Login, prepared, settings_for
from tests.support.servers import Server


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Every session idles out long before its absolute life."""
    directory: Path = tmp_path_factory.mktemp("service")
    with prepared(settings_for(valkey, directory, APP_REFRESH_TTL="86400")) as api:
        yield api


def begin(api: Api, subject: str) -> Rotation:
    """What signing in does once the password was checked."""
    now_ms = api.service.stores.denylist.now_ms()
    return api.service.sessions.create(
        subject, client_id="first-party", scope="", signed_in_ms=now_ms, address="192.0.2.7", user_agent="Browser/1"
    )


def login_of(rotation: Rotation) -> Login:
    return Login("", rotation.refresh_token, rotation.session.id, "", rotation.session.subject)


def indexed(api: Api, subject: str) -> tuple[set[str], set[str]]:
    """The ids that the indexes hold: the subject's, and everybody's."""
    client: Any = api.service.stores.denylist.link.client
    keys = [api.service.stores.denylist.key(name) for name in api.service.sessions._indexes(subject)]
    everybody, own = ({id_.decode() for id_ in client.zrange(key, 0, -1)} for key in keys)
    return own, everybody


def pages(api: Api, path: str, token: str) -> list[list[dict[str, Any]]]:
    """The whole list, page by page."""
    found: list[list[dict[str, Any]]] = []
    cursor = ""
    while True:
        answer = api.get(path + cursor, token=token)
        assert answer.status_code == 200, answer.text
        assert len(answer.data) < 20_000
        body = answer.get_json()
        found.append(body["sessions"])
        if body["next_cursor"] is None:
            return found
        cursor = f"{'&' if '?' in path else '?'}cursor={body['next_cursor']}"


def test_a_user_has_a_hundred_sessions_and_the_one_that_was_not_used_for_the_longest_time_ends(api: Api) -> None:
    user = api.add_user()
    first, second, third = (api.login(user) for _ in range(3))
    for _ in range(MOST_SESSIONS - 3):
        begin(api, user)
    first = api.refreshed(first)

    newest = api.login(user)

    assert [api.me(login.access_token) for login in (first, second, third, newest)] == [200, 401, 200, 200]
    assert api.refresh(second.refresh_token).status_code == 401
    shown = [one["session_id"] for page in pages(api, "/auth/sessions", newest.access_token) for one in page]
    assert len(shown) == MOST_SESSIONS
    assert second.session_id not in shown
    assert {login.session_id for login in (first, third, newest)} < set(shown)


def test_what_is_let_go_after_its_tokens_died_leaves_no_trace_in_the_log(api: Api) -> None:
    """Nobody makes the log longer by signing in again and again, beyond what lives at the same time."""
    user, denylist = api.add_user(), api.service.stores.denylist
    for _ in range(MOST_SESSIONS):
        login = login_of(begin(api, user))
        client: Any = denylist.link.client
        client.hset(api.record(login), "exp", int(time.time()) - 3600)
    before = client.xlen(denylist.namespace.log)

    for _ in range(5):
        begin(api, user)

    assert client.xlen(denylist.namespace.log) == before
    assert len(indexed(api, user)[0]) == MOST_SESSIONS


@pytest.mark.parametrize("whose", ["own", "somebody's"])
def test_a_list_of_sessions_has_pages(api: Api, whose: str) -> None:
    user = api.add_user()
    begun = [begin(api, user).session.id for _ in range(MOST_SESSIONS - 1)]
    login = api.login(user)
    token = login.access_token if whose == "own" else api.admin()
    path = "/auth/sessions" if whose == "own" else f"/admin/sessions?subject={user}"

    first, second = pages(api, path, token)

    assert [len(first), len(second)] == [50, 50]
    shown = [*first, *second]
    assert {one["session_id"] for one in shown} == {login.session_id, *begun}
    assert [one["last_used_at"] for one in shown] == sorted((one["last_used_at"] for one in shown), reverse=True)
    for cursor in ("1", "x.y", "1.short", "-1." + "x" * 22, "9" * 400):
        refused = api.get(path + f"{'&' if '?' in path else '?'}cursor={cursor}", token=token)
        assert (refused.status_code, refused.get_json()["reason"]) == (400, "invalid")


def test_thousands_of_sessions_of_the_version_before_are_read_in_pages_and_go_with_the_next_sign_ins(api: Api) -> None:
    user = api.add_user()
    login = api.login(user)
    denylist = api.service.stores.denylist
    client: Any = denylist.link.client
    record = client.hgetall(api.record(login))
    everybody, own = (denylist.key(name) for name in api.service.sessions._indexes(user))
    now_ms = denylist.now_ms()
    pipeline = client.pipeline(transaction=False)
    for number in range(1500):
        session_id, used = f"{number:022}", now_ms - 10_000_000 - number
        old = {**record, b"exp": now_ms // 1000 - 9000, b"used": used, b"signed_in": used, b"rotated": used}
        pipeline.hset(denylist.key(f"app:session:{session_id}"), mapping=old)
        pipeline.zadd(everybody, {session_id: now_ms + 10**9 - number})
        pipeline.zadd(own, {session_id: now_ms + 10**9 - number})
    pipeline.execute()

    answer = api.get(f"/admin/sessions?subject={user}", token=api.admin())
    assert len(answer.get_json()["sessions"]) == 50
    assert len(answer.data) < 20_000
    signing_in = [begin(api, user) for _ in range(5)]

    assert len(indexed(api, user)[0]) == MOST_SESSIONS
    for rotation in signing_in:
        assert api.refresh(rotation.refresh_token).status_code == 200
    assert api.refresh(login.refresh_token).status_code == 200


def by_logout(api: Api, login: Login) -> None:
    assert api.logout(login.access_token).status_code == 200


def by_refresh_token(api: Api, login: Login) -> None:
    assert api.logout(refresh_token=login.refresh_token).status_code == 200


def by_its_list(api: Api, login: Login) -> None:
    other = api.login(login.username)
    assert api.delete(f"/auth/sessions/{login.session_id}", token=other.access_token).status_code == 200


def by_its_client(api: Api, login: Login) -> None:
    form = {"token": login.refresh_token, "client_id": "first-party"}
    assert api.post("/oauth/revoke", data=form).status_code == 200


def by_reuse(api: Api, login: Login) -> None:
    api.refreshed(login)
    api.let_grace_pass(login)
    assert api.refresh(login.refresh_token).status_code == 401


def by_time(api: Api, login: Login) -> None:
    """Its record is gone, and somebody looked at the list since."""
    client: Any = api.service.stores.denylist.link.client
    client.delete(api.record(login))
    api.get("/auth/sessions", token=login.access_token)


@pytest.mark.parametrize("ended", [by_logout, by_refresh_token, by_its_list, by_its_client, by_reuse, by_time])
def test_what_has_ended_is_in_no_index_any_more(api: Api, ended: Callable[[Api, Login], None]) -> None:
    login = api.login()
    assert all(login.session_id in index for index in indexed(api, login.username))

    ended(api, login)

    assert not any(login.session_id in index for index in indexed(api, login.username))


def test_an_index_holds_a_session_until_it_idles_out_and_no_longer(api: Api) -> None:
    """Not until the end of its absolute life, which is 30 times later here."""
    login = api.login()
    client: Any = api.service.stores.denylist.link.client
    keys = [api.service.stores.denylist.key(name) for name in api.service.sessions._indexes(login.username)]
    begun = [client.zscore(key, login.session_id) for key in keys]
    time.sleep(0.002)
    api.refreshed(login)

    used = int(client.hget(api.record(login), "used"))
    ends = [client.zscore(key, login.session_id) for key in keys]
    assert ends == [used + 86_400_000] * 2
    assert ends > begun
    client.zadd(keys[0], {"somebody-who-idled-out": 1})
    api.login()
    assert client.zscore(keys[0], "somebody-who-idled-out") is None
