"""Link: the one way to Redis. Errors become one error, and the breaker leaves a silent server alone for a while."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import redis

from revocation.errors import DenylistUnavailableError
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
            # This warning is not noisy: the breaker opens after three failures.
            _log.warning("Redis does not answer: %s", error)
            raise DenylistUnavailableError(f"Redis does not answer: {error}") from error
        except redis.RedisError as error:
            self.breaker.succeeded()
            self.suspect()
            _log.warning("Redis answers with an error: %s", error)
            raise DenylistUnavailableError(f"Redis answers with an error: {error}") from error
        self.breaker.succeeded()
        return answer
