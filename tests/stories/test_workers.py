"""Somebody's Flask app under gunicorn: every worker follows, also where the guard was used before the fork."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.denylists import opened
from tests.support.ports import free_port
from tests.support.servers import Server

WORKERS = 3
PATIENCE_SECONDS = 30

#: Makes its guard when it is imported, uses it at once, and knows nothing of gunicorn.
APP = """
import os, time
from flask import Flask
from revocation import Claims, Guard, Handle, RedisDenylist, RevokedTokenError, connect

decisions = []
denylist = RedisDenylist(connect(os.environ["STORE"], timeout_seconds=5), namespace=os.environ["NAMESPACE"])
# A longer lease: a busy machine must not take it from who lives.
guard = Guard(None, denylist, bounds=[2], on_decision=decisions.append)
now = int(time.time())

def claims(name):
    return Claims.from_mapping({"iss": "https://auth.example", "sub": "ada", "jti": name, "iat": now, "exp": now + 900})

guard.check(claims("first"))
app = Flask("yours")

@app.get("/<name>")
def check(name):
    error = None
    try:
        guard.check(claims(name))
    except RevokedTokenError as raised:
        error = raised.reason
    return {"pid": os.getpid(), "source": decisions[-1].source, "error": error}

@app.post("/<name>")
def revoke(name):
    receipt = denylist.revoke(Handle.token(claims(name)), wait_seconds=10)
    return [receipt.enforced, receipt.followers_confirmed, receipt.followers_total]
"""


def until(condition: Callable[[], bool], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.02)


@pytest.mark.parametrize("preload", [(), ("--preload",)], ids=["", "preload"])
@pytest.mark.parametrize("worker_class", ["sync", "gthread", "gevent"])
def test_every_worker_follows_confirms_and_leaves(
    tmp_path: Path, valkey: Server, namespace: str, worker_class: str, preload: tuple[str, ...]
) -> None:
    denylist = opened(valkey.client(), namespace, longest_bound_seconds=1.0)
    (tmp_path / "yours.py").write_text(APP)
    url, log = f"127.0.0.1:{free_port()}", tmp_path / "log"
    command = [sys.executable, "-m", "gunicorn", "-b", url, "-w", str(WORKERS), "-k", worker_class, *preload]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*command, "--threads", "2", "--no-control-socket", "yours:app"],
            cwd=tmp_path,
            env=os.environ | {"STORE": valkey.url, "NAMESPACE": namespace},
            stdout=output,
            stderr=subprocess.STDOUT,
        )

    def ask(name: str) -> tuple[int, str, str | None]:
        answer = requests.get(f"http://{url}/{name}", timeout=20).json()
        return answer["pid"], answer["source"], answer["error"]

    following: set[int] = set()

    def all_follow() -> bool:
        try:
            pid, source, _ = ask("good")
        except requests.ConnectionError:
            return False
        (following.add if source == "follower" else following.discard)(pid)
        return len(following) == WORKERS

    try:
        until(all_follow, log)
        # Where the app was used before the fork, the parent follows as well.
        followers = WORKERS + len(preload)
        assert requests.post(f"http://{url}/bad", timeout=20).json() == [True, followers, followers]
        refused: set[int] = set()

        def all_refuse() -> bool:
            pid, source, error = ask("bad")
            assert (source, error) == ("follower", "revoked")
            refused.add(pid)
            return len(refused) == WORKERS

        until(all_refuse, log)
        assert ask("good")[2] is None
    finally:
        process.terminate()
        process.wait(30)

    assert process.returncode == 0, log.read_text()
    assert denylist.leases.living() == {}
    for word in ("Traceback", "cannot read", "WORKER TIMEOUT"):
        assert word not in log.read_text()
