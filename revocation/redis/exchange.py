"""Exchange: several commands in one packed request, and their answers, over a connection of redis-py."""

from collections.abc import Sequence
from typing import Any

import redis

Command = tuple[str | int, ...]


def exchange(client: "redis.Redis", commands: Sequence[Command]) -> list[Any]:
    """The answers to the commands, in their order and in RESP2's own shapes, from one round trip.

    An error reply stands in its place and is not raised. Raises redis-py's errors where there is no connection or no
    answer. A pipeline of redis-py does the same at twice the price: it keeps each command as an object, and looks for
    a way to read each answer.
    """
    pool = client.connection_pool
    connection: Any = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        return [_read(connection) for _ in commands]
    except BaseException:
        # An answer that nobody has read would be taken for that of the next command.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _read(connection: Any) -> Any:
    try:
        return connection.read_response()
    except redis.ResponseError as error:
        return error
