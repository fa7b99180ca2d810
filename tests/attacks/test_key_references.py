"""Keys named by the token: ids are looked up and nothing else, and no reference is ever followed."""

import random
import socket
import string
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from revocation import InvalidTokenError, Key, KeyDirectory, KeySet, TokenVerifier
from revocation.testing import Clock
from tests.support.tokens import AUDIENCE, ISSUER, Forge, encoded, key, pem, private_key

KINDS = ("open", "os", "socket", "subprocess", "urllib", "glob", "pathlib")
_watching: list[tuple[str, Any]] | None = None
_others: set[int] = set()


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if _watching is not None and event.split(".", maxsplit=1)[0] in KINDS and threading.get_native_id() not in _others:
        _watching.append((event, args[0] if args else None))


@pytest.fixture(scope="module", autouse=True)
def _listen() -> None:
    sys.addaudithook(_hook)  # for good: there is no way to take one away


@contextmanager
def watched() -> Iterator[list[tuple[str, Any]]]:
    """What this thread, and each thread that is started meanwhile, opens, lists, starts and connects to in this block.

    The threads that run already are left out: a follower that another test has stopped may end its last try here.
    """
    global _watching, _others  # noqa: PLW0603 - an audit hook reaches nothing else
    seen: list[tuple[str, Any]] = []
    _others = {each.native_id for each in threading.enumerate() if each.native_id} - {threading.get_native_id()}
    _watching = seen
    try:
        yield seen
    finally:
        _watching = None


INJECTIONS = [
    *(
        "../../../../dev/null",
        "/dev/null",
        "/etc/passwd",
        "a.pem",
        "./a.pem",
        "file:///etc/passwd",
        "C:\\windows\\win.ini",
    ),
    *(
        "' OR '1'='1",
        "x' UNION SELECT 'secret' --",
        '"; DROP TABLE keys; --',
        "; ls",
        "| cat /etc/passwd",
        "$(id)",
        "`id`",
    ),
    *(
        "http://127.0.0.1/key",
        "//127.0.0.1/key",
        "\\\\127.0.0.1\\key",
        "ldap://127.0.0.1/x",
        "${jndi:ldap://127.0.0.1/x}",
    ),
    *(
        "{{7*7}}",
        "%00",
        "\0",
        "a\0.pem",
        "a\r\nX: y",
        "*",
        "?",
        "[a-z]*",
        "__proto__",
        "constructor",
        "0",
        "null",
        "",
        " ",
    ),
    *("é", "🧀", "\u202e", "x" * 5000),
]


@pytest.mark.parametrize("kid", INJECTIONS)
def test_a_key_id_is_only_looked_up(tmp_path: Path, kid: str) -> None:
    (tmp_path / "a.pem").write_bytes(pem(private_key("ES256")))
    forge = Forge(key("ES256"))
    directory = KeyDirectory(tmp_path, clock=Clock())
    verifier = TokenVerifier(directory, issuer=ISSUER, audience=AUDIENCE, clock=forge.clock)
    token = forge.token(header=forge.header(kid=kid))

    with watched() as seen, pytest.raises(InvalidTokenError) as caught:
        verifier.verify(token)

    assert caught.value.reason == "unknown_key"
    assert seen == []


def test_a_flood_of_key_ids_opens_no_file_and_looks_at_the_directory_once_a_second(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(pem(private_key("ES256")))
    clock = Clock(1000.0)
    forge = Forge(key("ES256"))
    verifier = TokenVerifier(KeyDirectory(tmp_path, clock=clock), issuer=ISSUER, audience=AUDIENCE, clock=forge.clock)
    source = random.Random(7)
    kids = ["".join(source.choices(string.printable, k=22)) for _ in range(10_000)]
    tokens = [f"{encoded(forge.header(kid=kid))}.e30.AAAA" for kid in kids]
    assert len(set(tokens)) == 10_000

    with watched() as seen:
        for token in tokens:
            with pytest.raises(InvalidTokenError) as caught:
                verifier.verify(token)
            assert caught.value.reason == "unknown_key"
            clock.advance(0.001)

    # Ten seconds of the directory's clock: a look a second, each of which lists the directory for two kinds of files.
    assert not [event for event, _ in seen if event == "open" or event.startswith(("socket", "subprocess", "urllib"))]
    listed = [place for event, place in seen if event in ("os.scandir", "os.listdir")]
    assert 0 < len(listed) <= 2 * 11
    # And the keys are still there.
    assert verifier.verify(forge.token()).key_id == forge.key.id


def test_a_flood_of_key_ids_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(pem(private_key("ES256")))
    directory = KeyDirectory(tmp_path, clock=Clock())
    before = len(vars(directory)), len(directory.key_set())

    for number in range(1000):
        assert directory.refreshed().find(f"made-up-{number}") is None

    assert (len(vars(directory)), len(directory.key_set())) == before


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def references(listener: socket.socket, attacker: Key) -> list[dict[str, Any]]:
    """Header members that lead to, or are, the attacker's key."""
    place = f"127.0.0.1:{listener.getsockname()[1]}"
    jwk = attacker.public_jwk()
    addresses = [f"{scheme}://{place}/jwks" for scheme in ("http", "https", "ftp", "ws")] + [f"//{place}/", place]
    return [
        *({"jku": address} for address in addresses),
        *({"x5u": address} for address in addresses),
        {"jku": [addresses[0]], "x5u": {"url": addresses[0]}},
        {"jwk": jwk},
        {"jwk": {**jwk, "kid": "x"}},
        {"jwk": {"kty": "oct", "k": "A" * 43}},
        {"jwks": {"keys": [jwk]}},
        {"x5c": ["MIIB" + "A" * 100]},
        {"x5t": "A" * 27, "x5t#S256": "A" * 43},
        {"jku": addresses[0], "jwk": jwk, "x5u": addresses[1]},
        {"iss": f"http://{place}"},
    ]


@pytest.mark.parametrize("named", ["attacker", "trusted", "nobody"])
def test_no_key_that_a_token_brings_or_points_to_is_trusted(listener: socket.socket, named: str) -> None:
    attacker = Forge(key("ES256", "attacker"))
    trusted = key("ES256")
    kid = {"attacker": attacker.key.id, "trusted": trusted.id, "nobody": None}[named]
    verifier = attacker.verifier(KeySet([trusted]))

    for header in references(listener, attacker.key):
        with watched() as seen, pytest.raises(InvalidTokenError) as caught:
            verifier.verify(attacker.token(header={**attacker.header(kid=kid), **header}))
        assert caught.value.reason in ("unknown_key", "signature")
        assert seen == []

    with pytest.raises(BlockingIOError):
        listener.accept()


def test_no_reference_is_followed_even_in_a_good_token(listener: socket.socket) -> None:
    forge = Forge(key("ES256"))

    for header in references(listener, key("ES256", "attacker")):
        with watched() as seen:
            claims = forge.verifier().verify(forge.token(header={**forge.header(), **header}))
        assert claims.key_id == forge.key.id
        assert seen == []
    with pytest.raises(BlockingIOError):
        listener.accept()


@pytest.mark.parametrize(
    "header",
    [
        *(
            {"crit": []},
            {"crit": ["x"], "x": 1},
            {"crit": ["exp"]},
            {"crit": "b64"},
            {"crit": None},
            {"crit": ["b64"], "b64": False},
        ),
        *({"b64": False}, {"b64": True}, {"b64": None}, {"crit": ["alg"]}, {"crit": [""]}, {"crit": {}}),
    ],
)
def test_nothing_critical_is_ignored(header: dict[str, Any]) -> None:
    forge = Forge(key("ES256"))

    with pytest.raises(InvalidTokenError) as caught:
        forge.verifier().verify(forge.token(header={**forge.header(), **header}))
    assert caught.value.reason == "header"


def test_unencoded_claims_are_refused() -> None:
    forge = Forge(key("ES256"))
    token = forge.token(header=forge.header(b64=False, crit=["b64"]))
    head, _, signature = token.split(".")

    for body in ("{}", '{"sub":"ada"}', "", "a.b"):
        with pytest.raises(InvalidTokenError):
            forge.verifier().verify(f"{head}.{body}.{signature}")


def test_a_look_from_another_thread_is_seen_and_one_of_a_thread_that_runs_already_is_not() -> None:
    go, done = threading.Event(), threading.Event()

    def look() -> None:
        assert go.wait(10)
        list(Path().iterdir())
        done.set()

    earlier = threading.Thread(target=look)
    earlier.start()
    with watched() as seen:
        go.set()
        assert done.wait(10)
        assert seen == []
        later = threading.Thread(target=look)
        later.start()
        later.join(10)
        assert [event for event, _ in seen] == ["os.listdir"]
    earlier.join(10)
