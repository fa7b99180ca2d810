"""The log: every change in order and chained, trimmed by age, and what outlives it."""

import json
from typing import Any, cast

import pytest
import redis

from revocation import (
    Handle,
    Lifetimes,
    RedisDenylist,
)
from revocation.redis.protocol import mark_of
from tests.support.denylists import SESSION, SUBJECT, all_pages, log_of, opened, until
from tests.support.tokens import ISSUER


def test_every_change_names_its_predecessor_and_the_head_names_the_last(denylist: RedisDenylist) -> None:
    receipts = [denylist.revoke(Handle("subject", f"u{number}", issuer=ISSUER)) for number in range(5)]
    denylist.revoke_many([SUBJECT, SESSION, Handle("key", "k", issuer=ISSUER)])
    denylist.undo(receipts[2].revocations[0].id)
    denylist.revoke_many([])

    log = log_of(denylist)

    assert [fields["op"] for _, fields in log] == ["revoke"] * 8 + ["undo"]
    previous = "0-0--"
    for id_, fields in log:
        assert fields["prev"] == previous
        previous = f"{id_}-{fields['tag']}"
    head = denylist.head()
    assert f"{head.last_id}-{head.last_tag}" == previous


def test_the_log_says_what_became_of_each_entry(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    first = denylist.revoke(SUBJECT, actor="root", reason="stolen").revocations[0]
    second = denylist.revoke(SUBJECT).revocations[0]
    denylist.undo(first.id, actor="admin", reason="found again")
    entry = cast("bytes", client.get(denylist.key(SUBJECT.name))).decode()
    denylist.undo(second.id)

    (_, one), (_, two), (_, three), (_, four) = log_of(denylist)

    assert {one["name"], two["name"], three["name"], four["name"]} == {SUBJECT.name}
    own = f"{first.id}={first.issued_before_ms}/{mark_of(actor='root', reason='stolen')}"
    assert one["entry"] == f"{first.issued_before_ms} {own}"
    # Nobody's has no mark.
    assert two["entry"] == f"{second.issued_before_ms} {own} {second.id}={second.issued_before_ms}"
    assert three["entry"] == entry == f"{second.issued_before_ms} {second.id}={second.issued_before_ms}"
    assert four["entry"] == ""
    # In the line it counts from the line's own instant, and is never earlier.
    assert 0 <= int(one["expires"]) - (first.expires_at_ms or 0) <= 1000
    asked = json.loads(one["about"])[0]
    assert asked == {"kind": "subject", "issuer": ISSUER, "value": "ada", "actor": "root", "reason": "stolen"}
    assert json.loads(three["about"]) == {"revocation": first.id, "actor": "admin", "reason": "found again"}


def test_an_undo_that_finds_nothing_writes_nothing(denylist: RedisDenylist) -> None:
    revocation = denylist.revoke(SUBJECT).revocations[0]
    denylist.undo(revocation.id)
    before = log_of(denylist), denylist.head()

    assert denylist.undo(revocation.id) is False
    assert (log_of(denylist), denylist.head()) == before


def test_junk_with_a_later_id_stops_neither_the_log_nor_the_chain(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    first = denylist.revoke(SUBJECT).revocations[0]
    ahead = denylist.now_ms() + 5000
    client.xadd(denylist.key("log"), {"junk": "1"}, id=f"{ahead}-7")

    second = denylist.revoke(SUBJECT).revocations[0]
    third = denylist.revoke(SESSION).revocations[0]

    assert second.id.startswith(f"{ahead}-8-")
    assert third.id.startswith(f"{ahead}-9-")
    (_, one), _, (_, two), (_, three) = log_of(denylist)
    assert two["prev"] == first.id == f"{one['prev'] and first.id}"
    assert three["prev"] == second.id
    assert [one.id for one in all_pages(denylist)] == [third.id, second.id, first.id]
    assert denylist.undo(first.id)
    assert denylist.undo(second.id)


JUNK = "9-9-ffffffff 00000000 revoke @1 never subject:x:y * 1-1-00000000=*"


@pytest.mark.parametrize(
    "fields",
    [
        *({"change": "revoke"}, {"change": JUNK, "about": "x"}, {"change": ""}, {"x": "y"}),
        *({"change": JUNK, "about": "[1,2,3]"}, {"change": b"0-0-- \xff", "about": "[]"}, {"change": JUNK}),
        {"change": JUNK, "about": '[{"kind": "user"}, "*", "never"]'},
    ],
)
def test_junk_in_the_log_is_passed_over_by_the_list(denylist: RedisDenylist, fields: dict[Any, Any]) -> None:
    client = denylist.link.client
    before = denylist.revoke(SUBJECT).revocations[0]
    id_ = cast("bytes", client.xadd(denylist.key("log"), fields)).decode()
    after = denylist.revoke(SESSION).revocations[0]

    assert all_pages(denylist) == [after, before]
    assert denylist.find(f"{id_}-00000000") is None
    assert denylist.undo(f"{id_}-00000000") is False


SHORT = Lifetimes(max_token_seconds=1, leeway_seconds=0, margin_seconds=0)


def test_the_log_is_trimmed_by_age(client: "redis.Redis", namespace: str) -> None:
    denylist = opened(client, namespace, lifetimes=SHORT)
    old = denylist.revoke_many([Handle("subject", f"u{number}", issuer=ISSUER) for number in range(220)])
    written_at = old.revocations[-1].created_at_ms
    until(lambda: denylist.now_ms() > written_at + SHORT.horizon_ms)

    lengths = []
    for _ in range(4):
        last = denylist.revoke(SUBJECT).revocations[0]
        log, head = log_of(denylist), denylist.head()
        lengths.append(len(log))
        assert (log[-1][0], log[-1][1]["tag"]) == (head.last_id, head.last_tag) == tuple(last.id.rsplit("-", 1))
        # The log says where it begins: behind the last line that was dropped, which the first one kept names.
        assert head.floor == log[0][1]["prev"].rpartition("-")[0]
        assert head.floor in {one.id.rpartition("-")[0] for one in old.revocations}

    # A call drops fewer than 64, so that nobody waits long for Redis.
    assert lengths == [158, 96, 34, 4]


def test_nothing_younger_than_the_horizon_is_trimmed(denylist: RedisDenylist) -> None:
    denylist.revoke_many([Handle("subject", f"u{number}", issuer=ISSUER) for number in range(1000)])

    assert len(log_of(denylist)) == 1000


def test_what_outlives_the_log_can_still_be_found_and_undone(client: "redis.Redis", namespace: str) -> None:
    lasting = Lifetimes(max_token_seconds=60, leeway_seconds=0, margin_seconds=0, session_seconds=3600)
    denylist = opened(client, namespace, lifetimes=lasting)
    key = Handle("key", "k1", issuer=ISSUER)
    token = Handle("token", "t", issuer=ISSUER, expires_at=denylist.now_ms() / 1000 + 30)
    short, session, subject, revoked_key = denylist.revoke_many(
        [token, SESSION, SUBJECT, key], reason="stolen", actor="root"
    ).revocations
    client.xtrim(denylist.key("log"), maxlen=0, approximate=False)
    newest = denylist.revoke(Handle("session", "s-2", issuer=ISSUER)).revocations[0]

    # The longest-lived first, after those that are in the log; each once.
    for limit in (1, 2, 50):
        found = all_pages(denylist, limit=limit)
        assert found[:2] == [newest, revoked_key]
        assert sorted(one.id for one in found[2:]) == sorted([session.id, subject.id])
    assert all_pages(denylist, kind="session") == [newest, session]
    assert denylist.find(session.id) == session
    assert denylist.find(short.id) is None
    for one in (session, subject, revoked_key):
        assert denylist.undo(one.id)
        assert denylist.find(one.id) is None
    assert all_pages(denylist) == [newest]
    assert denylist.latest_cutoff([SESSION, SUBJECT, key]) == 0


def test_records_of_what_has_expired_are_swept_by_later_revocations(client: "redis.Redis", namespace: str) -> None:
    denylist = opened(client, namespace, lifetimes=SHORT)
    outliving = Handle("token", "t", issuer=ISSUER, expires_at=denylist.now_ms() // 1000 + 3)
    first = denylist.revoke(outliving).revocations[0]
    assert client.hlen(denylist.key("lasting")) == client.zcard(denylist.key("lasting:expiry")) == 1
    assert first.expires_at_ms is not None
    until(lambda: denylist.now_ms() > (first.expires_at_ms or 0))

    second = denylist.revoke(SESSION).revocations[0]

    assert client.hkeys(denylist.key("lasting")) == [second.id.encode()]
    assert client.zrange(denylist.key("lasting:expiry"), 0, -1) == [second.id.encode()]
    assert denylist.find(first.id) is None


def test_instants_never_decrease_along_the_chain_and_no_id_is_taken_for_one(denylist: RedisDenylist) -> None:
    client = denylist.link.client
    ahead = denylist.now_ms() + 10**9
    denylist.revoke(SUBJECT)
    client.xadd(denylist.key("log"), {"junk": "1"}, id=f"{ahead}-0")

    later = denylist.revoke_many([SUBJECT, SESSION]).revocations

    lines = [fields for _, fields in log_of(denylist) if "change" in fields]
    instants = [int(fields["at"].removeprefix("@")) for fields in lines]
    assert all(fields["at"].startswith("@") for fields in lines)
    assert instants == sorted(instants)
    assert instants[-1] == denylist.head().at_ms < ahead - 10**8
    assert all(int(one.id.split("-")[0]) >= ahead and one.created_at_ms < ahead - 10**8 for one in later)
    assert [found.created_at_ms for found in all_pages(denylist)] == instants[::-1]
