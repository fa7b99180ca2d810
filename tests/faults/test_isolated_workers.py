"""The primary of three is cut off together with a service's workers: what they accept, judged by what was seen."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import requests

from app.settings import Settings
from app.stores import denylist
from revocation import DenylistUnavailableError, Handle
from tests.faults.history import History, Issue, Request, Revoke, check
from tests.support.ports import free_port
from tests.support.proxy import Fault, swallowed
from tests.support.sentinels import Sentinels, three_nodes
from tests.support.service import Service, serving

BOUND_SECONDS = 1.0
TIMEOUT_SECONDS = 0.2
LOGINS = 8

#: How long the cut lasts with FAULTS_LONG=1; else until the service that asks no replica has gone wrong often enough.
LONG_SECONDS = 10.0 if os.environ.get("FAULTS_LONG") == "1" else 0.0
ENOUGH = 20
PATIENCE_SECONDS = 30.0

ROUTES = (("/api/me", BOUND_SECONDS), ("/verify?max_staleness=0", 0.0))


@pytest.fixture(name="nodes")
def _nodes(tmp_path: Path) -> Iterator[Sentinels]:
    with three_nodes() as nodes:
        yield nodes


def ask(service: Service, token: str, session: str, history: History) -> None:
    """Present a token on every route, and write down what came back."""
    for path, bound in ROUTES:
        sent = time.monotonic()
        try:
            answer = service.get(path, token=token, timeout=5)
        except requests.RequestException:
            history.add(Request(session, bound, sent, time.monotonic(), 0))
        else:
            history.add(Request(session, bound, sent, time.monotonic(), answer.status_code))


def test_workers_that_are_isolated_with_the_primary_accept_nothing_that_was_revoked_elsewhere(
    nodes: Sentinels, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        # The same tokens at two services that differ in one setting: 0 shows that the checker would see it.
        address = f"http://127.0.0.1:{free_port()}"
        env = {
            "APP_ISSUER": address,
            "APP_AUDIENCE": address,
            "APP_KEYS_DIR": str(tmp_path / "keys"),
            "REVOCATION_REDIS_URL": nodes.first_primary_url,
            "REVOCATION_TIMEOUT": str(TIMEOUT_SECONDS),
            "REVOCATION_MAX_STALENESS": str(BOUND_SECONDS),
        }
        services = {
            least: stack.enter_context(serving(tmp_path / f"least-{least}", **env, REVOCATION_MIN_REPLICAS=least))
            for least in ("1", "0")
        }
        histories = {least: History() for least in services}
        tokens = _sign_in(services["1"], histories)

        elsewhere = denylist(
            Settings.from_mapping(
                env
                | {"REVOCATION_REDIS_URL": nodes.url, "REVOCATION_MIN_REPLICAS": "1"}
                | {"APP_DATA_DIR": str(tmp_path), "APP_ADMIN_PASSWORD": "x" * 12}
            )
        )
        stack.callback(elsewhere.link.close)
        for token in tokens.values():
            for least, service in services.items():
                assert service.get("/api/me", token=token).status_code == 200, least

        revoked: list[str] = []
        with nodes.proxy.faulty(Fault(request=swallowed, reply=swallowed)):
            began = time.monotonic()
            while True:
                verdicts = {least: check(history, recovery_seconds=0) for least, history in histories.items()}
                seconds = time.monotonic() - began
                late = Counter(request.bound for request in verdicts["0"].violations)
                if min(late[bound] for _, bound in ROUTES) >= ENOUGH and seconds >= LONG_SECONDS:
                    break
                assert seconds < PATIENCE_SECONDS, f"the control found {verdicts['0']}"
                if len(revoked) < len(tokens):
                    session = list(tokens)[len(revoked)]
                    invoked = time.monotonic()
                    try:
                        elsewhere.revoke(Handle("session", session, issuer=address), wait_seconds=0)
                    except DenylistUnavailableError:
                        # No new primary yet.
                        time.sleep(0.02)
                    else:
                        for history in histories.values():
                            history.add(Revoke(session, True, invoked, time.monotonic(), "ok"))
                        revoked.append(session)
                for one in revoked:
                    for least, service in services.items():
                        ask(service, tokens[one], one, histories[least])

    print(f"cut off for {seconds:.1f} s; 1 replica: {verdicts['1']}; none: {verdicts['0']}")  # noqa: T201 (the figures)
    assert verdicts["1"].violations == []
    assert verdicts["1"].figures["too late to accept"] >= ENOUGH


def _sign_in(service: Service, histories: dict[str, History]) -> dict[str, str]:
    """Access tokens by their sessions."""
    tokens = {}
    for _ in range(LOGINS):
        invoked = time.monotonic()
        login = service.login()
        for history in histories.values():
            history.add(Issue(login["session_id"], frozenset({login["session_id"]}), invoked, time.monotonic()))
        tokens[login["session_id"]] = login["access_token"]
    return tokens
