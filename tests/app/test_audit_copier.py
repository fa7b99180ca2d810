"""The audit is the log: every revocation and undo, by whatever process, exactly once."""

import contextlib
import sqlite3
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.audit import Actor, Audit
from app.audit_copier import AuditCopier
from app.database import AuditRow, Database, DatabaseUnavailableError
from app.instants import utc_now
from revocation import Handle, RedisDenylist
from revocation.handles import KINDS
from revocation.metrics import REVOCATIONS, UNDONE
from tests.support.denylists import can_mint, opened, until
from tests.support.servers import Server

ISSUER = "https://auth.example"
ADA = Handle("subject", "ada", issuer=ISSUER)


@pytest.fixture
def denylist(valkey: Server, namespace: str) -> RedisDenylist:
    return opened(valkey.client(), namespace)


@pytest.fixture
def copier(denylist: RedisDenylist, database: Database) -> AuditCopier:
    return AuditCopier(denylist, Audit(database))


def records(database: Database) -> list[tuple[str, str, str, str, str]]:
    """Who did what to whom, why and from where, in the order in which it was written down."""
    return [(one.actor, one.action, one.target, one.reason, one.address) for one in Audit(database).everything()]


def counted() -> Counter[str]:
    """Revocations by kind and undos, as the alarms see them."""
    found: Counter[str] = Counter({"undone": int(UNDONE._value.get())})
    for kind in KINDS:
        found[kind] = int(REVOCATIONS.labels(kind)._value.get())
    return found


def handles(count: int) -> list[Handle]:
    return [Handle("session", f"s-{number}", issuer=ISSUER) for number in range(count)]


def test_what_any_process_revokes_and_undoes_is_in_the_audit(
    copier: AuditCopier, denylist: RedisDenylist, database: Database
) -> None:
    made = denylist.revoke(ADA, actor="operator eve", reason="laptop stolen", address="host-7").revocation
    assert made is not None
    denylist.undo(made.id, actor="bob", reason="found", address="192.0.2.7")
    denylist.revoke(Handle("session", "s-1", issuer=ISSUER), actor="ada", action="session.logout")
    denylist.revoke(Handle("issuer", issuer=ISSUER), action="No act of ours")

    copier.copy()

    assert records(database) == [
        ("operator eve", "revocation.create", "subject:ada", "laptop stolen", "host-7"),
        ("bob", "revocation.undo", "subject:ada", "found", "192.0.2.7"),
        ("ada", "session.logout", "s-1", "", ""),
        ("", "revocation.create", f"issuer:{ISSUER}", "", ""),
    ]
    first, second, *_ = Audit(database).everything()
    assert first.revocation_id == second.revocation_id == made.id
    assert abs(first.at.timestamp() * 1000 - made.created_at_ms) < 1


def test_what_it_copies_it_counts_for_the_alarms(copier: AuditCopier, denylist: RedisDenylist) -> None:
    before = counted()
    for kind in ("issuer", "key", "session", "session"):
        denylist.revoke(Handle(kind, "" if kind == "issuer" else "a value", issuer=ISSUER))
    made = denylist.revoke(ADA).revocation
    assert made is not None
    denylist.undo(made.id)
    denylist.undo(made.id)

    copier.copy()
    copier.copy()

    assert counted() - before == {"issuer": 1, "key": 1, "session": 2, "subject": 1, "undone": 1}


def test_many_that_copy_at_once_write_and_count_each_line_once(
    denylist: RedisDenylist, database: Database, database_url: str
) -> None:
    before = counted()
    denylist.revoke_many(handles(500), reason="many")

    def copy(_: int) -> None:
        other = Database(database_url)
        copier = AuditCopier(denylist, Audit(other))
        for _attempt in range(10):
            # A machine that is busy keeps SQLite locked for longer than anybody waits; a later call goes on.
            with contextlib.suppress(DatabaseUnavailableError):
                copier.copy()
                break
        other.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(copy, range(4)))

    assert sorted(target for _, _, target, _, _ in records(database)) == sorted(f"session:s-{n}" for n in range(500))
    assert counted() - before == {"session": 500}


def test_a_database_that_was_away_gets_everything_afterwards(
    copier: AuditCopier, denylist: RedisDenylist, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = counted()
    denylist.revoke_many(handles(3))
    copier.copy()
    with monkeypatch.context() as away:
        away.setattr(database, "_transaction", _away)
        denylist.revoke_many([Handle("session", f"late-{number}", issuer=ISSUER) for number in range(450)])
        with pytest.raises(DatabaseUnavailableError):
            copier.copy()
        assert counted() - before == {"session": 3}

    copier.copy()

    assert len(records(database)) == 453
    assert counted() - before == {"session": 453}


def test_a_commit_whose_answer_was_lost_is_written_once(
    copier: AuditCopier, denylist: RedisDenylist, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    denylist.revoke_many(handles(5))
    with monkeypatch.context() as lossy:
        take_over = copier._audit.take_over

        def lose(*args: Any, **kwargs: Any) -> set[str]:
            take_over(*args, **kwargs)
            raise DatabaseUnavailableError("no answer")

        lossy.setattr(copier._audit, "take_over", lose)
        with pytest.raises(DatabaseUnavailableError):
            copier.copy()

    copier.copy()

    assert len(records(database)) == 5


def test_how_far_behind_it_is_can_be_told(
    denylist: RedisDenylist, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = AuditCopier(denylist, Audit(database), clock=lambda: utc_now() + timedelta(seconds=90))
    assert late.behind_seconds == 0
    denylist.revoke(ADA)
    with monkeypatch.context() as away:
        away.setattr(database, "_transaction", _away)
        with pytest.raises(DatabaseUnavailableError):
            late.copy()
        assert late.behind_seconds >= 80

    late.copy()

    assert late.behind_seconds == 0


def test_a_log_that_begins_anew_is_copied_from_its_beginning(
    copier: AuditCopier, denylist: RedisDenylist, database: Database
) -> None:
    denylist.revoke(ADA, reason="before")
    copier.copy()
    client: Any = denylist.link.client
    client.delete(*client.keys(f"{denylist.namespace.prefix}*"))
    denylist.open(accept_existing=True)
    until(lambda: can_mint(denylist))
    denylist.revoke(ADA, reason="after")

    copier.copy()

    assert [reason for _, _, _, reason, _ in records(database)] == ["before", "after"]


def test_another_epoch_of_the_same_log_copies_nothing_twice(
    copier: AuditCopier, denylist: RedisDenylist, database: Database
) -> None:
    before = counted()
    denylist.revoke_many(handles(3))
    copier.copy()
    denylist.open(new_epoch=True)
    until(lambda: can_mint(denylist))
    denylist.revoke(ADA)

    copier.copy()

    assert len(records(database)) == 4
    assert counted() - before == {"session": 3, "subject": 1}


def look(copier: AuditCopier) -> None:
    """What its thread does once in a while."""
    copier._id = "process"
    copier._copy_where_it_is_ours()


def forget_the_log(denylist: RedisDenylist) -> None:
    """Drop every line that the log has now, as the deny-list does with those that are older than its horizon."""
    floor = denylist.head().last_id
    denylist.revoke(ADA, reason="later")
    client: Any = denylist.link.client
    key = denylist.key("head")
    words = client.get(key).split()
    client.xtrim(denylist.key("log"), minid=denylist.head().last_id, approximate=False)
    client.set(key, b" ".join([*words[:6], floor.encode(), *words[7:]]))
    assert denylist.head().floor == floor


def test_lines_that_went_before_they_were_copied_are_named_in_the_audit(
    denylist: RedisDenylist, database: Database
) -> None:
    """Nobody copied or kept them: no service ran."""
    copier = AuditCopier(denylist, Audit(database))
    denylist.revoke(ADA)
    copier.copy()
    denylist.revoke(ADA, reason="never copied")
    forget_the_log(denylist)

    copier.copy()
    copier.copy()

    gaps = [reason for _, action, _, reason, _ in records(database) if action == "audit.gap"]
    assert len(gaps) == 1
    assert "dropped lines" in gaps[0]


def test_a_database_that_is_away_for_longer_than_the_log_reaches_back_loses_nothing(
    denylist: RedisDenylist, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.audit_backlog._BATCH", 2)
    before = counted()
    copier = AuditCopier(denylist, Audit(database))
    denylist.revoke_many(handles(2))
    copier.copy()
    with monkeypatch.context() as away:
        away.setattr(database, "_transaction", _away)
        for number in range(3):
            made = denylist.revoke(Handle("client", f"c-{number}", issuer=ISSUER), reason=f"away {number}").revocation
        assert made is not None
        denylist.undo(made.id, reason="undone while away")
        with pytest.raises(DatabaseUnavailableError):
            look(copier)
        forget_the_log(denylist)

    look(AuditCopier(denylist, Audit(database)))

    found = records(database)
    assert [reason for _, _, _, reason, _ in found[2:6]] == ["away 0", "away 1", "away 2", "undone while away"]
    assert {reason for _, _, _, reason, _ in found[6:]} == {"later"}
    assert not [action for _, action, _, _, _ in found if action == "audit.gap"]
    assert (counted() - before)["client"] == 3
    assert not denylist.link.client.exists(denylist.key("app:audit:lines"), denylist.key("app:audit:reach"))


def test_lines_are_kept_beyond_the_epoch_that_they_are_of(
    denylist: RedisDenylist, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    copier = AuditCopier(denylist, Audit(database))
    denylist.revoke(ADA, reason="first")
    copier.copy()
    with monkeypatch.context() as away:
        away.setattr(database, "_transaction", _away)
        for reason in ("of the old epoch", "of the new epoch"):
            denylist.revoke(ADA, reason=reason)
            with pytest.raises(DatabaseUnavailableError):
                look(copier)
            denylist.open(new_epoch=True)
            until(lambda: can_mint(denylist))

    look(copier)

    assert [reason for _, _, _, reason, _ in records(database)] == ["first", "of the old epoch", "of the new epoch"]


def test_a_backlog_that_is_full_takes_no_more_and_what_went_then_is_named(
    denylist: RedisDenylist, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.audit_backlog.MOST_LINES", 3)
    copier = AuditCopier(denylist, Audit(database))
    denylist.revoke(ADA, reason="copied")
    copier.copy()
    with monkeypatch.context() as away:
        away.setattr(database, "_transaction", _away)
        for number in range(5):
            denylist.revoke(ADA, reason=f"away {number}")
            with pytest.raises(DatabaseUnavailableError):
                look(copier)
        forget_the_log(denylist)

    look(copier)

    found = [(action, reason) for _, action, _, reason, _ in records(database)]
    assert [reason for _, reason in found[1:4]] == ["away 0", "away 1", "away 2"]
    assert "audit.gap" in [action for action, _ in found[4:]]
    assert "away 3" not in [reason for _, reason in found]


def test_what_is_too_old_to_keep_goes_and_is_not_copied_again(denylist: RedisDenylist, database: Database) -> None:
    now = utc_now()
    audit = Audit(database, clock=lambda: now)
    denylist.revoke_many(handles(1500))
    AuditCopier(denylist, audit).copy()
    audit.note("user.create", actor=Actor("eve"), target="ada")
    now += timedelta(seconds=1000)
    audit.note("user.create", actor=Actor("eve"), target="bob")
    keeping = AuditCopier(denylist, audit, keep_seconds=500, clock=lambda: now)

    keeping._id = "this process"
    keeping._look()
    with database.session() as session:
        session.execute(sa.text("DELETE FROM audit_positions"))
    keeping._position = None
    keeping.copy()

    assert [target for _, _, target, _, _ in records(database)] == ["bob"]


def test_one_process_copies_at_a_time_and_another_takes_over_when_it_stops(
    denylist: RedisDenylist, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.background._PAUSE_SECONDS", 0.01)
    one, other = (AuditCopier(denylist, Audit(database)) for _ in range(2))
    one.start()
    denylist.revoke(ADA)
    until(lambda: len(records(database)) == 1)
    other._id = "another process"
    assert not other._has_lease()

    one.stop()

    until(other._has_lease)
    other._give_up_lease()


def test_it_goes_on_when_the_database_is_back(
    denylist: RedisDenylist, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """SQLite, locked by somebody else."""
    monkeypatch.setattr("app.background._PAUSE_SECONDS", 0.01)
    monkeypatch.setattr("app.database.sqlite.TIMEOUT_SECONDS", 0)
    path = tmp_path / "app.sqlite3"
    database = Database(f"sqlite:///{path}")
    database.migrate()
    told: list[float] = []
    copier = AuditCopier(denylist, Audit(database))
    copier.on_look = told.append
    with closing(sqlite3.connect(path, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        denylist.revoke(ADA)
        copier.start()
        until(lambda: bool(told) and told[-1] > 0)
        somebody.execute("ROLLBACK")
    until(lambda: told[-1] == 0)
    copier.stop()

    assert len(records(database)) == 1
    waits = [record.getMessage() for record in caplog.records if "The audit trail waits" in record.getMessage()]
    assert len(waits) == 1
    assert "database is locked" in waits[0]
    assert any("has caught up" in record.getMessage() for record in caplog.records)
    database.close()


def test_how_far_it_is_behind_is_told_whatever_stops_it(
    copier: AuditCopier, denylist: RedisDenylist, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The alarm goes by it."""
    told: list[float] = []
    copier.on_look = told.append
    denylist.revoke(ADA)

    def fail(*_: object, **__: object) -> Any:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(Audit, "take_over", fail)
    copier._id = "process"
    with pytest.raises(KeyError):
        copier._look()

    assert len(told) == 1


def test_a_record_of_the_release_before_stands_for_its_line(
    copier: AuditCopier, denylist: RedisDenylist, database: Database
) -> None:
    made = denylist.revoke(ADA).revocation
    assert made is not None
    with database.session() as session:
        texts = dict.fromkeys(("actor", "target", "reason", "address"), "")
        session.add(AuditRow(at=utc_now(), action="x", **texts, revocation_id=made.id, log_id=made.id))

    copier.copy()

    assert len(records(database)) == 1


def _away(*_: object) -> Any:
    raise DatabaseUnavailableError("it is away")
