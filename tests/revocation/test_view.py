"""View: what is held, how far it has been read, and which gaps in the chain are forgiven."""

import math

import pytest

from revocation import Handle
from revocation.denylist import UNCONDITIONAL
from revocation.redis.protocol import Head
from revocation.redis.view import View
from tests.support.tokens import ISSUER

ADA = Handle("subject", "ada", issuer=ISSUER)
KEY = Handle("key", "k-1", issuer=ISSUER)
HORIZON_MS = 1_000_000
START = 10_000_000


def head(last: str = f"{START + 100}-0", tag: str = "t9", *, birth: int = 0, everything: int = 0, **more: str) -> Head:
    return Head(more.get("epoch", "e1"), birth, last, tag, everything, 86_400, tuple(more.get("keys", "").split()))


def change(prev: str, tag: str, said: str) -> dict[bytes, bytes]:
    return {b"change": f"{prev} {tag} {said}".encode()}


def revoke(handle: Handle, cutoff: str, *, expires: int | str = START + 60_000, op: str = "revoke") -> str:
    return f"{op} {expires} {handle.name} {cutoff} 1-0-a={cutoff}"


def take(view: View, at: int, said: dict[bytes, bytes], known: Head | None = None, *, now: float = 0.0) -> str:
    return view.apply(f"{at}-0".encode(), said, head=known or head(), horizon_ms=HORIZON_MS, now=now)


def test_a_whole_chain_is_applied_and_junk_is_passed_over() -> None:
    view = View()
    assert take(view, START, change("0-0--", "a", revoke(ADA, "5"))) == "applied"
    assert take(view, START + 1, {b"x": b"y"}) == "junk"
    assert (view.cursor, view.position) == (f"{START + 1}-0", f"{START}-0-a")
    assert take(view, START + 2, change(f"{START}-0-a", "b", revoke(ADA, "9"))) == "applied"
    assert view.latest_cutoff([ADA]) == 9


def test_a_gap_is_forgiven_where_all_that_may_be_missing_is_dead_or_cut_off() -> None:
    for known in (head(f"{START + HORIZON_MS}-0"), head(birth=START)):
        view = View()
        assert take(view, START + 50, change(f"{START}-0-x", "b", revoke(ADA, "9")), known) == "applied"
        assert take(View(), START + 50, change(f"{START + 1}-0-x", "b", revoke(ADA, "9")), known) == "break"


def test_what_was_read_after_the_epoch_began_may_not_be_missing() -> None:
    # An old state came back: its next entry follows one from before the epoch, and not what was read since.
    view, known = View(), head(birth=START)
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
    take(view, START + 3, change(f"{START + 2}-0-c", "d", f"undo never {ADA.name} "))
    assert view.latest_cutoff([ADA]) == 0
    assert len(view) == 0


def test_entries_are_dropped_by_the_boot_clock_and_at_least_a_minute_late() -> None:
    view = View()
    take(view, START, change("0-0--", "a", revoke(ADA, "*", expires=START + 60_000)), now=100.0)
    view.collect(now=160.0 + 60.0)
    assert view.latest_cutoff([ADA]) == UNCONDITIONAL
    view.collect(now=160.0 + 181.0)
    assert view.latest_cutoff([ADA]) == 0


def test_a_key_revoked_after_the_head_was_read_is_known_when_an_epoch_is_opened() -> None:
    view, before = View(), head(f"{START - 1}-0")
    take(view, START, change("0-0--", "a", revoke(KEY, "*", expires="never")), before)
    assert view.known_keys() == [KEY.name]
    view.read_head(before)
    assert view.revoked_keys == {KEY.name}
    assert view.restarted(head(epoch="e2", everything=START)).known_keys() == [KEY.name]
    take(view, START + 1, change(f"{START}-0-a", "b", f"undo never {KEY.name} "), before)
    assert view.known_keys() == []


def test_a_head_read_after_the_change_of_a_key_decides() -> None:
    view = View()
    take(view, START, change("0-0--", "a", revoke(KEY, "*", expires="never")))
    view.read_head(head(keys=""))
    assert view.revoked_keys == frozenset()


@pytest.mark.parametrize(("everything", "lost"), [(START - 1, True), (START + 5, False)])
def test_an_epoch_that_does_not_cut_off_what_was_read_is_an_old_one(everything: int, lost: bool) -> None:
    view = View()
    take(view, START, change("0-0--", "a", revoke(ADA, "5")))
    assert view.has_lost(head(epoch="e0", everything=everything)) is lost
    view.everything_ms = everything + 1
    assert view.has_lost(head(epoch="e0", everything=everything))


def test_a_new_view_is_infinitely_old() -> None:
    assert View().stamp == -math.inf


def test_a_key_that_is_known_stays_revoked_in_an_epoch_that_does_not_know_it() -> None:
    view = View()
    take(view, START, change("0-0--", "a", revoke(KEY, "*", expires="never")))
    # Redis lost everything, and somebody without a memory of it opened the new epoch.
    later = view.restarted(head("0-0", "-", epoch="e2", everything=START + 10))
    later.read_head(head("0-0", "-", epoch="e2", everything=START + 10))
    assert later.latest_cutoff([KEY]) == math.inf
    # What undid an earlier revocation of it does not undo this one; what comes after does.
    take(later, START - 5, change("0-0--", "b", f"undo never {KEY.name} "))
    later.read_head(head(f"{START - 5}-0", "b", epoch="e2"))
    assert later.latest_cutoff([KEY]) == math.inf
    take(later, START + 20, change(f"{START - 5}-0-b", "c", f"undo never {KEY.name} "))
    later.read_head(head(f"{START + 20}-0", "c", epoch="e2"))
    assert later.latest_cutoff([KEY]) < math.inf
