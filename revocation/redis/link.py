"""Link: the one way to Redis. Errors become one error, and a server that does not answer is left alone for a while."""

import hashlib
import logging
from collections.abc import Callable, Sequence
from importlib import resources
from typing import Any, TypeVar

import redis

from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.redis.breaker import Breaker
from revocation.redis.cluster import ClusterSlot

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Link:
    """Calls Redis through a breaker. Everything that goes wrong is a DenylistUnavailableError with its cause."""

    def __init__(
        self,
        server: "redis.Redis | ClusterSlot",
        *,
        slot_key: str = "",
        min_replicas: int = 0,
        breaker: Breaker | None = None,
    ) -> None:
        self._server = server
        #: A key of the namespace, by which a cluster knows its slot.
        self._slot_key = slot_key
        #: How many replicas must have what was written before it counts.
        self.min_replicas = min_replicas
        self.breaker = breaker or Breaker()
        timeout_seconds = (
            server.timeout_seconds
            if isinstance(server, ClusterSlot)
            else server.connection_pool.connection_kwargs.get("socket_timeout") or 1.0
        )
        # Less than the connection waits for its answer: too few replicas is an answer.
        self._wait_ms = max(1, round(800 * timeout_seconds))

    @property
    def client(self) -> "redis.Redis":
        """The client of the moment; in a cluster, of the node that holds the namespace now."""
        return self._server.client(self._slot_key) if isinstance(self._server, ClusterSlot) else self._server

    def suspect(self) -> None:
        """Something went wrong: in a cluster, look again where the namespace is."""
        if isinstance(self._server, ClusterSlot):
            self._server.suspect()

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._server.close()

    def add_wait(self, pipeline: Any) -> None:
        """Let the pipeline wait for the replicas, if any are asked for: on its own connection, after its writes."""
        if self.min_replicas:
            pipeline.wait(self.min_replicas, self._wait_ms)

    def require_replicas(self, reached: int) -> None:
        """Raise DenylistUnavailableError where fewer replicas than asked for have it."""
        if reached < self.min_replicas:
            raise DenylistUnavailableError(
                f"Only {reached} of {self.min_replicas} replicas answer Redis: this may be a primary that was replaced."
            )

    def call(self, ask: Callable[["redis.Redis"], T]) -> T:
        """What `ask` returns when it is given the client."""
        if not self.breaker.admits():
            raise DenylistUnavailableError("Redis did not answer the last times; asking again in a moment.")
        try:
            answer = ask(self.client)
        except redis.exceptions.MaxConnectionsError as error:
            # This process has used up its own pool, which says nothing about the server.
            raise DenylistUnavailableError("Every connection to Redis is in use.") from error
        except (redis.ConnectionError, redis.TimeoutError, OSError) as error:
            # Also BusyLoadingError and the like: a server that is not ready to serve.
            self.breaker.failed()
            self.suspect()
            # Few: the breaker stops asking soon.
            _log.warning("Redis does not answer: %s", error)
            raise DenylistUnavailableError(f"Redis does not answer: {error}") from error
        except redis.RedisError as error:
            self.breaker.succeeded()
            self.suspect()
            _log.warning("Redis answers with an error: %s", error)
            raise DenylistUnavailableError(f"Redis answers with an error: {error}") from error
        self.breaker.succeeded()
        return answer

    def script(self, name: str, *, package: str = "revocation.redis") -> "LinkedScript":
        """The packaged script `lua/<name>.lua`, ready to run."""
        return LinkedScript(self, script_text(name, package=package))


def script_text(name: str, *, package: str) -> str:
    """A packaged script behind the prelude that all scripts share."""
    texts = [
        resources.files(source).joinpath("lua", f"{part}.lua").read_text("utf-8")
        for source, part in (("revocation.redis", "prelude"), (package, name))
    ]
    return "\n".join(texts)


class LinkedScript:
    """A Lua script on a link, run by its hash and loaded where the server does not know it yet."""

    def __init__(self, link: Link, text: str) -> None:
        self._link = link
        self._text = text
        # The name by which EVALSHA knows a script; nothing depends on its strength.
        self._sha = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()

    def __call__(self, *, keys: Sequence[str], args: Sequence[str | int]) -> tuple[str, list[Any]]:
        """The word the script answers with, and what follows it (bytes and numbers).

        The words by which any script says that nobody may write or mint now (see lua/prelude.lua) become errors.
        """
        answer: Any = self._link.call(lambda client: self._run(client, keys, args))
        word, _, detail = bytes(answer[0]).decode().partition(" ")
        match word:
            case "empty":
                raise DenylistEmptyError
            case "unreadable":
                raise DenylistUnavailableError(UNREADABLE)
            case "early":
                raise DenylistUnavailableError(f"The deny-list opens when Redis' clock has passed {detail} ms.")
            case "lifetime":
                raise DenylistUnavailableError(other_lifetime(detail))
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


def majority(replicas: int) -> int:
    """How many of so many replicas make a majority of the data nodes with their primary: two halves never do both."""
    return (replicas + 1) // 2


UNREADABLE = "The head of the deny-list was written by another version of this library."


def other_lifetime(seconds: object) -> str:
    """Why a process with another longest token life may not take part."""
    return (
        f"The deny-list was opened for tokens that live at most {seconds} seconds, this process is set to another "
        "lifetime: give all processes the same REVOCATION_MAX_TOKEN_LIFETIME."
    )
