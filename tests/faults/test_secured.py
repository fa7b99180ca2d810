"""Sentinel and Cluster as managed Redis has them: TLS, users and passwords; the primary may be killed."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from revocation import (
    Claims,
    DenylistUnavailableError,
    Guard,
    Handle,
    RedisDenylist,
    RevokedTokenError,
    connect,
)
from tests.support import secured_clusters, secured_sentinels
from tests.support.command import Terminal
from tests.support.secured import USER, Secured

#: What the doctor finds well.
_OPTIONS = ("--appendonly", "yes", "--appendfsync", "always", "--maxmemory-policy", "noeviction")

#: How long a failover may take on a machine that is busy with other tests.
_PATIENCE_SECONDS = 30.0


@dataclass(frozen=True)
class Site:
    """One deployment, as its users see it."""

    #: As the user `default`, and as the deny-list's own.
    urls: dict[str, str]
    secured: Secured
    kill_primary: Callable[[], None]


def _credentials(secured: Secured, user: str) -> str:
    password = secured.default_password if user == "default" else secured.own_password
    # The user `default` may be left out.
    return f"{'' if user == 'default' else user}:{quote(password, safe='')}@"


@contextlib.contextmanager
def _cluster(directory: Path) -> Iterator[Site]:
    key = "{denylist}:head"
    with secured_clusters.secured_nodes(directory, key=key, options=_OPTIONS) as cluster:
        secured = cluster.secured
        assert secured is not None
        urls = {
            user: f"rediss+cluster://{_credentials(secured, user)}{cluster.hosts}?{secured.query}"
            for user in ("default", USER)
        }
        yield Site(urls, secured, lambda: cluster.kill(cluster.holder(key)))


@contextlib.contextmanager
def _sentinel(directory: Path) -> Iterator[Site]:
    with secured_sentinels.secured_nodes(directory, options=_OPTIONS) as nodes:
        secured = nodes.secured
        asked_as = {
            "default": f"sentinel_password={quote(nodes.sentinel_password)}",
            USER: f"sentinel_username=watcher&sentinel_password={quote(nodes.watcher_password)}",
        }
        urls = {
            user: f"rediss+sentinel://{_credentials(secured, user)}{nodes.hosts}/service?{secured.query}&{asked}"
            for user, asked in asked_as.items()
        }
        yield Site(urls, secured, lambda: nodes.kill(nodes.primary()))


SITES = {"cluster": _cluster, "sentinel": _sentinel}


@pytest.fixture(params=SITES, name="site")
def _site(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    # Each connection would read all authorities of the system as well, which takes a thirtieth of a second.
    monkeypatch.setenv("SSL_CERT_FILE", os.devnull)
    with SITES[request.param](tmp_path) as site:
        yield site


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(monkeypatch, capsys, REVOCATION_TIMEOUT="2", REVOCATION_MIN_REPLICAS="1")


def claims(number: int) -> Claims:
    now = int(time.time())
    told = {"iss": "https://auth.example", "sub": "ada", "jti": f"t{number}", "sid": f"s{number}"}
    return Claims.from_mapping({**told, "iat": now - 60, "exp": now + 900})


def answer(guard: Guard, token: Claims, *, max_staleness: float) -> str:
    try:
        guard.check(token, max_staleness=max_staleness)
    except RevokedTokenError:
        return "revoked"
    except DenylistUnavailableError:
        return "unavailable"
    return "accepted"


def eventually(ask: Callable[[], str], expected: str) -> None:
    """The answer comes to be the expected one, and is meanwhile none at all, never the other."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while (given := ask()) != expected:
        assert given == "unavailable", f"{given}, and not {expected}"
        assert time.monotonic() < deadline, f"still {given}"
        time.sleep(0.02)


def assert_well(terminal: Terminal, url: str) -> None:
    """The doctor finds no problem at any time, and soon nothing to warn of either."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    looked_at = ("replication", "eviction", "persistence", "acl-needed", "tls", "epoch", "followers")
    while True:
        done = terminal("doctor", "--json", REVOCATION_REDIS_URL=url)
        assert done.code == 0, done.out + done.err
        findings: Any = {finding["check"]: finding["severity"] for finding in done.json["findings"]}
        assert "problem" not in findings.values()
        # A follower on a busy machine may be late with one beat, which the doctor says.
        if all(findings[check] == "fine" for check in looked_at):
            return
        assert time.monotonic() < deadline, done.out


def revoking(denylist: RedisDenylist, token: Claims) -> str:
    """Revoke a token; `unavailable` where the replicas of a new primary have not come yet."""
    try:
        denylist.revoke(Handle.token(token), wait_seconds=1)
    except DenylistUnavailableError:
        return "unavailable"
    return "revoked"


def test_over_tls_and_with_passwords_the_story_passes_and_a_killed_primary_is_survived(
    site: Site, terminal: Terminal
) -> None:
    for user in ("default", USER):
        client = connect(site.urls[user], timeout_seconds=1.0)
        denylist = RedisDenylist(client, min_replicas=1)
        guard = Guard(None, denylist)
        first, second, good = (claims(3 * len(user) + number) for number in range(3))
        try:
            denylist.open(accept_existing=user == "default")
            eventually(partial(answer, guard, good, max_staleness=1.0), "accepted")
            assert denylist.now_ms() > 0
            receipt = denylist.revoke(Handle.token(first), wait_seconds=10)
            assert receipt.enforced
            for bound in (0, 1.0):
                assert answer(guard, first, max_staleness=bound) == "revoked"
                assert answer(guard, good, max_staleness=bound) == "accepted"
            assert_well(terminal, site.urls[user])
            if user != "default":
                site.kill_primary()
                for bound in (0, 1.0):
                    eventually(partial(answer, guard, good, max_staleness=bound), "accepted")
                    assert answer(guard, first, max_staleness=bound) == "revoked"
                eventually(partial(revoking, denylist, second), "revoked")
                for bound in (0, 1.0):
                    assert answer(guard, second, max_staleness=bound) == "revoked"
        finally:
            guard.stop()
            denylist.link.close()
