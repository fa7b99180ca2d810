"""What the playground calls: sessions of the server's own, brief tokens, an outage."""

import contextlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import demonstration
from app.demonstration.outage import Outage
from app.routes import demo
from revocation import Claims
from tests.app.api import Api, prepared, settings_for
from tests.support.denylists import until
from tests.support.servers import Server


@pytest.fixture(scope="module")
def api(valkey: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    settings = settings_for(valkey, tmp_path_factory.mktemp("service"))
    bounded = replace(settings, revocation=replace(settings.revocation, max_staleness=1.0))
    with prepared(bounded) as api:
        api.app.register_blueprint(demo.routes)
        demonstration.prepare(api.service.stores, api.settings)
        yield api


@pytest.fixture
def token(api: Api) -> str:
    return api.login(demonstration.USERNAME, demonstration.PASSWORD).access_token


def brief_token(api: Api, token: str) -> str:
    def minted() -> bool:
        """Every deny-list has a first second in which it vouches for nothing."""
        return api.post("/demo/brief", token=token).status_code == 200

    until(minted)
    answer: dict[str, Any] = api.post("/demo/brief", token=token).get_json()
    assert answer["expires_in"] == demonstration.BRIEF_SECONDS
    return str(answer["access_token"])


def test_a_session_is_looked_up_until_it_ends(api: Api, token: str) -> None:
    id_ = api.post("/demo/session", token=token).get_json()["session_id"]
    header = {"Authorization": f"Session {id_}"}

    answer = api.get("/demo/session", headers=header)
    assert answer.get_json()["hello"] == demonstration.USERNAME
    assert answer.headers["Server-Timing"].startswith("session;dur=")
    assert api.delete("/demo/session", headers=header).status_code == 204

    answer = api.get("/demo/session", headers=header)
    assert (answer.status_code, answer.get_json()["reason"]) == (401, "session_ended")
    assert answer.headers["WWW-Authenticate"] == "Session"


@pytest.mark.parametrize("header", ["", "Session", "Session ", "Bearer abc", "Session no-such-session"])
def test_nobody_has_a_session_that_was_not_begun(api: Api, header: str) -> None:
    assert api.get("/demo/session", headers={"Authorization": header}).status_code == 401


def test_the_entry_of_a_brief_token_ends_in_the_second_in_which_the_token_does(api: Api, token: str) -> None:
    brief = brief_token(api, token)
    assert api.get("/demo/brief", token=brief).status_code == 200
    assert api.get("/demo/brief/entry", token=brief).get_json()["expires_in_seconds"] is None

    assert api.post("/demo/brief/revoke", token=brief).status_code == 204

    assert api.get("/demo/brief", token=brief).get_json()["reason"] == "revoked"
    claims: Claims = api.service.verifier.verify(brief)
    entry = api.get("/demo/brief/entry", token=brief).get_json()
    # In whole milliseconds: the entry was looked at in this one, or before.
    left_ms = 1000 * int(claims.expires_at) - api.service.stores.denylist.now_ms()
    assert 0 <= round(1000 * entry["expires_in_seconds"]) - left_ms < 1500
    assert entry["key"].startswith("{")


def test_a_token_that_lives_for_longer_is_no_brief_token(api: Api, token: str) -> None:
    assert api.get("/demo/brief", token=token).status_code == 401
    assert api.post("/demo/brief/revoke", token=token).status_code == 401


def test_an_outage_is_of_a_redis_of_its_own(api: Api, token: str) -> None:
    answer = api.post("/demo/outage", token=token)

    samples = [json.loads(line) for line in answer.get_data(as_text=True).splitlines()]
    assert answer.mimetype == "application/x-ndjson"
    before, away = samples[0], [sample["answers"] for sample in samples if sample["is_redis_away"]]
    assert before["answers"] == dict.fromkeys(("session", "stateless", "bounded", "strict"), 200)
    assert {one["session"] for one in away} == {one["strict"] for one in away} == {503}
    assert {one["stateless"] for one in away} == {200}
    # Memory does for as long as it may be old.
    bounded = [one["bounded"] for one in away]
    assert bounded == sorted(bounded)
    assert set(bounded) == {200, 503}
    assert samples[-1]["answers"]["session"] == 200
    # The service's own deny-list was never away, and another outage can follow.
    assert api.get("/demo/strict", token=token).status_code == 200
    store = api.service.stores.denylist
    assert not store.link.client.exists(store.key("app:demo:outage"))


def test_one_outage_at_a_time(api: Api, token: str) -> None:
    store = api.service.stores.denylist
    store.link.client.set(store.key("app:demo:outage"), "1", px=5000)

    answer = api.post("/demo/outage", token=token)

    assert (answer.status_code, answer.get_json()["reason"]) == (429, "busy")
    assert answer.headers["Retry-After"] == "5"
    store.link.client.delete(store.key("app:demo:outage"))


def test_a_visitor_who_leaves_in_an_outage_leaves_no_redis_behind(
    api: Api, token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    outage = Outage(api.service.stores.denylist, api.service.verifier, max_staleness=1.0)
    samples = outage.samples(token)
    while not next(samples).is_redis_away:
        assert servers_below(tmp_path)

    samples.close()

    until(lambda: not servers_below(tmp_path))
    assert not list(tmp_path.iterdir())


def servers_below(directory: Path) -> list[Path]:
    """The processes whose working directory is below this one."""
    found = []
    for process in Path("/proc").glob("[0-9]*/cwd"):
        with contextlib.suppress(OSError):
            found.append(process.readlink())
    return [place for place in found if place.is_relative_to(directory)]
