"""WaitingPool: a connection pool in which a burst waits for its turn."""

import threading
from collections import deque
from typing import TYPE_CHECKING, Any, Final

import redis
from redis.event import EventDispatcher

#: How many timeouts a call waits at the most while connections keep coming back to a pool that is in use.
_LONGEST_WAIT: Final = 10

#: After so many looks, half a timeout each, in which no connection came back, a call gives up.
_IDLE_LOOKS: Final = 2

if TYPE_CHECKING:
    _Base = redis.ConnectionPool
else:
    # A class to be mixed in before one of redis-py's pools.
    _Base = object


class Waiting(_Base):
    """Mixed into a pool of redis-py: a call that finds every connection in use waits until one is given back.

    It gives up, with the MaxConnectionsError of redis-py, when no connection has come back for the timeout of an
    answer: then the server does not answer. While they do come back, a burst of any size passes through, for at most
    ten timeouts. redis-py's BlockingConnectionPool waits as well, but behind a queue with a lock, which every call
    pays for, and which is no pool for Sentinels.
    """

    _turns: "deque[threading.Lock]"
    #: How many connections came back while somebody waited.
    _given_back: int

    def reset(self) -> None:
        """Begin anew, as the constructor does and the first call in a forked child."""
        # Another thread may have held these locks when this process was forked, and does not exist here.
        self._lock = threading.RLock()
        self._event_dispatcher = EventDispatcher()
        self._turns = deque()
        self._given_back = 0
        super().reset()

    def get_connection(self, command_name: Any = None, *keys: Any, **options: Any) -> Any:
        """A connection that is ready; waits where all are in use."""
        try:
            return super().get_connection()
        except redis.exceptions.MaxConnectionsError:
            return self._await_connection()

    def release(self, connection: Any) -> None:
        """Give a connection back, and let the next waiting call try."""
        super().release(connection)
        if self._turns:
            self._given_back += 1
            self._call_next()

    def _await_connection(self) -> Any:
        patience = self.connection_kwargs.get("socket_timeout") or 1.0
        looks, idle = 0, 0
        while True:
            turn = threading.Lock()
            turn.acquire()
            self._turns.append(turn)
            try:
                # One may have come back before this call stood in the queue.
                connection = super().get_connection()
            except redis.exceptions.MaxConnectionsError:
                given_back = self._given_back
                # In two halves: after a pause of the whole process a wait is over at once, and the answers that came
                # meanwhile are still unread.
                while not turn.acquire(timeout=patience / 2):
                    looks += 1
                    idle = idle + 1 if self._given_back == given_back else 0
                    given_back = self._given_back
                    if idle == _IDLE_LOOKS or looks >= 2 * _LONGEST_WAIT:
                        self._leave(turn)
                        raise
            except BaseException:
                self._leave(turn)
                raise
            else:
                self._leave(turn)
                return connection

    def _leave(self, turn: threading.Lock) -> None:
        """Stand in the queue no longer; a turn that came meanwhile is the next one's."""
        try:
            self._turns.remove(turn)
        except ValueError:
            self._call_next()

    def _call_next(self) -> None:
        try:
            turn = self._turns.popleft()
        except IndexError:
            return
        turn.release()


class WaitingPool(Waiting, redis.ConnectionPool):
    """The pool of one server."""
