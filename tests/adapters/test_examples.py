"""docs/frameworks.md: every example protects its route, honours a revocation, and is 503 while Redis hangs."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from revocation import Accepted, Claims, Handle
from revocation.testing import Clock
from tests.adapters.apps import guard_of
from tests.adapters.examples import ALL, served
from tests.adapters.scenarios import Cast
from tests.documents import FRAMEWORKS, blocks
from tests.support.denylists import opened, until
from tests.support.servers import Server, StartServer
from tests.support.tokens import Forge, key


@pytest.mark.parametrize("name", ALL)
def test_an_example_is_revoked_within_its_bound_and_503_while_redis_hangs(
    name: str, start_server: StartServer, namespace: str
) -> None:
    server, cast = start_server(), Cast()
    opened(server.client(), namespace)
    guard = guard_of(server.url, namespace, cast.secrets)
    with served(name, guard) as (ask, made):
        if name == "flask-jwt-extended":
            tokens, claims = _tokens_of_flask_jwt_extended(made["app"])
        else:
            tokens = [cast.token("first"), cast.token("second")]
            claims = cast.forge.verifier().verify(tokens[0])
        until(lambda: [ask(token) for token in tokens] == [200, 200])
        assert ask("nonsense") in (401, 422)

        guard.denylist.revoke(Handle.token(claims))
        until(lambda: ask(tokens[0]) == 401)
        assert ask(tokens[1]) == 200

        with server.paused():
            until(lambda: ask(tokens[1]) == 503)
            assert ask(tokens[0]) == 401
    # One example makes a guard of its own, whose follower would look for this server as long as the process lives.
    denylist: Any = guard.denylist
    for follower in list(denylist._followers):
        follower.stop()


def _tokens_of_flask_jwt_extended(app: Any) -> tuple[list[str], Claims]:
    from flask_jwt_extended import create_access_token, decode_token

    with app.app_context():
        tokens = [create_access_token(name) for name in ("ada", "bob")]
        return tokens, Claims.from_mapping(decode_token(tokens[0]))


def test_the_module_that_they_share_makes_a_guard(
    valkey: Server, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened(valkey.client(), namespace)
    forge = Forge(key(), clock=Clock(time.time()))
    (tmp_path / "jwks.json").write_text(json.dumps({"keys": [forge.key.public_jwk()]}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REVOCATION_REDIS_URL", valkey.url)
    monkeypatch.setenv("REVOCATION_NAMESPACE", namespace)
    made: dict[str, Any] = {}

    exec(blocks("python", under="Your framework", of=FRAMEWORKS)[0], made)

    assert isinstance(made["guard"].decide(forge.token(), max_staleness=60), Accepted)
    made["guard"].stop()
