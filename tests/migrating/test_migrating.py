"""docs/migrating.md, word for word, on an application of its own with tests of its own."""

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from revocation import Guard, Handle, Lifetimes
from revocation.redis.denylist import RedisDenylist
from tests.documents import MIGRATING, blocks
from tests.support.command import environment
from tests.support.denylists import opened
from tests.support.servers import Server

HERE = Path(__file__).parent
MONTH = Lifetimes(max_token_seconds=2_592_000)


def changed(text: str, diff: str) -> str:
    """The text after the change. What a part of the diff keeps or takes away must stand in the text exactly once."""
    for part in re.split(r"^@@\n", diff, flags=re.MULTILINE)[1:]:
        lines = [(line[:1] or " ", line[1:]) for line in part.splitlines()]
        before = "".join(f"{line}\n" for mark, line in lines if mark != "+")
        after = "".join(f"{line}\n" for mark, line in lines if mark != "-")
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    return text


def diffs() -> tuple[str, str]:
    application, its_tests = blocks("diff", under="flask-jwt-extended", of=MIGRATING)
    return application, its_tests


def module(file: Path, name: str) -> Any:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_it_is_at_most_twenty_changed_lines() -> None:
    lines = [line for diff in diffs() for line in diff.splitlines()]
    assert 0 < sum(line[:1] in ("+", "-") and line[1:] != "" for line in lines) <= 20


@pytest.mark.parametrize("migrated", [False, True], ids=["before", "after"])
def test_its_own_tests_pass(tmp_path: Path, migrated: bool) -> None:
    application, its_tests = (HERE / "shop.py").read_text("utf-8"), (HERE / "shop_tests.py").read_text("utf-8")
    if migrated:
        application, its_tests = changed(application, diffs()[0]), changed(its_tests, diffs()[1])
    (tmp_path / "shop.py").write_text(application)
    (tmp_path / "test_shop.py").write_text(its_tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "7 passed" in done.stdout


class Shop:
    """The application before and after, in the same process, on one deny-list."""

    def __init__(self, directory: Path, denylist: RedisDenylist) -> None:
        (directory / "after.py").write_text(changed((HERE / "shop.py").read_text("utf-8"), diffs()[0]))
        self.guard = Guard(None, denylist, max_staleness=0)
        self.before: Flask = module(HERE / "shop.py", "shop_before").create_app()
        self.after: Flask = module(directory / "after.py", "shop_after").create_app(self.guard)

    def login(self, app: Flask, name: str = "ada") -> dict[str, str]:
        given = {"name": name, "password": "correct horse"}
        tokens: dict[str, str] = app.test_client(use_cookies=False).post("/login", json=given).get_json()
        return tokens

    def ask(self, path: str, token: str) -> int:
        client: FlaskClient = self.after.test_client(use_cookies=False)
        method = "GET" if path == "/me" else "POST"
        return client.open(path, method=method, headers={"Authorization": f"Bearer {token}"}).status_code

    def refreshed(self, tokens: dict[str, str]) -> str:
        client = self.after.test_client(use_cookies=False)
        answer = client.post("/refresh", headers={"Authorization": f"Bearer {tokens['refresh_token']}"})
        token: str = answer.get_json()["access_token"]
        return token


@pytest.fixture
def shop(tmp_path: Path, valkey: Server, namespace: str) -> Iterator[Shop]:
    shop = Shop(tmp_path, opened(valkey.client(), namespace, lifetimes=MONTH))
    yield shop
    shop.guard.stop()


def test_logging_out_ends_the_login_and_no_other(shop: Shop) -> None:
    mine, elsewhere = shop.login(shop.after), shop.login(shop.after)
    later = shop.refreshed(mine)
    assert shop.ask("/logout", later) == 200

    assert [shop.ask("/me", token) for token in (mine["access_token"], later)] == [401, 401]
    assert shop.ask("/refresh", mine["refresh_token"]) == 401
    assert shop.ask("/me", elsewhere["access_token"]) == shop.ask("/refresh", elsewhere["refresh_token"]) == 200
    assert shop.ask("/me", shop.login(shop.after)["access_token"]) == 200


def test_tokens_that_were_out_keep_working_and_end_with_a_logout(shop: Shop) -> None:
    old, other = shop.login(shop.before), shop.login(shop.before, "bob")
    assert shop.ask("/me", old["access_token"]) == 200
    # The refresh token that was out leads to access tokens, and ends with them.
    later = [shop.refreshed(old) for _ in range(2)]
    assert shop.ask("/logout", later[0]) == 200
    assert [shop.ask("/me", token) for token in later] == [401, 401]
    assert shop.ask("/refresh", old["refresh_token"]) == 401

    # An access token that was out names nothing but its user.
    assert shop.ask("/logout", other["access_token"]) == 200
    assert shop.ask("/me", other["access_token"]) == shop.ask("/refresh", other["refresh_token"]) == 401


def test_a_user_can_be_revoked_whoever_signed_the_tokens(shop: Shop) -> None:
    tokens = [shop.login(app) for app in (shop.before, shop.after)]
    shop.guard.denylist.revoke(Handle("subject", "ada", issuer="https://shop.example"))
    assert [shop.ask("/me", one["access_token"]) for one in tokens] == [401, 401]
    assert [shop.ask("/refresh", one["refresh_token"]) for one in tokens] == [401, 401]


def test_logins_are_told_apart_in_a_context_that_outlives_the_request(shop: Shop) -> None:
    """As in tests that hold an application context, and under servers where one is pushed at import."""
    with shop.after.app_context():
        first = shop.login(shop.after)
        assert shop.ask("/logout", first["access_token"]) == 200
        assert shop.ask("/me", shop.login(shop.after)["access_token"]) == 200
