"""The table: every scenario, on every adapter and its real server, has the same answer, byte for byte."""

import time
from collections.abc import Sequence
from dataclasses import replace

import pytest

from revocation import Handle, InvalidTokenError, KeySet, RedisDenylist, TokenVerifier, connect
from revocation.bearer import Bearer, token_in
from tests.adapters import page
from tests.adapters.scenarios import (
    ALL,
    BACK,
    CALM,
    LOST,
    OUTAGE,
    REVOCATIONS,
    REVOKED,
    UNDONE,
    Cast,
    Scenario,
)
from tests.adapters.serving import HEADERS, SERVERS, Got, Served, serving
from tests.support.denylists import opened
from tests.support.servers import Server, StartServer
from tests.support.tokens import AUDIENCE, ISSUER

#: These have no way to add a header to what a view answers.
WITHOUT_TIMING = ("ninja", "ninja_async")


def named(name: str) -> Scenario:
    return next(scenario for scenario in ALL if scenario.name == name)


def expected(scenario: Scenario, cast: Cast, got: Got) -> Got:
    """The answer that the scenario asks for."""
    if scenario.error is None:
        content = b"" if scenario.method == "HEAD" else scenario.text.encode()
        return Got(200, got.headers, content, scenario.source)
    error = scenario.error
    if isinstance(error, InvalidTokenError) and not str(error):
        error = _why(cast, error.reason, [value for _, value in scenario.headers(cast)])
    answer = Bearer().answer(error)
    told = {name.lower(): value for name, value in answer.headers} | {"content-length": str(len(answer.body))}
    headers = tuple((name, told[name]) for name in HEADERS if name in told)
    return Got(answer.status, headers, b"" if scenario.method == "HEAD" else answer.body, scenario.source)


def _why(cast: Cast, reason: str, headers: Sequence[str]) -> InvalidTokenError:
    """What is wrong with a token, in the words of the library."""
    verifier = TokenVerifier(KeySet(cast.keys), issuer=ISSUER, audience=AUDIENCE)
    with pytest.raises(InvalidTokenError) as caught:
        verifier.verify(token_in(",".join(headers)))
    assert caught.value.reason == reason
    return caught.value


class Run:
    """One adapter, while things happen to Redis."""

    def __init__(self, served: Served, cast: Cast, *, is_timed: bool) -> None:
        self._served = served
        self._is_timed = is_timed
        self._cast = cast
        #: The status of each scenario that was played.
        self.seen: dict[str, int] = {}

    def ask(self, scenario: Scenario) -> Got:
        query = scenario.query(self._cast)
        path = f"{scenario.path}?{query}" if query else scenario.path
        return self._served.ask(scenario.method, path, scenario.headers(self._cast), scenario.body(self._cast))

    def until(self, scenario: Scenario, status: int) -> None:
        """Wait for what followers learn, and for bounds that pass."""
        deadline = time.monotonic() + 30
        while True:
            got = self.ask(scenario)
            if got.status == status and (got.source == scenario.source or not self._is_timed):
                return
            assert time.monotonic() < deadline, (scenario.name, got, self._served.log.read_text())
            time.sleep(0.02)

    def play(self, scenarios: Sequence[Scenario]) -> None:
        for scenario in scenarios:
            got = self.ask(scenario)
            if got.status == 200 and not self._is_timed:
                got = replace(got, source=scenario.source)
            assert got == expected(scenario, self._cast, got), (scenario.name, self._served.log.read_text())
            self.seen[scenario.name] = got.status


def play_all(name: str, server: Server, namespace: str) -> dict[str, int]:
    """Play every scenario on one adapter, and give back the status of each."""
    patient = server.client()
    opened(patient, namespace)
    denylist = RedisDenylist(connect(server.url, timeout_seconds=5), namespace=namespace)
    cast = Cast()
    env = {"TABLE_URL": server.url, "TABLE_NAMESPACE": namespace, "TABLE_SECRETS": " ".join(cast.secrets)}
    with serving(name, **env) as served:
        run = Run(served, cast, is_timed=name not in WITHOUT_TIMING)
        run.until(named("a good token"), 200)
        run.play(CALM)

        undone = denylist.revoke(Handle("session", "session of undone", issuer=ISSUER))
        for handle in REVOKED.values():
            denylist.revoke(handle(cast))
        for scenario in REVOCATIONS[: len(REVOKED)]:
            run.until(scenario, 401)
        run.until(UNDONE[0], 401)
        run.play(REVOCATIONS)
        assert undone.revocation is not None
        denylist.undo(undone.revocation.id)
        run.until(UNDONE[0], 200)
        run.play(UNDONE)

        with server.paused():
            run.until(named("Redis hangs for longer than the bound"), 503)
            run.play(OUTAGE)
        for scenario in BACK:
            run.until(scenario, 200)
        run.play(BACK)

        patient.flushall()
        for scenario in LOST:
            run.until(scenario, 401 if scenario.error else 200)
        run.play(LOST)
    return run.seen


@pytest.mark.parametrize("name", SERVERS)
def test_an_adapter_gives_the_answers_of_the_table(name: str, start_server: StartServer, namespace: str) -> None:
    seen = play_all(name, start_server(), namespace)

    assert list(seen) == [scenario.name for scenario in ALL]
    assert len(seen) >= 40
    assert page.column(name) == {scenario: str(status) for scenario, status in seen.items()}, (
        "docs/frameworks.md shows another table: python -m tests.adapters writes it"
    )
