"""Handle: what a token can be revoked by, and the one key of Redis that each has."""

import pickle
import random
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from redis.crc import key_slot

from revocation import (
    Handle,
    RedisDenylist,
    connect,
)
from revocation.handles import KINDS, MAX_IDENTIFIER_LENGTH, Kind
from tests.support.tokens import ISSUER, claims_of

ROOT = Path(__file__).parents[2]

HOSTILE = (
    *(":", "a:b", "a:b:c", "{", "}", "{x}", "}{", "*", "?", "[a]", "\\", "'", '"', "/", "../../etc/passwd", "%0d%0a"),
    *("head", "log", "lasting", "lasting:expiry", "app:x", "follower:1", "probe", "~", "~" + "0" * 64, " ", "a "),
    *("é", "🧀", "\u200b", "\ufeff", "=", "+", "1=*", "* x=*", "' OR 1=1 --", "-inf"),
    *("x" * length for length in (64, 65, MAX_IDENTIFIER_LENGTH)),
)


def hostile_values(count: int) -> Iterator[str]:
    """Values that try to leave their key: separators, braces, globs, quotes, all lengths, any script."""
    source = random.Random(20260801)
    alphabet = string.printable.translate({ord(c): None for c in "\t\n\r\x0b\x0c"}) + "{}:~*é€🧀\u200b"
    yield from HOSTILE
    seen = set(HOSTILE)
    while len(seen) < count:
        value = "".join(source.choices(alphabet, k=source.choice((1, 2, 3, 5, 64, 65, 200))))
        if value not in seen:
            seen.add(value)
            yield value


def test_no_hostile_value_leaves_the_namespace_or_shares_a_key(namespace: str) -> None:
    denylist = RedisDenylist(connect("redis://127.0.0.1:1/0"), namespace=namespace)
    values = list(hostile_values(10_000))
    slot = key_slot(denylist.key("head").encode())

    kinds: tuple[Kind, ...] = ("token", "session", "subject", "client", "key")
    handles = [Handle(kinds[number % 5], value, issuer=ISSUER) for number, value in enumerate(values)]
    handles += [Handle("issuer", issuer=value) for value in values]
    handles += [Handle("token", "x", issuer=value) for value in values]
    keys = [denylist.key(handle.name) for handle in handles]

    assert len(set(keys)) == len(handles) == 30_000
    for key in keys:
        assert key_slot(key.encode()) == slot
        prefix, kind, *parts = key.split(":")
        assert prefix == f"{{{namespace}}}"
        assert kind in KINDS
        assert 1 <= len(parts) <= 2
        for part in parts:
            assert len(part) <= 65
            assert set(part) <= {*string.ascii_letters, *string.digits, "_", "-", "~"}


TEXT = st.text(alphabet=st.sampled_from("ab:~_-{}é"), min_size=1, max_size=6)


NAMED = st.tuples(st.sampled_from(KINDS[:5]), TEXT, TEXT)


@given(NAMED, NAMED)
@example(("token", "b", "a:c"), ("token", "c:b", "a"))
@example(("token", "a:b", "c"), ("token", "b", "c:a"))
@example(("token", "b:c", "a"), ("token", "c", "a:b"))
def test_two_handles_share_a_name_only_if_they_are_the_same(
    first: tuple[Kind, str, str], second: tuple[Kind, str, str]
) -> None:
    one, other = (Handle(kind, value, issuer=issuer) for kind, value, issuer in (first, second))

    assert (one.name == other.name) == (first == second) == (one == other)
    assert Handle("issuer", issuer=first[2]).name not in (one.name, other.name)


@pytest.mark.parametrize("value", ["a\x00b", "a\nb", "\r\n", "\x7f", "\x9b", "\u2028", "\ud800", "x" * 257])
def test_what_no_token_could_carry_is_no_handle(value: str) -> None:
    for kind in KINDS[:5]:
        with pytest.raises(ValueError, match=r"control characters|longer than"):
            Handle(kind, value, issuer=ISSUER)


def test_a_handle_says_what_is_wrong_with_it() -> None:
    for kind in ("User", "", "a b", "a:b", "x" * 33, "9a", "org*"):
        with pytest.raises(ValueError, match="unknown kind"):
            Handle(kind, "ada", issuer=ISSUER)
    with pytest.raises(ValueError, match="takes no value"):
        Handle("issuer", "ada", issuer=ISSUER)
    with pytest.raises(ValueError, match="needs a value"):
        Handle("subject", issuer=ISSUER)
    with pytest.raises(ValueError, match="needs an issuer"):
        Handle("subject", "ada", issuer="")
    anonymous = claims_of(issued_at_ms=1_800_000_000_000, sid=None, client_id=None, key_id=None)
    for make in (Handle.session, Handle.client, Handle.key):
        with pytest.raises(ValueError, match="needs a value"):
            make(anonymous)


def test_a_handle_that_was_pickled_is_found_in_another_process() -> None:
    # Where strings hash to other numbers, and a follower would look for one that nobody holds.
    handle = Handle("subject", "ada", issuer=ISSUER, expires_at=5.0)
    again = "import pickle, sys; made = pickle.loads(sys.stdin.buffer.read()); print(made.number == hash(made.name))"
    done = subprocess.run(
        [sys.executable, "-c", again], input=pickle.dumps(handle), capture_output=True, check=True, cwd=ROOT, timeout=60
    )
    assert done.stdout.strip() == b"True"
    assert pickle.loads(pickle.dumps(handle)) == handle
