"""KeyDirectory: a change is noticed in time, and a broken file changes nothing."""

import logging
import os
from pathlib import Path

import pytest

from revocation import ConfigurationError, InvalidTokenError, KeyDirectory, TokenVerifier
from revocation.key_directory import RELOAD_SECONDS
from revocation.testing import Clock
from tests.support.tokens import AUDIENCE, ISSUER, Forge, key, pem, private_key


@pytest.fixture
def clock() -> Clock:
    return Clock(1000.0)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "a.pem").write_bytes(pem(private_key("ES256", "a")))
    return tmp_path


def ids(directory: KeyDirectory) -> set[str]:
    return {one.id for one in directory.key_set()}


def test_a_new_key_is_noticed_within_five_seconds(path: Path, clock: Clock) -> None:
    directory = KeyDirectory(path, clock=clock)
    (path / "b.pem").write_bytes(pem(private_key("ES256", "b")))

    clock.advance(RELOAD_SECONDS - 0.01)
    assert ids(directory) == {key("ES256", "a").id}
    clock.advance(0.01)
    assert ids(directory) == {key("ES256", "a").id, key("ES256", "b").id}
    assert RELOAD_SECONDS == 5


def test_a_key_that_is_taken_away_is_gone_within_five_seconds(path: Path, clock: Clock) -> None:
    (path / "b.pem").write_bytes(pem(private_key("ES256", "b")))
    directory = KeyDirectory(path, clock=clock)
    (path / "b.pem").unlink()

    clock.advance(RELOAD_SECONDS)
    assert ids(directory) == {key("ES256", "a").id}


def test_a_key_that_is_replaced_in_its_file_is_noticed(path: Path, clock: Clock) -> None:
    directory = KeyDirectory(path, clock=clock)
    before = (path / "a.pem").stat()
    (path / "a.pem").write_bytes(pem(private_key("ES256", "b")))
    os.utime(path / "a.pem", ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    clock.advance(RELOAD_SECONDS)
    assert ids(directory) == {key("ES256", "b").id}


def test_without_a_change_the_set_stays_the_same_object(path: Path, clock: Clock) -> None:
    directory = KeyDirectory(path, clock=clock)
    first = directory.key_set()

    for _ in range(5):
        clock.advance(RELOAD_SECONDS)
        assert directory.key_set() is first


def test_an_unknown_key_makes_it_look_sooner_but_once_a_second(path: Path, clock: Clock) -> None:
    directory = KeyDirectory(path, clock=clock)
    (path / "b.pem").write_bytes(pem(private_key("ES256", "b")))

    clock.advance(0.99)
    assert len(directory.refreshed()) == 1
    clock.advance(0.01)
    assert len(directory.refreshed()) == 2


def test_a_token_of_a_new_key_is_accepted_within_a_second(path: Path, clock: Clock) -> None:
    forge = Forge(key("ES256", "b"))
    directory = KeyDirectory(path, clock=clock)
    verifier = TokenVerifier(directory, issuer=ISSUER, audience=AUDIENCE, clock=forge.clock)
    token = forge.token()
    (path / "b.pem").write_bytes(pem(private_key("ES256", "b")))

    with pytest.raises(InvalidTokenError) as caught:
        verifier.verify(token)
    assert caught.value.reason == "unknown_key"
    clock.advance(1)
    assert verifier.verify(token).key_id == key("ES256", "b").id


@pytest.mark.parametrize("fault", ["broken file", "no file", "no directory", "unfit name"])
def test_what_cannot_be_read_later_keeps_the_keys_and_is_logged(
    path: Path, clock: Clock, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    directory = KeyDirectory(path, clock=clock)
    first = directory.key_set()
    if fault == "broken file":
        (path / "b.pem").write_text("half a ke")
    elif fault == "unfit name":
        (path / "20301301T000000Z-b.pem").write_bytes(pem(private_key("ES256", "b")))
    else:
        (path / "a.pem").unlink()
        if fault == "no directory":
            path.rmdir()

    clock.advance(RELOAD_SECONDS)
    with caplog.at_level(logging.ERROR, "revocation"):
        assert directory.key_set() is first
    assert any("going on with the keys read before" in record.getMessage() for record in caplog.records)

    # Mended, it is read again.
    path.mkdir(exist_ok=True)
    for file in path.iterdir():
        file.unlink()
    (path / "c.pem").write_bytes(pem(private_key("ES256", "c")))
    clock.advance(RELOAD_SECONDS)
    assert ids(directory) == {key("ES256", "c").id}


def test_a_directory_that_cannot_be_read_at_first_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no \*\.pem"):
        KeyDirectory(tmp_path)


def test_what_is_no_key_file_is_not_looked_at(path: Path, clock: Clock) -> None:
    directory = KeyDirectory(path, clock=clock)
    first = directory.key_set()
    (path / "refresh.hmac").write_text("x")
    (path / ".b.pem.tmp").write_text("half a ke")

    clock.advance(RELOAD_SECONDS)
    assert directory.key_set() is first
