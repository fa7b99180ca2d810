"""LogWatch: reads every change of the log once, over outages, and says where it cannot know that it has read all."""

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from revocation.denylist import Change
from revocation.errors import DenylistUnavailableError
from revocation.instants import rfc3339
from revocation.redis.denylist import RedisDenylist
from revocation.redis.head import FOREIGN, Head
from revocation.redis.protocol import FROM_START, LINK, order

#: The pause between two looks at the log, in seconds.
_LOOK_SECONDS: Final = 0.2

#: Lines that one look reads at most.
_LINES: Final = 100

_LOST: Final = "Redis has lost data: changes from before may be missing here. What follows is what its log holds."
_TRIMMED: Final = "The log was trimmed before it was read here: changes are missing."


class LogWatch:
    """The changes after the end of the log, or those that it still holds as well (`from_start`).

    Each line of the log names the line before, so a restart, a failover or a trimmed log takes none away unseen. `say`
    is told what happens to the server, in words, and once for each outage. Making a watch asks the server where the
    log ends, and raises DenylistUnavailableError where it does not answer.
    """

    def __init__(self, denylist: RedisDenylist, *, say: Callable[[str], None], from_start: bool = False) -> None:
        self._denylist = denylist
        self._say = say
        head = denylist.head()
        self._epoch = head.epoch
        #: The last line of the chain that was read, as `<id>-<tag>`, and the id of the last line that was read at all.
        self._position = FROM_START if from_start else head.end
        self._cursor = "0-0" if from_start else head.last_id
        #: The instant of the last change that was told; none up to `_told_ms` is told again.
        self._at_ms = 0 if from_start else head.at_ms
        self._told_ms = 0
        #: Until the end of the log is reached, it may begin with any line, and miss some.
        self._begins = from_start
        #: The end of the log, as the head of the look before named it.
        self._expected = head.end
        self._is_down = False

    def changes(self) -> Iterator[Change]:
        """Every change, without an end. Raises DenylistUnavailableError where waiting would not help."""
        while True:
            try:
                changes, is_end = self.look()
            except DenylistUnavailableError as error:
                if str(error) in FOREIGN or error.settings:
                    # Nothing changes that before somebody changes this process.
                    raise
                if not self._is_down:
                    self._say(f"{error} Trying again.")
                self._is_down = True
                time.sleep(_LOOK_SECONDS)
                continue
            yield from changes
            if is_end:
                time.sleep(_LOOK_SECONDS)

    def look(self) -> tuple[list[Change], bool]:
        """The next changes, and whether the log ends behind them. Raises DenylistUnavailableError."""
        lines: Any = self._denylist.link.call(
            lambda client: client.xrange(self._denylist.namespace.log, f"({self._cursor}", "+", count=_LINES)
        )
        # A line that is missing is judged by a head that was read after the lines.
        head = self._denylist.head()
        position, fault = self._position, ""
        followed = []
        for entry_id, fields in lines:
            link = LINK.match(fields.get(b"change", b"").decode("utf-8", "replace"))
            if link is not None:
                if link["prev"] != position and not self._begins:
                    if max(order(link["prev"]), order(position)) > order(head.floor):
                        fault = _LOST
                        break
                    fault = _TRIMMED
                position = f"{entry_id.decode()}-{link['tag']}"
            followed.append((entry_id, fields))
        if not lines:
            fault = self._fault_at_end(head)
        changes = self._denylist.read_lines(followed)
        # Nothing of this look fails from here on, so that the next one repeats none of it.
        self._position = position
        self._cursor = followed[-1][0].decode() if followed else self._cursor
        self._tell(head, fault, is_whole=position == head.end)
        fresh = [change for change in changes if change.at_ms > self._told_ms]
        self._at_ms = max([self._at_ms, *(change.at_ms for change in fresh)])
        if fault == _LOST:
            # The log may be another one by now, whose ids are earlier: it is read from its beginning.
            self._position, self._cursor, self._begins, self._told_ms = FROM_START, "0-0", True, self._at_ms
        elif not lines and self._expected == head.end:
            # Every line up to there was read, or is gone for good.
            self._position, self._begins = head.end, False
            self._cursor = max(self._cursor, head.last_id, key=order)
        self._expected = head.end
        return fresh, len(lines) < _LINES and fault != _LOST

    def _fault_at_end(self, head: Head) -> str:
        """What is wrong where no line comes after the last one that was read, whatever the head names."""
        if self._begins or head.end == self._position:
            return ""
        if order(head.last_id) <= order(self._position):
            return _LOST
        if self._expected != head.end:
            # It was appended after the lines were read, and the next look finds it.
            return ""
        return _TRIMMED if order(head.last_id) <= order(head.floor) else _LOST

    def _tell(self, head: Head, fault: str, *, is_whole: bool) -> None:
        """Say what became of the server since the last look."""
        if self._is_down and (fault or is_whole):
            self._is_down = False
            self._say("It answers again." if fault else "It answers again, and no change is missing.")
        if head.epoch != self._epoch:
            what = "began" if self._epoch in head.replaced else "is in force, which does not follow the one before"
            self._say(f"Epoch {head.epoch} {what}: nothing issued before {rfc3339(head.everything_ms)} is accepted.")
            self._epoch = head.epoch
        if fault:
            self._say(fault)
