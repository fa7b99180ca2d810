"""Link: the one way to Redis. Errors become one error, and the breaker leaves a silent server alone for a while."""

import logging
import math
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeVar

import redis

from revocation.errors import DenylistUnavailableError
from revocation.redis.breaker import Breaker
from revocation.redis.cluster import Address, ClusterSlot
from revocation.redis.connect import drop_connections, fault_of_settings, is_memory, require_usable
from revocation.redis.exchange import Command, exchange

_log = logging.getLogger(__name__)

T = TypeVar("T")

#: A server that was the wrong one is asked over new connections; they are not made anew more often than this.
_BETWEEN_DROPS_SECONDS: Final = 1.0


class AloneError(DenylistUnavailableError):
    """Too few replicas are with the server: it may be a primary that was replaced."""


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
        require_usable(server)
        self._server = server
        #: A key of the namespace, by which a cluster knows its slot.
        self._slot_key = slot_key
        #: How many replicas must have what was written before it counts.
        self.min_replicas = min_replicas
        self.breaker = breaker or Breaker()
        self._drops_again_at = -math.inf
        #: Whether the server knows replicas: a store inside this process knows neither WAIT nor INFO.
        self.is_server = not is_memory(server)
        #: Whether this user may use WAIT; found out by the first check.
        self.may_wait = self.is_server
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

    @property
    def finds_primary(self) -> bool:
        """Whether somebody is asked where the primary is; else it is the one server at the address."""
        return isinstance(self._server, ClusterSlot) or hasattr(self._server.connection_pool, "sentinel_manager")

    @property
    def members(self) -> tuple[Address, ...]:
        """Every node of the cluster, as it was told last; empty where there is none."""
        return self._server.members if isinstance(self._server, ClusterSlot) else ()

    def fault(self, error: BaseException) -> str | None:
        """What the settings have to do with a connection that failed; None where waiting may help."""
        return fault_of_settings(self._server, error)

    def suspect(self) -> None:
        """Something went wrong: in a cluster, look again where the namespace is."""
        if isinstance(self._server, ClusterSlot):
            self._server.suspect()

    def leave(self) -> None:
        """This server is the wrong one: whoever has its address now is reached by new connections only."""
        now = time.monotonic()
        if now >= self._drops_again_at:
            self._drops_again_at = now + _BETWEEN_DROPS_SECONDS
            drop_connections(self._server)

    def close(self) -> None:
        """Close the connections; the next call opens new ones."""
        self._server.close()

    def add_wait(self, pipeline: Any) -> None:
        """Let the pipeline wait for the replicas, if any are asked for: on its own connection, after its writes."""
        if self.min_replicas:
            pipeline.wait(self.min_replicas, self._wait_ms)

    def vouched(self, client: "redis.Redis", commands: Sequence[Command], *, probe: str) -> list[Any]:
        """The answers to commands that end with proof that a primary answered, and enough replicas with it.

        A replica refuses WAIT, so a server that was demoted never vouches, and as the last command WAIT is right also
        against a demotion in between. Where WAIT is forbidden, a write takes its place. The answers have RESP2's own
        shapes.
        """
        proof: tuple[Command, ...] = ()
        if self.min_replicas:
            # WAIT speaks of the last write of its connection.
            proof = (("SET", probe, 1), ("WAIT", self.min_replicas, self._wait_ms))
        elif self.is_server:
            proof = (("WAIT", 0, 0),) if self.may_wait else (("SET", probe, 1),)
        answers = exchange(client, (*commands, *proof))
        if self.may_wait and not self.min_replicas and _is_forbidden(answers[-1]):
            self.may_wait = False
            _log.warning("This user of Redis may not use WAIT: grant it `+wait`. Until then every check writes a key.")
            return self.vouched(client, commands, probe=probe)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        if self.min_replicas:
            self.require_replicas(answers[-1])
        return answers[: len(commands)]

    def require_primary(self, client: "redis.Redis", *, probe: str) -> None:
        """Raise an error of redis-py where this server is a replica, or AloneError."""
        if self.is_server:
            self.vouched(client, (), probe=probe)

    def require_replicas(self, reached: int) -> None:
        """Raise AloneError where fewer replicas than asked for have it."""
        if reached < self.min_replicas:
            raise AloneError(
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
            fault = self.fault(error)
            told = f"Redis cannot be used as it is set: {fault}" if fault else f"Redis does not answer: {error}"
            # This warning is not noisy: the breaker opens after three failures.
            _log.warning("%s", told)
            raise DenylistUnavailableError(told, settings=["redis_url"] if fault else []) from error
        except redis.RedisError as error:
            raise self._answered(error) from error
        except DenylistUnavailableError:
            # The server has answered, though with nothing to decide by: whoever asks next is not told that it did not.
            self.breaker.succeeded()
            raise
        self.breaker.succeeded()
        return answer

    def _answered(self, error: "redis.RedisError") -> DenylistUnavailableError:
        """What an error reply means, in one place for all of them."""
        text = str(error)
        if isinstance(error, redis.exceptions.NoPermissionError):
            self.breaker.succeeded()
            _log.error("Redis forbids this user a command that the deny-list needs: %s", text)
            return DenylistUnavailableError(f"Redis forbids this user a command that the deny-list needs: {text}")
        if is_wrong_server(error):
            self.leave()
            self.suspect()
            self.breaker.succeeded()
            _log.warning("This server is not the primary of the deny-list: %s", text)
            return DenylistUnavailableError(f"This server is not the primary of the deny-list: {text}")
        if text.startswith("BUSY"):
            # A script that runs for too long keeps everybody waiting.
            self.breaker.failed()
        else:
            self.breaker.succeeded()
        self.suspect()
        _log.warning("Redis answers with an error: %s", text)
        return DenylistUnavailableError(f"Redis answers with an error: {text}")


def _is_forbidden(answer: object) -> bool:
    """Whether an answer says that this user may not use the command, or that the server does not know it."""
    return isinstance(answer, redis.exceptions.NoPermissionError) or (
        isinstance(answer, redis.ResponseError) and "unknown command" in str(answer)
    )


#: How the reply of a server that is not the primary begins, with or without the word that redis-py takes off.
_WRONG_SERVER: Final = (
    *("READONLY", "You can't write against a read only replica", "WAIT cannot be used with replica"),
    *("MASTERDOWN", "Link with MASTER is down", "UNBLOCKED", "force unblock from blocking", "NOREPLICAS"),
    *("Not enough good replicas", "MOVED", "ASK ", "CLUSTERDOWN", "TRYAGAIN"),
)


def is_wrong_server(error: Exception) -> bool:
    """Whether a reply says that somebody else is the primary now."""
    kinds = (redis.exceptions.ReadOnlyError, redis.exceptions.MasterDownError, redis.exceptions.MovedError)
    return isinstance(error, kinds) or (isinstance(error, redis.ResponseError) and str(error).startswith(_WRONG_SERVER))
