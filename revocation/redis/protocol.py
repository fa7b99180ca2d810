"""Head: what every strict check and every beat reads first. Its fields stand in lua/prelude.lua."""

import re
from dataclasses import dataclass
from typing import Final

from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.redis.link import UNREADABLE

#: How every chained entry of the log begins, in this version and in later ones.
LINK: Final = re.compile(r"(?P<prev>\d+-\d+-[^ ]*) (?P<tag>[^ ]+) ")

#: A whole change as this version writes it.
CHANGE: Final = re.compile(
    r"(?P<prev>\d+-\d+-[^ ]*) (?P<tag>[^ ]+) (?P<op>revoke|undo) (?P<expires>\d+|never) (?P<name>[^ ]+) "
    r"(?:(?P<in_force>\*|\d+)(?: \+?\d+-\d+-[0-9A-Za-z]+=(?:\*|\d+))+)?"
)


@dataclass(frozen=True, slots=True)
class Head:
    """The epoch, the end of the log, the cut-off of everything, and the revoked keys."""

    epoch: str
    birth_ms: int
    last_id: str
    last_tag: str
    everything_ms: int
    max_token_seconds: int
    keys: tuple[str, ...]

    @classmethod
    def parse(cls, text: bytes | None) -> "Head":
        """Raises DenylistUnavailableError where there is none, or none that this version understands."""
        if text is None:
            raise DenylistEmptyError
        try:
            version, epoch, birth, last_id, last_tag, everything, life, *keys = text.decode("ascii").split(" ")
            order(last_id)
            if version == "1":
                return cls(epoch, int(birth), last_id, last_tag, int(everything), int(life), tuple(keys))
        except ValueError:
            pass
        raise DenylistUnavailableError(UNREADABLE)


def order(stream_id: str) -> tuple[int, int]:
    """A stream id, or the id of a revocation, as something that compares."""
    ms, seq = stream_id.split("-", 2)[:2]
    return int(ms), int(seq)
