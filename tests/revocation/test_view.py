"""View: what is held, how far it has been read, and which gaps in the chain are forgiven."""

import math
from typing import Any

import pytest

from revocation import Handle
from revocation.denylist import UNCONDITIONAL, Note
from revocation.redis.head import Head
from revocation.redis.records import about_revocation
from revocation.redis.view import View
from tests.support.heads import made_up_head
from tests.support.tokens import ISSUER

ADA = Handle("subject", "ada", issuer=ISSUER)
KEY = Handle("key", "k-1", issuer=ISSUER)
START = 10_000_000


def head(floor: str = "0-0", *, epoch: str = "e1", **more: Any) -> Head:
    return made_up_head(epoch=epoch, floor=floor, **more)


def change(prev: str, tag: str, said: str) -> dict[bytes, bytes]:
    return {b"change": f"{prev} {tag} {said}".encode()}


def revoke(
    handle: Handle, cutoff: str, *, expires: int | str = START + 60_000, op: str = "revoke", at: int = START
) -> str:
    return f"{op} @{at} {expires} {handle.name} {cutoff} 1-0-a={cutoff}"


def take(view: View, at: int, said: dict[bytes, bytes], known: Head | None = None, *, now: float = 0.0) -> str:
    return view.apply(f"{at}-0".encode(), said, head=known or head(), now=now)


def test_a_whole_chain_is_applied_and_junk_is_passed_over() -> None:
    view = View()
    assert take(view, START, change("0-0--", "a", revoke(ADA, "5"))) == "applied"
    assert take(view, START + 1, {b"x": b"y"}) == "junk"
    assert (view.cursor, view.position) == (f"{START + 1}-0", f"{START}-0-a")
    assert take(view, START + 2, change(f"{START}-0-a", "b", revoke(ADA, "9"))) == "applied"
    assert view.latest_cutoff([ADA]) == 9


def test_a_gap_is_forgiven_where_the_log_says_that_it_begins_behind_it() -> None:
    trimmed = head(f"{START}-0")
    assert take(View(), START + 50, change(f"{START}-0-x", "b", revoke(ADA, "9")), trimmed) == "applied"
    assert take(View(), START + 50, change(f"{START + 1}-0-x", "b", revoke(ADA, "9")), trimmed) == "break"
    assert take(View(), START + 50, change(f"{START}-0-x", "b", revoke(ADA, "9")), head()) == "break"


def test_what_was_read_behind_the_beginning_of_the_log_may_not_be_missing() -> None:
    # An old state came back: its next entry follows one that was trimmed, and not what was read since.
    view, known = View(), head(f"{START}-0")
    take(view, START + 10, change("0-0--", "a", revoke(ADA, "5")), known)
    assert take(view, START + 20, change(f"{START - 5}-0-z", "b", revoke(ADA, "9")), known) == "break"


def test_an_entry_of_a_newer_form_is_not_passed() -> None:
    view = View()
    assert take(view, START, change("0-0--", "a", "limit 5 x")) == "unknown"
    assert (view.cursor, view.position) == ("0-0", None)


def test_a_later_revocation_never_weakens_what_is_held_and_an_undo_does() -> None:
    view = View()
    take(view, START, change("0-0--", "a", revoke(ADA, "200", expires="never")))
    take(view, START + 1, change(f"{START}-0-a", "b", revoke(ADA, "100", expires=START + 2)))
    assert view.latest_cutoff([ADA]) == 200
    view.collect(now=1e9)
    assert view.latest_cutoff([ADA]) == 200
    take(view, START + 2, change(f"{START + 1}-0-b", "c", revoke(ADA, "100", op="undo")))
    assert view.latest_cutoff([ADA]) == 100
    take(view, START + 3, change(f"{START + 2}-0-c", "d", f"undo @{START} never {ADA.name} "))
    assert view.latest_cutoff([ADA]) == 0
    assert len(view) == 0


def test_entries_are_dropped_by_the_boot_clock_and_at_least_a_minute_late() -> None:
    view = View()
    take(view, START, change("0-0--", "a", revoke(ADA, "*", expires=START + 60_000)), now=100.0)
    view.collect(now=160.0 + 60.0)
    assert view.latest_cutoff([ADA]) == UNCONDITIONAL
    view.collect(now=160.0 + 181.0)
    assert view.latest_cutoff([ADA]) == 0


def key_line(prev: str, tag: str, op: str, ids: str) -> dict[bytes, bytes]:
    entry = f"* {' '.join(f'{id_}=*' for id_ in ids.split())}" if ids else ""
    record = f'[{about_revocation(KEY, Note("ada", "leaked"))},"*","never"]'
    return {b"change": f"{prev} {tag} {op} @{START} never {KEY.name} {entry}".encode(), b"about": record.encode()}


def test_revocations_of_keys_are_remembered_by_their_ids() -> None:
    view, first, second = View(), f"{START}-0-a", f"{START + 1}-0-b"
    take(view, START, key_line("0-0--", "a", "revoke", first))
    take(view, START + 1, key_line(first, "b", "revoke", f"{first} {second}"))
    assert set(view.keys) == {first, second}
    take(view, START + 2, key_line(second, "c", "undo", second))
    assert set(view.keys) == {second}
    assert view.latest_cutoff([KEY]) == UNCONDITIONAL
    take(view, START + 3, key_line(f"{START + 2}-0-c", "d", "undo", ""))
    assert view.keys == {}
    assert view.latest_cutoff([KEY]) == 0


@pytest.mark.parametrize(
    ("epoch", "replaced", "follows"),
    [("e1", (), True), ("e2", ("e1",), True), ("e3", ("e2", "e1"), True), ("e0", (), False), ("e9", ("e8",), False)],
)
def test_an_epoch_is_followed_that_names_the_own_one(epoch: str, replaced: tuple[str, ...], follows: bool) -> None:
    view = View()
    assert view.may_follow(head(epoch=epoch, replaced=replaced))
    view.follow(head())
    assert view.may_follow(head(epoch=epoch, replaced=replaced)) is follows


def test_a_new_view_is_infinitely_old() -> None:
    assert View().stamp == -math.inf


def test_a_key_that_is_known_stays_revoked_in_an_epoch_that_does_not_know_it() -> None:
    view, id_ = View(), f"{START}-0-a"
    take(view, START, key_line("0-0--", "a", "revoke", id_))
    # Redis lost everything, and somebody without a memory of it opened the new epoch.
    later = view.restarted(head(epoch="e2", replaced=("e1",), everything_ms=START + 10))
    assert later.latest_cutoff([KEY]) == UNCONDITIONAL
    assert set(later.remembered) == {id_}
    # Redis says that it was undone meanwhile.
    later.forget_keys([id_])
    assert later.latest_cutoff([KEY]) < UNCONDITIONAL
    assert later.remembered == {}


def test_what_outlives_the_log_is_read_before_it_and_a_line_replaces_it() -> None:
    view, id_ = View(), f"{START}-0-0123abcd"
    record = f'[{about_revocation(KEY, Note("ada", "leaked"))},"*","never"]'.encode()
    session = Handle("session", "s", issuer=ISSUER)
    ends = f'[{about_revocation(session, Note("", ""))},"*","{START + 60_000}"]'.encode()
    records = {id_.encode(): record, b"1-0-0123abcd": ends, b"2-0-0123abcd": b"-", b"x": b"junk"}
    view.read_lasting(records, now_ms=START, now=0.0)
    assert view.latest_cutoff([KEY]) == view.latest_cutoff([session]) == UNCONDITIONAL
    assert set(view.keys) == {id_}
    take(view, START + 1, key_line("0-0--", "b", "undo", ""))
    assert view.latest_cutoff([KEY]) == 0
    view.collect(now=60 + 181.0)
    assert view.latest_cutoff([session]) == 0
