"""Script: a packaged Lua script, run by its hash, and loaded where the server does not know it yet."""

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, Final

import redis

from revocation.denylist import Lifetimes
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.redis.head import OLDER, UNREADABLE, opens_later, other_settings, too_few_replicas
from revocation.redis.link import Link
from revocation.redis.protocol import LIMITS

#: A script is loaded so often for one call: somebody may flush the scripts in between, or another server take over.
_LOADS: Final = 2


class Caller:
    """Who runs the scripts: its own clock, what it accepts, and the server that it saw last."""

    def __init__(self, link: Link, *, probe: str, claimed: Lifetimes, told: str, clock: Callable[[], float]) -> None:
        self.link = link
        #: The key that is written where WAIT is forbidden.
        self.probe = probe
        self.claimed = claimed
        #: The kinds of handles of one's own that it was told of, as scripts take them.
        self.told = told
        self.clock = clock
        #: Run id and replication id of the server that answered last; empty where none has told.
        self.server = ("", "")

    @property
    def now_ms(self) -> int:
        """The caller's own clock, in milliseconds since the epoch."""
        return int(self.clock() * 1000)

    @property
    def arguments(self) -> list[int | str]:
        """The first arguments of every script."""
        claimed = self.claimed
        lives = (claimed.max_token_seconds, claimed.leeway_seconds, claimed.session_seconds)
        return [*LIMITS, self.now_ms, *lives, self.link.min_replicas, self.told]


class Script:
    """One script of `lua/` in a package, behind the prelude that all scripts share."""

    def __init__(self, caller: Caller, name: str, *, package: str = "revocation.redis") -> None:
        self._caller = caller
        self._link = caller.link
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
        return self._link.call(lambda client: self.run_on(client, keys=keys, args=args))

    def run_on(self, client: "redis.Redis", *, keys: Sequence[str], args: Sequence[str | int]) -> tuple[str, list[Any]]:
        """The same over a connection of the caller's own, past the breaker: errors are redis-py's."""
        answer: Any = self._run(client, keys, [*self._caller.arguments, *args])
        word, _, detail = bytes(answer[0]).decode().partition(" ")
        refusal = self._refusal(word, detail.split(" "))
        if refusal is not None:
            # The script has written nothing, so a replica can have answered: what it lacks, the primary may have.
            self._link.require_primary(client, probe=self._caller.probe)
            raise refusal
        return word, answer[1:]

    def _refusal(self, word: str, details: list[str]) -> DenylistUnavailableError | None:
        """The error that a script's word stands for; None where it is the script's own answer."""
        match word, details:
            case "empty", _:
                return DenylistEmptyError()
            case "settings", [name, theirs, ours]:
                return other_settings(name, theirs, ours)
            case "minority", [replicas]:
                return too_few_replicas(int(replicas), self._link.min_replicas)
            case "early", [everything_ms]:
                return opens_later(int(everything_ms))
        return DenylistUnavailableError(_REASONS[word].format(*details)) if word in _REASONS else None

    def _run(self, client: "redis.Redis", keys: Sequence[str], args: Sequence[str | int]) -> Any:
        for _ in range(_LOADS):
            # A script that the server does not know has not run, so running it again runs it once.
            with contextlib.suppress(redis.exceptions.NoScriptError):
                return self._evaluate(client, keys, args)
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


#: Why nobody may write or mint now, by the word of the script; the braces take its details.
_REASONS = {
    "older": OLDER,
    "unreadable": UNREADABLE,
    "closed": "The deny-list is closed: Redis lost revocations while clocks were too far apart. Set all clocks by NTP.",
    "clock": "Redis' clock says {} ms and this host's says {} ms, which is too far apart: set both by NTP.",
    "type": "The key {} holds something that is no part of a deny-list. Look at it, and delete it.",
    "stuck": "The log of the deny-list takes no further entry, because something in it has an id that is far ahead: "
    "run `revocation init --new-epoch`.",
}
