import base64
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.audit import Act, Audit, AuditFilter, AuditRecord, InvalidCursorError
from app.database import Database, DatabaseUnavailableError, InvalidValueError

NOON = datetime(2026, 3, 1, 12, 0, 0, 123_000, tzinfo=UTC)
ANY_TEXT = st.text(st.characters(), max_size=1100)  # surrogates too


@pytest.fixture
def audit(database: Database) -> Audit:
    return Audit(database, clock=lambda: NOON)


def write(audit: Audit, **fields: Any) -> AuditRecord:
    return audit.record(Act(**fields))


def actors(records: tuple[AuditRecord, ...]) -> list[str]:
    return [record.actor for record in records]


def test_a_record_comes_back_as_written(audit: Audit) -> None:
    record = write(
        audit,
        actor="ada",
        action="revocation.create",
        target="subject:eve",
        reason="laptop stolen - früher Abend ☂",
        address="2001:db8::1",
        revocation_id="1700000000000-0",
    )

    assert record == AuditRecord(
        id=record.id,
        at=NOON,
        actor="ada",
        action="revocation.create",
        target="subject:eve",
        reason="laptop stolen - früher Abend ☂",
        address="2001:db8::1",
        revocation_id="1700000000000-0",
    )
    assert audit.page() == ((record,), None)


def test_what_is_left_out_is_empty(audit: Audit) -> None:
    record = write(audit, actor="ada", action="login", target="ada")

    assert (record.reason, record.address, record.revocation_id) == ("", "", None)


def test_pages_run_from_the_newest_to_the_oldest_and_end(audit: Audit) -> None:
    for number in range(7):
        write(audit, actor=str(number), action="login", target="")

    first, cursor = audit.page(limit=3)
    second, next_cursor = audit.page(cursor, limit=3)
    third, end = audit.page(next_cursor, limit=3)

    assert [actors(first), actors(second), actors(third)] == [["6", "5", "4"], ["3", "2", "1"], ["0"]]
    assert end is None


def test_a_full_last_page_has_no_next(audit: Audit) -> None:
    for number in range(4):
        write(audit, actor=str(number), action="login", target="")

    _, cursor = audit.page(limit=2)
    last, end = audit.page(cursor, limit=2)

    assert (actors(last), end) == (["1", "0"], None)


def test_records_written_while_somebody_pages_move_nothing(audit: Audit) -> None:
    for number in range(4):
        write(audit, actor=str(number), action="login", target="")
    _, cursor = audit.page(limit=2)

    write(audit, actor="late", action="login", target="")

    assert actors(audit.page(cursor, limit=2)[0]) == ["1", "0"]


def test_an_empty_trail_is_one_empty_page(audit: Audit) -> None:
    assert audit.page() == ((), None)


def encoded(text: bytes) -> str:
    return base64.urlsafe_b64encode(text).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("", " ", "0", "1", "abc", "\0", "\ud800", "ü", "a" * 10_000, "'; DROP TABLE audit; --", "=" * 4),
        *(encoded(b"audit:0"), encoded(b"audit:-1"), encoded(b"audit:01"), encoded(b"audit:1\n"), encoded(b"other:1")),
        *(
            encoded(b"audit:9999999999999999999"),
            encoded("audit:\u0661".encode()),
            encoded(b"audit:1") + "=",
            encoded(b"audit:1")[:-1] + "R",  # the same bytes, spelt otherwise
            "\n" + encoded(b"audit:1"),
        ),
    ],
)
def test_a_cursor_from_elsewhere_is_refused(audit: Audit, cursor: str) -> None:
    with pytest.raises(InvalidCursorError, match="cursor from an earlier page") as caught:
        audit.page(cursor)

    assert isinstance(caught.value, ValueError)


def test_the_highest_cursor_is_a_cursor(audit: Audit) -> None:
    assert audit.page(encoded(b"audit:%d" % (2**63 - 1))) == ((), None)


@pytest.mark.parametrize("limit", [0, -1, 201])
def test_a_page_is_neither_empty_nor_endless(audit: Audit, limit: int) -> None:
    with pytest.raises(InvalidValueError, match="1 to 200"):
        audit.page(limit=limit)


def test_nobody_forges_a_line_of_a_log(audit: Audit) -> None:
    record = write(
        audit,
        actor="ada",
        action="login",
        target="nul\0",
        reason='x\r\n2026 eve "\x1b[31m\u202e\u2028\ud800',
        address="\t",
    )

    assert record.target == r"nul\x00"
    assert record.reason == r'x\r\n2026 eve "\x1b[31m\u202e\u2028\ud800'
    assert record.address == r"\t"


def test_what_is_too_long_is_cut_and_shows_it(audit: Audit) -> None:
    record = write(
        audit,
        actor="a" * 5000,
        action="login",
        target="t" * 5000,
        reason="\0" * 5000,
        address="1" * 5000,
        revocation_id="2" * 5000,
    )

    texts = (record.actor, record.target, record.reason, record.address, str(record.revocation_id))
    assert [len(text) for text in texts] == [300, 1000, 1000, 100, 100]
    assert all(text.endswith("…") for text in texts)
    assert audit.page()[0] == (record,)


def test_what_just_fits_is_whole(audit: Audit) -> None:
    assert write(audit, actor="a", action="login", target="t", reason="r" * 1000).reason == "r" * 1000


def test_a_text_is_looked_for_as_it_was_written_down(audit: Audit) -> None:
    odd = "nul\0 \ud800" + "x" * 400
    write(audit, actor=odd, action="login", target=odd)

    for wanted in (AuditFilter(actor=odd), AuditFilter(target=odd)):
        assert len(audit.page(wanted=wanted)[0]) == 1
    assert audit.page(wanted=AuditFilter(action=odd))[0] == ()


def test_an_instant_that_is_on_no_calendar_is_refused(audit: Audit) -> None:
    for text in ("0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"):
        with pytest.raises(InvalidValueError, match="outside of the calendar"):
            AuditFilter(since=datetime.fromisoformat(text))
    assert audit.page(wanted=AuditFilter(since=datetime.min.replace(tzinfo=UTC)))[0] == ()


@pytest.mark.parametrize("action", ["", "Login", "log in", "login\n", "x" * 65, "\ud800"])
def test_an_action_is_a_slug(audit: Audit, action: str) -> None:
    with pytest.raises(InvalidValueError, match="slug"):
        write(audit, actor="ada", action=action, target="")

    assert audit.page() == ((), None)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=ANY_TEXT)
def test_any_text_is_recorded_on_one_line_and_read_back(audit: Audit, text: str) -> None:
    record = write(audit, actor=text, action="login", target=text, reason=text, address=text, revocation_id=text)

    assert record.reason.isprintable()
    assert audit.page(limit=1)[0] == (record,)


def test_records_of_many_threads_are_all_there(audit: Audit) -> None:
    def write_one(number: int) -> None:
        write(audit, actor=str(number), action="login", target="")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_one, range(100)))

    records, end = audit.page(limit=200)
    assert {record.actor for record in records} == {str(number) for number in range(100)}
    assert end is None


def test_a_record_that_could_not_be_written_is_an_error() -> None:
    with pytest.raises(DatabaseUnavailableError):
        write(Audit(Database("postgresql://127.0.0.1:1/none")), actor="ada", action="login", target="")
