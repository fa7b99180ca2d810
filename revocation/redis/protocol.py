"""What stands in Redis: every name, grammar and limit of it, for everybody who reads or writes any of it.

<ns> is the namespace in its hash tag, `{denylist}` by default, so that everything is in one cluster slot.

    <ns>:<name>           entry: '<in force> <id>=<cut-off> ...', a cut-off being milliseconds or '*' (unconditional).
                          <name> is '<kind>:<issuer>[:<value>]', its parts readable or '~' and SHA-256.
                          '+<id>=<cut-off>' stands for every revocation up to <id> that was merged and cannot be undone.
    <ns>:head             '1 <epoch> <birth ms> <last log id> <last tag> <cut-off of everything, ms> <longest token
                          life, s> [<entry name of a revoked key> ...]'
    <ns>:log              stream: every change in order, with two fields. change: '<prev> <tag> <op> <expires> <name>
                          <entry>', where prev names the entry before as '<id>-<tag>' ('0-0--': none), tag is random, op
                          is revoke or undo, expires (ms or 'never') and entry are the result, '' if none is left. Later
                          versions may say something else behind the tag. about: JSON; of a revocation: [what was asked
                          by whom and why (an object), its cut-off, its expiry]
    <ns>:lasting          hash: id -> about, of revocations that outlive the log; '-' of those that were undone
    <ns>:lasting:expiry   sorted set: id by expiry (ms, +inf: never)
    <ns>:followers        set: the ids of the followers
    <ns>:follower:<id>    string: '<position> <length of the lease, ms>'; it ends with the lease
    <ns>:probe            string: a strict check that asks for replicas writes it, and WAIT speaks of that write

The Lua scripts get these names as keys, and the limits as arguments.
"""

import json
import re
from dataclasses import dataclass
from typing import Final, Literal

from revocation.denylist import MAX_REVOCATIONS_PER_ENTRY, MAX_REVOKED_KEYS, Lifetimes, Revocation
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.handles import Handle

#: The position of a follower that has read nothing: `<id>-<tag>` of no log entry.
FROM_START: Final = "0-0--"

#: Bounds on what one script call reads or writes, so that nobody else waits long for Redis.
HANDLES_PER_CALL: Final = 256
FORGOTTEN_PER_CALL: Final = 128
SEARCHED_FOR_THE_CHAIN: Final = 100

#: A second is what the clocks of this host and of Redis may differ by where no leeway is known yet.
CLOCKS_DIFFER_MS: Final = 1000

#: What stands in `lasting` for a revocation that was undone.
UNDONE: Final = b"-"

#: How every chained entry of the log begins, in this version and in later ones.
LINK: Final = re.compile(r"(?P<prev>\d+-\d+-[^ ]*) (?P<tag>[^ ]+) ")

#: A whole change as this version writes it.
CHANGE: Final = re.compile(
    r"(?P<prev>\d+-\d+-[^ ]*) (?P<tag>[^ ]+) (?P<op>revoke|undo) (?P<expires>\d+|never) (?P<name>[^ ]+) "
    r"(?:(?P<in_force>\*|\d+)(?: \+?\d+-\d+-[0-9A-Za-z]+=(?:\*|\d+))+)?"
)

#: The id of a revocation: that of its log entry, and its tag.
REVOCATION_ID: Final = re.compile(r"(\d{1,20}-\d{1,20})-([0-9a-f]{8})")

UNREADABLE: Final = "The head of the deny-list was written by another version of this library."

_ENTRY = re.compile(rb"(\*|\d+)(?: \+?\d+-\d+-[0-9a-z]+=(?:\*|\d+))+")
_LEASE = re.compile(rb"(\d+-\d+-[^ ]*) (\d+)")
_TO_JSON = json.JSONEncoder(separators=(",", ":")).encode


class Namespace:
    """The names of all keys of one deny-list."""

    def __init__(self, name: str) -> None:
        self.prefix = f"{{{name}}}:"
        self.head = self.key("head")
        self.log = self.key("log")
        self.lasting = self.key("lasting")
        self.lasting_expiry = self.key("lasting:expiry")
        self.followers = self.key("followers")
        self.probe = self.key("probe")

    def key(self, name: str) -> str:
        """A key of this namespace; all of them share one cluster slot."""
        return self.prefix + name

    def entry(self, handle: Handle) -> str:
        """The key of a handle's entry."""
        return self.prefix + handle.name

    def lease(self, follower_id: str) -> str:
        """The key of a follower's lease."""
        return f"{self.prefix}follower:{follower_id}"

    @property
    def written(self) -> list[str]:
        """What every change of the deny-list writes besides entries."""
        return [self.head, self.log, self.lasting, self.lasting_expiry]


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

    @property
    def end(self) -> str:
        """The position of a follower that has read everything."""
        return f"{self.last_id}-{self.last_tag}"


def order(stream_id: str) -> tuple[int, int]:
    """A stream id, or the id of a revocation, as something that compares."""
    ms, seq = stream_id.split("-", 2)[:2]
    return int(ms), int(seq)


def stream_id_of(revocation_id: str) -> str:
    """The id of the log entry of a revocation, or of a follower's position."""
    return revocation_id.rpartition("-")[0]


def tag_of(fields: dict[bytes, bytes]) -> bytes | None:
    """The tag of a chained log entry; None of any other."""
    words = fields.get(b"change", b"").split(b" ", 2)
    return words[1] if len(words) > 1 else None


def cutoff_text_in(entry: bytes) -> bytes:
    """What is in force according to an entry: milliseconds, or `*`; also `*` where the entry cannot be read."""
    parsed = _ENTRY.fullmatch(entry)
    return b"*" if parsed is None else bytes(parsed[1])


def ids_in(entry: bytes) -> list[str]:
    """The ids of the revocations in an entry, oldest first; merged ones begin with a plus sign."""
    return [part.partition("=")[0] for part in entry.decode("ascii", "replace").split(" ")[1:]]


def standing_in(entry: bytes | None, revocation_id: str) -> Literal["", "alone", "merged"]:
    """Whether an entry still has a revocation in force; merged: this one, or one that was undone before."""
    if entry is None:
        return ""
    if not _ENTRY.fullmatch(entry):
        return "alone"
    ids = ids_in(entry)
    if revocation_id in ids:
        return "alone"
    return "merged" if any(id_[0] == "+" and order(id_[1:]) >= order(revocation_id) for id_ in ids) else ""


def lease_text(position: str, *, length_ms: int) -> str:
    """A lease as its follower writes it."""
    return f"{position} {length_ms}"


def parse_lease(text: bytes) -> tuple[str, int] | None:
    """Position and length (ms) of a lease; None where another version wrote it."""
    lease = _LEASE.fullmatch(text)
    return None if lease is None else (lease[1].decode(), int(lease[2]))


def about_revocation(handle: Handle, *, actor: str, reason: str) -> str:
    """The record of a revocation, as the scripts complete it with its cut-off and expiry."""
    return _TO_JSON(
        {"kind": handle.kind, "issuer": handle.issuer, "value": handle.value, "actor": actor, "reason": reason}
    )


def about_undo(revocation_id: str, *, actor: str, reason: str) -> str:
    """The record of an undo."""
    return _TO_JSON({"revocation": revocation_id, "actor": actor, "reason": reason})


def parse_undo(text: bytes) -> tuple[str, str, str] | None:
    """The id that was undone, by whom and why; None for a record that is not this version's."""
    try:
        about = json.loads(text)
        return about["revocation"], about["actor"], about["reason"]
    except (ValueError, KeyError, TypeError):
        return None


def parse_revocation(revocation_id: str, text: bytes) -> Revocation | None:
    """A revocation from its record; None for a record that is not this version's."""
    try:
        about, cutoff, expiry = json.loads(text)
        return Revocation(
            revocation_id,
            Handle(about["kind"], about["value"], issuer=about["issuer"]),
            None if cutoff == "*" else int(cutoff),
            None if expiry == "never" else int(expiry),
            created_at_ms=order(revocation_id)[0],
            reason=about["reason"],
            actor=about["actor"],
        )
    except (ValueError, KeyError, TypeError):
        return None


def parse_logged(entry_id: bytes, fields: dict[bytes, bytes]) -> Revocation | None:
    """The revocation that a log entry tells of; None for an undo, and for what is not this version's."""
    change = CHANGE.fullmatch(fields.get(b"change", b"").decode("utf-8", "replace"))
    if change is None or change["op"] != "revoke":
        return None
    return parse_revocation(f"{entry_id.decode()}-{change['tag']}", fields.get(b"about", b""))


def expiry_argument(handle: Handle, lifetimes: Lifetimes) -> str:
    """When an entry ends, as the scripts take it: 'never', '=<ms>' or '+<ms from now>'."""
    if handle.kind == "key":
        return "never"
    if handle.expires_at is not None:
        return f"={max(0, lifetimes.dead_at_ms(handle.expires_at))}"
    return f"+{lifetimes.entry_ms(handle.kind)}"


#: What every script that writes gets beside its own arguments (see lua/prelude.lua).
LIMITS: Final = (
    MAX_REVOCATIONS_PER_ENTRY,
    MAX_REVOKED_KEYS,
    FORGOTTEN_PER_CALL,
    SEARCHED_FOR_THE_CHAIN,
    CLOCKS_DIFFER_MS,
)


def majority(replicas: int) -> int:
    """How many of so many replicas make a majority of the data nodes with their primary: two halves never do both."""
    return (replicas + 1) // 2


def other_lifetime(theirs: object, ours: object) -> DenylistUnavailableError:
    """The error of a process with another longest token life, which may not take part."""
    return DenylistUnavailableError(
        f"The deny-list was opened for tokens that live at most {theirs} seconds, and this process is set to {ours}: "
        "give all processes the same longest token life.",
        settings=["max_token_lifetime_seconds"],
    )
