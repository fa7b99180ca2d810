"""Entries: what the deny-list of the playground holds, as Redis shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from revocation import Handle, RedisDenylist

#: PTTL says it of a key that is not there; of one that does not expire it says -1.
_NOT_THERE: Final = -2


@dataclass(frozen=True, slots=True)
class Entry:
    """The entry under a handle, or the place of one that is not there."""

    key: str
    present: bool
    #: None where there is none, or where it stands until undone.
    expires_in_seconds: float | None


def entries_of(denylist: RedisDenylist, handles: Sequence[Handle]) -> list[Entry]:
    """One for each handle. Raises DenylistUnavailableError."""
    keys = [denylist.key(handle.name) for handle in handles]

    def ask(client: Any) -> list[int]:
        pipeline = client.pipeline(transaction=False)
        for key in keys:
            pipeline.pttl(key)
        answers: list[int] = pipeline.execute()
        return answers

    return [
        Entry(key, left_ms != _NOT_THERE, left_ms / 1000 if left_ms >= 0 else None)
        for key, left_ms in zip(keys, denylist.link.call(ask), strict=True)
    ]
