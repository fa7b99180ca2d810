"""Head: what stands at the head of a deny-list, and what it says to a process that may not take part."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from revocation.denylist import Lifetimes
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.instants import rfc3339
from revocation.redis.protocol import KEY_NAME, order

#: The word in place of an epoch while clocks are too far apart for anybody to open one.
CLOSED: Final = "closed"

#: What a process is told of that decides about no token: whatever the head declares.
EVERY_KIND: Final = "*"

UNREADABLE: Final = (
    "The head of the deny-list was written by a newer version of this library, or by something else. Update this "
    "process, or run `revocation doctor`."
)

OLDER: Final = (
    "The deny-list was written by an older version of this library. Stop every process, then run `revocation init "
    "--new-epoch`: it takes the revoked keys over, and nothing issued before is accepted."
)

#: What is said of a head that this version cannot read, and will not be able to read in a moment either.
FOREIGN: Final = (OLDER, UNREADABLE)

#: The last words of a head: so many numbers, then the kinds of handles of one's own, where there are any.
_NUMBERS_OF_HEAD: Final = 7
_KINDS = re.compile(r"(?:[a-z][a-z0-9_-]{0,31}\*?(?:,(?=[a-z]))?)*")

#: A head of the first version names, behind its first seven words, the entries of all revoked keys.
_KEYS_OF_OLDER: Final = 7


@dataclass(frozen=True, slots=True)
class Head:
    """The epoch, the log's beginning and end, the cut-off of everything, who reigns, and the settings."""

    epoch: str
    #: The last epochs that this one replaced, the latest first.
    replaced: tuple[str, ...]
    last_id: str
    last_tag: str
    #: The instant of the last line.
    at_ms: int
    #: The id of the last chained line that was trimmed.
    floor: str
    everything_ms: int
    #: Run id and replication id of the server that wrote last.
    server: tuple[str, str]
    #: Since when that server reigns.
    reign_ms: int
    settings: Lifetimes
    #: The longest finite bound that any process may decide with.
    bound_ms: int
    #: The most replicas that were ever connected.
    replicas: int
    birth_ms: int
    #: The kinds of handles besides the built-in ones; `*` ends the name of an unconditional one.
    kinds: tuple[str, ...]
    #: As it stands in Redis.
    text: str

    @classmethod
    def parse(cls, text: bytes | None) -> "Head":
        """Raises DenylistUnavailableError where there is none, or none that this version understands."""
        if text is None:
            raise DenylistEmptyError
        words = text.decode("utf-8", "replace").split(" ")
        if words[0] == "1":
            raise DenylistUnavailableError(OLDER)
        try:
            version, epoch, before, last, tag, at, floor, everything, run, replid, reign, *rest = words
            life, leeway, margin, session, bound, replicas, birth = map(int, rest[:_NUMBERS_OF_HEAD])
            kinds = _KINDS.fullmatch(" ".join(rest[_NUMBERS_OF_HEAD:]))
            order(last), order(floor)
            if version == "2" and kinds is not None:
                return cls(
                    epoch,
                    () if before == "-" else tuple(before.split(",")),
                    last,
                    tag,
                    int(at),
                    floor,
                    int(everything),
                    (run, replid),
                    int(reign),
                    Lifetimes(
                        max_token_seconds=life, leeway_seconds=leeway, margin_seconds=margin, session_seconds=session
                    ),
                    bound,
                    replicas,
                    birth,
                    tuple(kinds[0].split(",")) if kinds[0] else (),
                    text.decode(),
                )
        except ValueError:
            pass
        raise DenylistUnavailableError(UNREADABLE)

    @property
    def end(self) -> str:
        """The position of a follower that has read everything."""
        return f"{self.last_id}-{self.last_tag}"

    @property
    def is_closed(self) -> bool:
        """Whether nobody vouches for the deny-list until somebody whose clock agrees with Redis' opens an epoch."""
        return self.epoch == CLOSED

    def admits(self, claimed: Lifetimes, *, min_replicas: int, told: str) -> None:
        """Raise DenylistUnavailableError where a process accepts what entries do not outlive, or asks too few.

        `told` are the kinds of handles that it was told of, as `told_text` writes them.
        """
        if self.is_closed:
            raise DenylistUnavailableError(
                "Redis lost revocations while its clock and a process's were too far apart: nothing is accepted until "
                "a process whose clock agrees with Redis' opens a new epoch. Set all clocks by NTP."
            )
        for name, ours, theirs in (
            ("life", claimed.max_token_seconds, self.settings.max_token_seconds),
            ("leeway", claimed.leeway_seconds, self.settings.leeway_seconds),
            ("session", claimed.session_seconds, self.settings.session_seconds),
        ):
            if ours > theirs:
                raise other_settings(name, str(theirs), str(ours))
        for kind in self.kinds if told != EVERY_KIND else ():
            if kind not in told.split(","):
                raise other_settings("handles", kind, told)
        if min_replicas and min_replicas < majority(self.replicas):
            raise too_few_replicas(self.replicas, min_replicas)


def told_text(words: Sequence[str]) -> str:
    """The kinds of handles that a process was told of, as scripts take them."""
    return ",".join(words) or "-"


def keys_of_older(words: Sequence[str]) -> list[str]:
    """The names of the entries of revoked keys, in the words of a head of the first version."""
    return [word for word in words[_KEYS_OF_OLDER:] if KEY_NAME.fullmatch(word)]


def majority(replicas: int) -> int:
    """How many of so many replicas make a majority of the data nodes with their primary: two halves never do both."""
    return (replicas + 1) // 2


def too_few_replicas(replicas: int, asked: int) -> DenylistUnavailableError:
    """The error of a process that asks for no majority of the replicas that there were."""
    return DenylistUnavailableError(
        f"{replicas} replicas were connected to Redis, and min_replicas={asked} is no majority of the data nodes: set "
        f"it to {majority(replicas)}, or run `revocation init --replicas N` once where there are fewer now.",
        settings=["min_replicas"],
    )


#: How each lifetime of the head is told to a person, and which field of RevocationSettings a process claims it with.
_SETTINGS: Final = {
    "life": ("the longest token life", "max_token_lifetime_seconds"),
    "leeway": ("the leeway", "leeway_seconds"),
    "session": ("the longest session life", "session_lifetime_seconds"),
}


def opens_later(everything_ms: int) -> DenylistUnavailableError:
    """Nothing is accepted or minted before Redis' clock has passed the cut-off of everything."""
    return DenylistUnavailableError(
        f"The deny-list opens when Redis' clock has passed {rfc3339(everything_ms)}: a second after an epoch "
        "begins, or later where that clock was set back since."
    )


def other_settings(name: str, theirs: str, ours: str) -> DenylistUnavailableError:
    """The error of a process that accepts tokens for longer than entries live, or by kinds it does not look for."""
    if name == "handles":
        return DenylistUnavailableError(
            f"The deny-list declares handles of the kind {theirs.removesuffix('*')!r}, and this process was not told "
            f"which claim names one ({_told(theirs, ours)}): it would accept what was revoked by it. Tell it, as every "
            "other process.",
            settings=["handles"],
        )
    what, field = _SETTINGS[name]
    return DenylistUnavailableError(
        f"The deny-list was opened for {theirs} seconds as {what}, and this process is set to {ours}: entries would "
        "end too early. Lower it here, or stop every process and run `revocation init --new-epoch` with the higher "
        "value.",
        settings=[field],
    )


def _told(word: str, ours: str) -> str:
    other = word.removesuffix("*") if word.endswith("*") else f"{word}*"
    if other in ours.split(","):
        return "it was told that revoking one is " + ("not unconditional" if word.endswith("*") else "unconditional")
    return f"it was told of {ours.replace(',', ', ')}" if ours != "-" else "it was told of none"
