"""The service's signing keys: made, rotated, withdrawn and revoked."""

import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.audit import Actor
from app.keyring import PUBLISH_SECONDS, Keyring
from revocation import KeySet
from revocation.keys import AlgorithmName
from tests.app.api import Api, prepared, settings_for
from tests.support.servers import Server

ROOT = Path(__file__).parents[2]


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    keyring = Keyring(tmp_path / "keys", algorithm="ES256")
    keyring.ensure()
    return keyring


@pytest.fixture
def fresh(valkey: Server, tmp_path: Path) -> Iterator[Api]:
    """A service whose keys the test may change."""
    with prepared(settings_for(valkey, tmp_path)) as api:
        let_years_pass(api.settings.keys_dir)
        api.look_at_keys()
        yield api


def let_years_pass(directory: Path) -> None:
    """Make the keys of a directory older: their names say from when they sign, in seconds."""
    for file in directory.glob("*.pem"):
        file.rename(file.with_name("20200101T000000Z" + file.name[16:]))


def key_set(tmp_path: Path) -> KeySet:
    return KeySet.from_pem_dir(tmp_path / "keys")


def published(api: Api) -> set[str]:
    return {key["kid"] for key in api.get("/.well-known/jwks.json").get_json()["keys"]}


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA", "HS256"])
def test_what_is_missing_is_made_and_only_the_owner_may_read_it(tmp_path: Path, algorithm: AlgorithmName) -> None:
    directory = tmp_path / "deep" / "keys"
    keyring = Keyring(directory, algorithm=algorithm)
    keyring.ensure()
    signing, secret = KeySet.from_pem_dir(directory).signing_key(), keyring.refresh_secret()
    keyring.ensure()

    assert KeySet.from_pem_dir(directory).signing_key().id == signing.id
    assert signing.algorithm == algorithm
    assert keyring.refresh_secret() == secret
    assert len(secret) == 32
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    private = [path for path in directory.iterdir() if path.name != "keys.lock"]
    assert len(private) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


IN_PROCESSES = """
import os, sys
from pathlib import Path
from app.keyring import Keyring
keyring = Keyring(Path(sys.argv[1]), algorithm="ES256")
starts, go = os.pipe()
children = []
for _ in range(8):
    children.append(os.fork())
    if not children[-1]:
        os.close(go)
        os.read(starts, 1)
        keyring.ensure() if sys.argv[2] == "ensure" else keyring.rotate(keep_seconds=100)
        os._exit(0)
os.close(go)
sys.exit(sum(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.mark.parametrize(("what", "keys"), [("ensure", 1), ("rotate", 9)])
def test_processes_at_once_make_one_first_key_together_and_one_each_when_they_rotate(
    tmp_path: Path, what: str, keys: int
) -> None:
    directory = tmp_path / "keys"
    if what == "rotate":
        Keyring(directory, algorithm="ES256").ensure()

    subprocess.run([sys.executable, "-c", IN_PROCESSES, str(directory), what], check=True, cwd=ROOT, timeout=60)

    assert len(key_set(tmp_path)) == keys
    secrets = [path for path in directory.iterdir() if path.suffix != ".pem" and path.name != "keys.lock"]
    assert [path.name for path in secrets] == ["refresh.hmac"]


def test_what_a_killed_process_left_unfinished_is_in_nobodys_way(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir()
    (directory / f".refresh.hmac.{os.getpid()}").write_text("half of")

    Keyring(directory, algorithm="ES256").ensure()

    assert len(Keyring(directory, algorithm="ES256").refresh_secret()) == 32


def test_the_next_key_is_published_before_it_signs(tmp_path: Path, keyring: Keyring) -> None:
    before = key_set(tmp_path).signing_key()

    new = keyring.rotate(keep_seconds=100)

    keys = key_set(tmp_path)
    assert {key.id for key in keys} == {before.id, new.id}
    assert keys.signing_key().id == before.id
    assert keys.signing_key(now=time.time() + PUBLISH_SECONDS - 5).id == before.id
    assert keys.signing_key(now=time.time() + PUBLISH_SECONDS).id == new.id


def test_a_key_goes_when_the_last_token_it_signed_is_dead(tmp_path: Path, keyring: Keyring) -> None:
    now = int(time.time())
    let_years_pass(tmp_path / "keys")
    second = keyring._write(signs_from=now - 1000)

    keyring.rotate(keep_seconds=2000)
    assert len(key_set(tmp_path)) == 3
    keyring.rotate(keep_seconds=500)
    assert len(key_set(tmp_path)) == 3
    assert key_set(tmp_path).signing_key().id == second.id


def test_withdrawing_the_key_that_signs_makes_another_first(tmp_path: Path, keyring: Keyring) -> None:
    old = key_set(tmp_path).signing_key()

    assert keyring.withdraw(old.id)

    (new,) = key_set(tmp_path)
    assert new.id != old.id
    assert key_set(tmp_path).signing_key().id == new.id
    assert not keyring.withdraw(old.id)


def test_withdrawing_another_key_leaves_the_one_that_signs(tmp_path: Path, keyring: Keyring) -> None:
    signing = key_set(tmp_path).signing_key()
    following = keyring.rotate(keep_seconds=100)

    assert keyring.withdraw(following.id)

    assert [key.id for key in key_set(tmp_path)] == [signing.id]


def test_tokens_of_before_and_after_a_rotation_are_good(fresh: Api) -> None:
    before = fresh.login("admin", "correct horse battery").access_token
    old = fresh.claims(before).key_id

    following = fresh.service.stores.keyring.rotate(keep_seconds=100)
    fresh.look_at_keys()
    assert published(fresh) == {old, following.id}
    assert fresh.claims(fresh.admin()).key_id == old, "it does not sign yet"

    now_signing = fresh.service.stores.keyring.rotate(publish_seconds=0, keep_seconds=100_000)
    fresh.look_at_keys()
    after = fresh.admin()
    assert fresh.claims(after).key_id == now_signing.id
    assert (fresh.me(before), fresh.me(after)) == (200, 200)


def test_a_key_that_others_meet_first_is_noticed_at_once(fresh: Api) -> None:
    """Another worker signs with it already: its token makes this one look again."""
    fresh.service.keys.key_set()
    key = fresh.service.stores.keyring.rotate(publish_seconds=0, keep_seconds=100_000)
    with prepared(fresh.settings) as another_worker:
        token = another_worker.admin()
    assert another_worker.claims(token).key_id == key.id
    # A flood of made-up keys costs one look a second; that second is over.
    fresh.service.keys._looked_at -= 1

    assert fresh.me(token) == 200


def test_after_a_key_is_revoked_a_new_one_signs_and_old_tokens_are_refused(fresh: Api) -> None:
    login = fresh.login("admin", "correct horse battery")
    old = str(fresh.claims(login.access_token).key_id)

    # What `python -m app keys revoke` does.
    withdrawn, _ = fresh.service.accounts.revoke_key(old, actor=Actor("operator ada"))
    assert withdrawn

    unnoticed = fresh.get("/api/me", token=login.access_token)
    assert (unnoticed.status_code, unnoticed.get_json()["reason"]) == (401, "revoked")
    fresh.look_at_keys()
    noticed = fresh.get("/api/me", token=login.access_token)
    assert (noticed.status_code, noticed.get_json()["reason"]) == (401, "unknown_key")
    assert old not in published(fresh)
    renewed = fresh.refreshed(login)
    assert fresh.me(renewed.access_token) == 200, "the session was not the key's"
    assert fresh.claims(renewed.access_token).key_id != old


@pytest.mark.parametrize("which", ["that signs", "that will sign"])
def test_over_http_no_key_is_revoked_that_signs_or_will(fresh: Api, which: str) -> None:
    """Nobody could sign in any more, and so nobody could undo it."""
    admin = fresh.admin()
    following = fresh.service.stores.keyring.rotate(keep_seconds=100)
    fresh.look_at_keys()
    key_id = {"that signs": fresh.claims(admin).key_id, "that will sign": following.id}[which]

    refused = fresh.post("/admin/revocations", token=admin, json={"kind": "key", "value": key_id, "reason": "leaked"})

    assert (refused.status_code, refused.get_json()["reason"]) == (409, "signing_key")
    assert "keys revoke" in refused.get_json()["detail"]
    assert fresh.me(admin) == 200


def test_over_http_a_key_of_before_is_revoked_and_brought_back(fresh: Api) -> None:
    before = fresh.login("admin", "correct horse battery").access_token
    old = fresh.claims(before).key_id
    fresh.service.stores.keyring.rotate(publish_seconds=0, keep_seconds=100_000)
    fresh.look_at_keys()
    admin = fresh.admin()

    revocation = fresh.revoke(admin, kind="key", value=old)
    assert (revocation["issued_before"], revocation["expires_at"]) == (None, None)
    assert (fresh.me(before), fresh.me(admin)) == (401, 200)

    assert fresh.undo(admin, revocation).status_code == 200
    assert (fresh.me(before), fresh.me(admin)) == (200, 200)


def test_a_key_that_nobody_here_knows_can_be_revoked(fresh: Api) -> None:
    """It may be another issuer's, or one that was withdrawn."""
    admin = fresh.admin()

    fresh.revoke(admin, kind="key", value="a" * 43)

    assert fresh.me(admin) == 200
