"""Script: a packaged Lua script, run by its hash, and loaded where the server does not know it yet."""

import hashlib
from collections.abc import Sequence
from importlib import resources
from typing import Any

import redis

from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.redis.link import Link
from revocation.redis.protocol import LIMITS, UNREADABLE, other_lifetime


class Script:
    """One script of `lua/` in a package, on a link, behind the prelude that all scripts share."""

    def __init__(self, link: Link, name: str, *, package: str = "revocation.redis") -> None:
        self._link = link
        self._text = "\n".join(
            resources.files(source).joinpath("lua", f"{part}.lua").read_text("utf-8")
            for source, part in (("revocation.redis", "prelude"), (package, name))
        )
        # EVALSHA knows a script by this name; nothing depends on its strength.
        self._sha = hashlib.sha1(self._text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, *, keys: Sequence[str], args: Sequence[str | int]) -> tuple[str, list[Any]]:
        """The word the script answers with, and what follows it (bytes and numbers).

        The words by which any script says that nobody may write or mint now (see lua/prelude.lua) become errors.
        """
        answer: Any = self._link.call(lambda client: self._run(client, keys, [*LIMITS, *args]))
        word, _, detail = bytes(answer[0]).decode().partition(" ")
        match word:
            case "empty":
                raise DenylistEmptyError
            case "unreadable":
                raise DenylistUnavailableError(UNREADABLE)
            case "early":
                raise DenylistUnavailableError(f"The deny-list opens when Redis' clock has passed {detail} ms.")
            case "lifetime":
                raise other_lifetime(*detail.split(" "))
        return word, answer[1:]

    def _run(self, client: "redis.Redis", keys: Sequence[str], args: Sequence[str | int]) -> Any:
        try:
            return self._evaluate(client, keys, args)
        except redis.exceptions.NoScriptError:
            client.script_load(self._text)
            return self._evaluate(client, keys, args)

    def _evaluate(self, client: "redis.Redis", keys: Sequence[str], args: Sequence[str | int]) -> Any:
        if not self._link.min_replicas:
            return client.evalsha(self._sha, len(keys), *keys, *args)
        pipeline = client.pipeline(transaction=False)
        pipeline.evalsha(self._sha, len(keys), *keys, *args)
        self._link.add_wait(pipeline)
        answer, reached = pipeline.execute()
        self._link.require_replicas(reached)
        return answer
