"""Lasting: what outlives the log, the longest-lived first, in pages that others may revoke and undo between."""

import math
import re
from dataclasses import dataclass
from typing import Any, Final, Self

from revocation.denylist import Revocation
from revocation.redis.link import Link
from revocation.redis.protocol import Namespace
from revocation.redis.records import parse_revocation

_PLACE: Final = re.compile(
    r"(?P<rank>[0-9]{1,9}):(?P<score>inf|[0-9]{1,16}):(?P<id>[0-9]{1,19}-[0-9]{1,19}-[0-9a-f]{8})"
)

#: Entries read at a time, and more each time, where a place is not found at once.
_LOOKED_AT: Final = 50


@dataclass(frozen=True, slots=True)
class Place:
    """A place after one entry, whether or not that is still there; by default, before all.

    What is undone or revoked moves, and what stays keeps its score and so its order. `rank`, how many entries stood
    before the place, only says where to look first.
    """

    rank: int = 0
    score: float = math.inf
    #: Empty: before all.
    id: str = ""

    @classmethod
    def parsed(cls, text: str) -> Self | None:
        """A place from its text; None for what is none."""
        match = _PLACE.fullmatch(text)
        if match is None:
            return None if text else cls()
        return cls(int(match["rank"]), float(match["score"]), match["id"])

    def __str__(self) -> str:
        return f"{self.rank}:{'inf' if self.score == math.inf else int(self.score)}:{self.id}" if self.id else ""

    def is_before(self, score: float, id_: str) -> bool:
        """Whether an entry follows on this place."""
        return not self.id or (score, id_) < (self.score, self.id)


class Lasting:
    """Reads the records of one namespace. It changes nothing."""

    def __init__(self, link: Link, namespace: Namespace) -> None:
        self._link = link
        self._namespace = namespace

    def after(self, place: Place, number: int) -> tuple[list[tuple[Place, Revocation | None]], Place | None]:
        """The next so many at the most, each with the place after it, and where to go on; None as a place is the end.

        None as a revocation stands for an undone one, and for another version's.
        """
        first, size = place.rank, number
        while True:
            # One more than is wanted: as long as the first of them is not after the place, nothing is passed over.
            begin, end = max(0, first - 1), first + size
            read = self._ranks(begin, end)
            if begin and (not read or place.is_before(*read[0])):
                # What stood before the place has moved, and more may move while this looks for it.
                size = 2 * max(size, _LOOKED_AT)
                first = max(0, first - size)
                continue
            found = [Place(rank, *entry) for rank, entry in enumerate(read, begin + 1) if place.is_before(*entry)]
            is_end = len(read) < end - begin and len(found) <= number
            if found or is_end:
                found = found[:number]
                return self._recorded(found), None if is_end else found[-1]
            first = end

    def _ranks(self, begin: int, end: int) -> list[tuple[float, str]]:
        entries: Any = self._link.call(
            lambda client: client.zrevrange(self._namespace.lasting_expiry, begin, end - 1, withscores=True)
        )
        return [(float(score), id_.decode()) for id_, score in entries]

    def _recorded(self, places: list[Place]) -> list[tuple[Place, Revocation | None]]:
        ids = [place.id for place in places]
        texts: Any = self._link.call(lambda client: client.hmget(self._namespace.lasting, ids)) if ids else []
        return [
            (place, parse_revocation(place.id, text) if text else None)
            for place, text in zip(places, texts, strict=True)
        ]
