"""A Redis Cluster: everything is in one slot, and the slot may move."""

import time
from collections.abc import Iterator
from pathlib import Path

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
from tests.support.clusters import Cluster, three_nodes


@pytest.fixture(name="cluster")
def _cluster(tmp_path: Path) -> Iterator[Cluster]:
    with three_nodes() as cluster:
        yield cluster


def claims(number: int) -> Claims:
    now = int(time.time())
    return Claims.from_mapping(
        {
            "iss": "https://auth.example",
            "sub": "ada",
            "jti": f"t{number}",
            "sid": "s",
            "iat": now - 60,
            "exp": now + 900,
        }
    )


def answer(guard: Guard, token: Claims, *, max_staleness: float) -> str:
    try:
        guard.check(token, max_staleness=max_staleness)
    except RevokedTokenError:
        return "revoked"
    except DenylistUnavailableError:
        return "unavailable"
    return "accepted"


def eventually(guard: Guard, token: Claims, *, max_staleness: float, expected: str) -> None:
    deadline = time.monotonic() + 60
    while (found := answer(guard, token, max_staleness=max_staleness)) != expected:
        assert time.monotonic() < deadline, f"{found}, and not {expected}"
        time.sleep(0.02)


def test_revoking_following_and_asking_go_on_when_the_slot_moves_to_another_node(cluster: Cluster) -> None:
    client = connect(cluster.url, timeout_seconds=1.0)
    denylist = RedisDenylist(client)
    guard = Guard(None, denylist)
    try:
        denylist.open(accept_existing=True)
        before, after, good = claims(1), claims(2), claims(3)
        eventually(guard, good, max_staleness=1.0, expected="accepted")
        denylist.revoke(Handle.token(before))
        eventually(guard, before, max_staleness=1.0, expected="revoked")
        held_by = cluster.holder("{denylist}:head")

        cluster.move("{denylist}:head")

        assert cluster.holder("{denylist}:head") != held_by
        assert answer(guard, before, max_staleness=1.0) == "revoked"
        eventually(guard, good, max_staleness=0, expected="accepted")
        assert answer(guard, before, max_staleness=0) == "revoked"
        receipt = denylist.revoke(Handle.token(after), wait_seconds=5)
        assert receipt.enforced
        assert receipt.followers_confirmed == receipt.followers_total == 1
        assert answer(guard, after, max_staleness=1.0) == "revoked"
        assert guard.follower is not None
        page = denylist.page()
        assert {one.handle.value for one in page.revocations} == {"t1", "t2"}
    finally:
        guard.stop()
        client.close()
