"""What every route answers under every fault of Redis, and that the same request works once the fault is over."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests

from app import create_app
from app.clients import FIRST_PARTY
from app.settings import Settings
from app.stores import Stores
from tests.faults.conftest import ADMIN, PASSWORD, PATIENCE_SECONDS, TIMEOUT_SECONDS, Ask, Stage, patiently
from tests.support.proxy import Fault, cut, late, swallowed, trickled, truncated

_numbers = count(1)


@dataclass(frozen=True)
class Row:
    """What a route answers: with Redis, without it, and when the request is sent again afterwards."""

    route: str
    #: Makes the request ready while all is well; and the token that must be dead when it has been answered well.
    prepare: Callable[[Stage], tuple[Ask, str | None]]
    well: int = 200
    without_redis: int = 503
    #: Where the first attempt took effect though its answer was lost.
    again: tuple[int, ...] = ()


def _plain(method: str, path: str, **kwargs: object) -> Callable[[Stage], tuple[Ask, str | None]]:
    return lambda stage: (stage.asks(method, path, **kwargs), None)


def _by_admin(method: str, path: str, **kwargs: object) -> Callable[[Stage], tuple[Ask, str | None]]:
    return lambda stage: (stage.asks(method, path, token=stage.token, **kwargs), None)


def _login(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("POST", "/auth/login", json={"username": "ada", "password": PASSWORD}), None


def _login_in_vain(stage: Stage) -> tuple[Ask, str | None]:
    # Another name each time: failures are counted by account, and ten are enough.
    body = {"username": f"nobody{next(_numbers)}", "password": PASSWORD}
    return stage.asks("POST", "/auth/login", json=body), None


def _refresh(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("POST", "/auth/refresh", json={"refresh_token": stage.login()["refresh_token"]}), None


def _refresh_at_token_endpoint(stage: Stage) -> tuple[Ask, str | None]:
    form = {"grant_type": "refresh_token", "client_id": FIRST_PARTY, "refresh_token": stage.login()["refresh_token"]}
    return stage.asks("POST", "/oauth/token", data=form), None


def _logout(stage: Stage) -> tuple[Ask, str | None]:
    token = stage.login()["access_token"]
    return stage.asks("POST", "/auth/logout", token=token), token


def _logout_by_refresh_token(stage: Stage) -> tuple[Ask, str | None]:
    tokens = stage.login()
    body = {"refresh_token": tokens["refresh_token"]}
    return stage.asks("POST", "/auth/logout", json=body), tokens["access_token"]


def _logout_all(stage: Stage) -> tuple[Ask, str | None]:
    token = stage.login("ada")["access_token"]
    return stage.asks("POST", "/auth/logout-all", token=token), token


def _end_session(stage: Stage) -> tuple[Ask, str | None]:
    tokens = stage.login()
    return stage.asks("DELETE", f"/auth/sessions/{tokens['session_id']}", token=stage.token), tokens["access_token"]


def _client_credentials(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("POST", "/oauth/token", data={"grant_type": "client_credentials"}, auth=stage.machine), None


def _revoke_access_token(stage: Stage) -> tuple[Ask, str | None]:
    token = stage.login()["access_token"]
    return stage.asks("POST", "/oauth/revoke", data={"client_id": FIRST_PARTY, "token": token}), token


def _revoke_refresh_token(stage: Stage) -> tuple[Ask, str | None]:
    tokens = stage.login()
    form = {"client_id": FIRST_PARTY, "token": tokens["refresh_token"]}
    return stage.asks("POST", "/oauth/revoke", data=form), tokens["access_token"]


def _introspect(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("POST", "/oauth/introspect", data={"token": stage.token}, auth=stage.machine), None


def _revoke_by_admin(stage: Stage) -> tuple[Ask, str | None]:
    tokens = stage.login()
    body = {"kind": "session", "value": tokens["session_id"], "reason": "stolen"}
    return stage.asks("POST", "/admin/revocations", token=stage.token, json=body), tokens["access_token"]


def _a_revocation(stage: Stage) -> str:
    body = {"kind": "session", "value": f"s-{next(_numbers)}", "reason": "to be undone", "even_if_unknown": True}
    ask = stage.asks("POST", "/admin/revocations", token=stage.token, json=body)
    made: str = patiently(ask, 201).json()["revocation"]["id"]
    return made


def _show_revocation(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("GET", f"/admin/revocations/{_a_revocation(stage)}", token=stage.token), None


def _undo(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("DELETE", f"/admin/revocations/{_a_revocation(stage)}?reason=x", token=stage.token), None


def _new_user(stage: Stage) -> tuple[Ask, str | None]:
    body = {"username": f"user{next(_numbers)}", "password": "long enough for anyone"}
    return stage.asks("POST", "/admin/users", token=stage.token, json=body), None


def _change_user(stage: Stage) -> tuple[Ask, str | None]:
    token = stage.login("ada")["access_token"]
    another = {"scope": f"reports:read r{next(_numbers)}"}
    return stage.asks("PATCH", "/admin/users/ada", token=stage.token, json=another), token


def _change_own_password(stage: Stage) -> tuple[Ask, str | None]:
    token = stage.login("ada")["access_token"]
    body = {"password": PASSWORD, "new_password": PASSWORD}
    return stage.asks("POST", "/auth/password", token=token, json=body), token


def _a_client(stage: Stage) -> str:
    ask = stage.asks("POST", "/admin/clients", token=stage.token, json={"name": f"client {next(_numbers)}"})
    made: str = patiently(ask, 201).json()["client_id"]
    return made


def _change_client(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("PATCH", f"/admin/clients/{_a_client(stage)}", token=stage.token, json={"disabled": True}), None


def _rotate_secret(stage: Stage) -> tuple[Ask, str | None]:
    return stage.asks("POST", f"/admin/clients/{_a_client(stage)}/secret", token=stage.token), None


def _from_console(stage: Stage, method: str, path: str = "/console/session", **kwargs: Any) -> Ask:
    """As its page asks."""
    headers = {"Origin": stage.service.url, **kwargs.pop("headers", {})}
    return stage.asks(method, path, headers=headers, **kwargs)


def _sign_in_at_console(stage: Stage) -> tuple[Ask, str | None]:
    return _from_console(stage, "POST", json=ADMIN), None


def _at_console(stage: Stage) -> tuple[dict[str, str], str]:
    """The cookie of somebody who is signed in, and the access token."""
    answer = patiently(_from_console(stage, "POST", json=ADMIN), 200)
    return {"Cookie": f"console={answer.cookies['console']}"}, answer.json()["access_token"]


def _renew_at_console(stage: Stage) -> tuple[Ask, str | None]:
    return _from_console(stage, "POST", "/console/session/refresh", headers=_at_console(stage)[0]), None


def _sign_out_at_console(stage: Stage) -> tuple[Ask, str | None]:
    cookie, token = _at_console(stage)
    return _from_console(stage, "DELETE", headers=cookie), token


TABLE = (
    # Decided by asking Redis.
    Row("/api/me", _by_admin("GET", "/api/me")),
    Row("/api/reports", _by_admin("GET", "/api/reports")),
    Row("/verify", _by_admin("GET", "/verify?max_staleness=0")),
    Row("/verify/", _by_admin("GET", "/verify/")),
    Row("/verify/<path:original>", _by_admin("GET", "/verify/any/path")),
    Row("/auth/login", _login),
    Row("/auth/login", _login_in_vain, well=401),
    Row("/auth/refresh", _refresh),
    Row("/auth/logout", _logout),
    Row("/auth/logout", _logout_by_refresh_token),
    Row("/auth/logout-all", _logout_all, again=(401,)),
    Row("/auth/password", _change_own_password, again=(401,)),
    Row("/auth/sessions", _by_admin("GET", "/auth/sessions")),
    Row("/auth/sessions/<sid>", _end_session, again=(404,)),
    Row("/oauth/token", _client_credentials),
    Row("/oauth/token", _refresh_at_token_endpoint),
    Row("/oauth/revoke", _revoke_access_token),
    Row("/oauth/revoke", _revoke_refresh_token),
    Row("/oauth/introspect", _introspect),
    Row("/admin/revocations", _revoke_by_admin, well=201),
    Row("/admin/revocations", _by_admin("GET", "/admin/revocations")),
    Row("/admin/revocations/<revocation_id>", _show_revocation),
    Row("/admin/revocations/<revocation_id>", _undo, again=(404,)),
    Row("/admin/sessions", _by_admin("GET", "/admin/sessions?subject=ada")),
    Row("/admin/audit", _by_admin("GET", "/admin/audit")),
    Row("/admin/users", _new_user, well=201),
    Row("/admin/users/<username>", _change_user),
    Row("/admin/clients", _by_admin("POST", "/admin/clients", json={"name": "another"}), well=201),
    Row("/admin/clients/<client_id>", _change_client),
    Row("/admin/clients/<client_id>/secret", _rotate_secret),
    Row("/admin/throttle", _by_admin("GET", "/admin/throttle?username=ada")),
    Row("/admin/search", _by_admin("POST", "/admin/search", json={"query": "ada"})),
    Row("/admin/changes", _by_admin("GET", "/admin/changes")),
    Row("/admin/batches/<batch>", _by_admin("DELETE", "/admin/batches/of-nothing?reason=x")),
    Row("/admin/keys", _by_admin("GET", "/admin/keys")),
    Row("/admin/keys/<key_id>", _by_admin("DELETE", "/admin/keys/of-nobody")),
    Row("/admin/kinds", _by_admin("GET", "/admin/kinds")),
    Row("/admin/throttle/locked", _by_admin("GET", "/admin/throttle/locked")),
    Row("/admin/health", _by_admin("GET", "/admin/health")),
    Row("/console/session", _sign_in_at_console),
    Row("/console/session", _sign_out_at_console, well=204),
    Row("/console/session/refresh", _renew_at_console),
    # Decided without it.
    Row("/", _plain("GET", "/"), without_redis=200),
    Row("/docs", _plain("GET", "/docs"), without_redis=200),
    Row("/openapi.json", _plain("GET", "/openapi.json"), without_redis=200),
    Row("/static/<path:name>", _plain("GET", "/static/theme.css"), without_redis=200),
    Row("/console", _plain("GET", "/console"), without_redis=200),
    Row("/console/session/refresh", _plain("POST", "/console/session/refresh"), well=403, without_redis=403),
    Row("/verify", _by_admin("GET", "/verify?max_staleness=inf"), without_redis=200),
    Row("/api/me", _plain("GET", "/api/me"), well=401, without_redis=401),
    Row("/api/me", _plain("GET", "/api/me", token="no.such.token"), well=401, without_redis=401),
    Row("/auth/refresh", _plain("POST", "/auth/refresh", json={"refresh_token": "x"}), well=401, without_redis=401),
    Row("/healthz", _plain("GET", "/healthz"), without_redis=200),
    Row("/readyz", _plain("GET", "/readyz"), without_redis=200),
    Row("/metrics", _plain("GET", "/metrics"), without_redis=200),
    Row("/.well-known/jwks.json", _plain("GET", "/.well-known/jwks.json"), without_redis=200),
    Row(
        "/.well-known/oauth-authorization-server",
        _plain("GET", "/.well-known/oauth-authorization-server"),
        without_redis=200,
    ),
    Row(
        "/.well-known/oauth-authorization-server/<path:tenant>",
        _plain("GET", "/.well-known/oauth-authorization-server/else"),
        well=404,
        without_redis=404,
    ),
)


@contextlib.contextmanager
def _hung(stage: Stage) -> Iterator[None]:
    with stage.store.paused():
        yield


def _on_the_way(fault: Fault) -> Callable[[Stage], contextlib.AbstractContextManager[None]]:
    return lambda stage: stage.proxy.faulty(fault)


#: Faults under which Redis cannot be asked.
FAULTS = {
    "it refuses connections": _on_the_way(Fault(refuse=True)),
    "it hangs": _hung,
    "requests are lost": _on_the_way(Fault(request=swallowed)),
    "replies are lost": _on_the_way(Fault(reply=swallowed)),
    "replies come too late": _on_the_way(Fault(reply=late(10 * TIMEOUT_SECONDS))),
    "connections are reset at a request": _on_the_way(Fault(request=cut)),
    "connections are reset at a reply": _on_the_way(Fault(reply=cut)),
    "replies are cut short": _on_the_way(Fault(reply=truncated)),
}


def test_every_route_has_a_row(tmp_path: Path) -> None:
    settings = Settings.from_mapping(
        {"APP_DATA_DIR": str(tmp_path), "REVOCATION_REDIS_URL": "memory", "APP_WORKERS": "1"}
    )
    Stores.of(settings).keyring.ensure()
    app = create_app(settings)
    assert {rule.rule for rule in app.url_map.iter_rules()} == {row.route for row in TABLE}


@pytest.mark.parametrize("name", FAULTS)
def test_every_route_answers_as_the_table_says_and_works_again_afterwards(stage: Stage, name: str) -> None:
    for row in TABLE:
        ask, dead = row.prepare(stage)
        with FAULTS[name](stage):
            started = time.monotonic()
            answer = ask()
            seconds = time.monotonic() - started
        told = (
            f"{answer.request.method} {answer.request.path_url} when {name}: {answer.status_code} {answer.text[:200]}"
        )
        assert answer.status_code == row.without_redis, told
        assert seconds < TIMEOUT_SECONDS + PATIENCE_SECONDS, f"{told} after {seconds} s"
        if answer.status_code == 503:
            _assert_says_when_to_come_again(answer)
        again = _again(ask, row)
        assert again in (row.well, *row.again), f"{told}, and afterwards {again}"
        if dead is not None:
            patiently(stage.asks("GET", "/api/me", token=dead), 401)
    patiently(stage.asks("GET", "/api/me", token=stage.token), 200)
    patiently(stage.asks("GET", "/api/me", token=stage.revoked), 401)


def _again(ask: Ask, row: Row) -> int:
    """The status of the same request on a Redis that is well; a machine that is busy may need a third attempt."""
    for _ in range(20):
        status = ask().status_code
        if status != 503:
            break
        time.sleep(0.1)
    return status


def _assert_says_when_to_come_again(answer: requests.Response) -> None:
    assert 1 <= int(answer.headers["Retry-After"]) < 10, "not below the grace in which a refresh may be repeated"
    assert answer.headers["Cache-Control"] == "no-store"
    if answer.request.path_url.startswith("/oauth/"):
        assert answer.json()["error"] == "temporarily_unavailable"
    else:
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.json()["status"] == 503


def test_what_was_revoked_is_refused_or_undecided_under_every_fault_and_never_accepted(stage: Stage) -> None:
    ask = stage.asks("GET", "/api/me", token=stage.revoked)
    for fault in FAULTS.values():
        with fault(stage):
            assert ask().status_code in (401, 503)
        patiently(ask, 401)


def test_a_redis_that_is_slower_than_usual_but_not_too_slow_changes_nothing(stage: Stage) -> None:
    with stage.proxy.faulty(Fault(reply=late(TIMEOUT_SECONDS / 10))):
        for row in TABLE:
            ask, dead = row.prepare(stage)
            patiently(ask, row.well)
            if dead is not None:
                patiently(stage.asks("GET", "/api/me", token=dead), 401)


def test_replies_that_trickle_in_are_read_right(stage: Stage) -> None:
    with stage.proxy.faulty(Fault(reply=trickled(TIMEOUT_SECONDS / 1000))):
        patiently(stage.asks("GET", "/api/me", token=stage.token), 200)
        patiently(stage.asks("GET", "/api/me", token=stage.revoked), 401)


def test_replies_that_trickle_in_take_no_longer_than_others(stage: Stage) -> None:
    with stage.proxy.faulty(Fault(reply=trickled(TIMEOUT_SECONDS / 2))):
        started = time.monotonic()
        answer = stage.service.get("/verify?max_staleness=0", token=stage.token)
    assert time.monotonic() - started < TIMEOUT_SECONDS + PATIENCE_SECONDS
    assert answer.status_code == 503


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        (Fault(reply=cut), 100),
        (Fault(request=cut), 100),
        (Fault(reply=truncated), 100),
        (Fault(reply=late(1.2 * TIMEOUT_SECONDS)), 20),
    ],
    ids=["reset at the reply", "reset at the request", "cut short", "late"],
)
def test_an_answer_that_was_lost_is_never_taken_for_the_next_one(stage: Stage, fault: Fault, times: int) -> None:
    live = stage.asks("GET", "/api/me", token=stage.token), 200
    revoked = stage.asks("GET", "/api/me", token=stage.revoked), 401
    answers = []
    for (lost, decided), (asked, status) in [(revoked, live), (live, revoked)] * (times // 2):
        with stage.proxy.faulty(fault):
            answers.append(lost().status_code)
        assert answers[-1] in (503, decided), "on a busy machine what is late may still be in time"
        patiently(asked, status)
    assert 503 in answers
