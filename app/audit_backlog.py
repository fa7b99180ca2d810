"""AuditBacklog: lines of the deny-list's log that wait for a database that is away.

app:audit:lines    stream: the lines, oldest first, see lua/keep.lua
app:audit:reach    hash: how far the log has been kept (`epoch`, `last`), and the floor of the log at the beginning
"""

from dataclasses import dataclass
from typing import Any, Final

from app.audit import LogPosition
from revocation import Change, RedisDenylist
from revocation.redis.head import Head

#: Lines in one call of the script; Redis serves nobody else meanwhile.
_BATCH: Final = 200

#: Lines kept at most, of some 300 bytes each: what waits for the audit must not fill the deny-list's Redis.
MOST_LINES: Final = 100_000

#: A database that does not come back within this (30 days) is given up.
_LIFE_MS: Final = 30 * 86_400_000


@dataclass(frozen=True, slots=True)
class KeptLines:
    """The oldest lines of the backlog."""

    changes: tuple[Change, ...]
    #: The last of them, in the log that it came from.
    reached: LogPosition
    #: The last line that the log had dropped when the backlog began.
    floor: str
    #: The last of them, in the backlog.
    last: str


class AuditBacklog:
    """Keeps lines in Redis, beside the log, until the trail has them."""

    def __init__(self, denylist: RedisDenylist) -> None:
        self._denylist = denylist
        self._keep = denylist.script("keep", package="app")
        self._lines, self._reach = denylist.key("app:audit:lines"), denylist.key("app:audit:reach")

    def keep(self, head: Head, *, position: LogPosition | None) -> None:
        """Keep what the log says after a position, and after what is kept already.

        Raises DenylistUnavailableError; then a later call keeps the rest.
        """
        after = position.log_id if position is not None and position.epoch == head.epoch else "0-0"
        keys = (self._denylist.namespace.log, self._lines, self._reach)
        while self._keep(keys=keys, args=(head.epoch, head.floor, after, _BATCH, MOST_LINES, _LIFE_MS))[1] == [_BATCH]:
            pass

    def oldest(self, limit: int) -> KeptLines | None:
        """The oldest lines, so many at most; None where nothing is kept."""

        def ask(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            pipeline.xrange(self._lines, "-", "+", count=limit)
            pipeline.hget(self._reach, "floor")
            return list(pipeline.execute())

        lines, floor = self._denylist.link.call(ask)
        if not lines:
            return None
        last, fields = lines[-1]
        return KeptLines(
            self._denylist.read_lines([(fields[b"line"], fields) for _, fields in lines]),
            LogPosition(fields[b"epoch"].decode(), fields[b"line"].decode()),
            (floor or b"0-0").decode(),
            last.decode(),
        )

    def drop(self, last: str) -> None:
        """Drop the lines up to one, which the trail has now."""
        instant, number = last.split("-")

        def ask(client: Any) -> None:
            client.xtrim(self._lines, minid=f"{instant}-{int(number) + 1}", approximate=False)
            if not client.xrange(self._lines, "-", "+", count=1):
                client.delete(self._lines, self._reach)

        self._denylist.link.call(ask)
