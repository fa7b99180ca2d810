"""What stands in Redis: every name, grammar and limit of it, for everybody who reads or writes any of it.

<ns> is the namespace in its hash tag, `{denylist}` by default, so that everything is in one cluster slot.

    <ns>:<name>           string, an entry: '<in force> <id>=<cut-off>[/<mark>] ...', a cut-off being milliseconds or
                          '*' (unconditional). <name> is '<kind>:<issuer>[:<value>]', its parts readable or '~' and
                          SHA-256. '+<id>=<cut-off>' stands for every revocation up to <id> that was merged and cannot
                          be undone. The mark tells an actor and a reason from others. With a TTL, but for keys
    <ns>:head             string: '2 <epoch, or closed> <the epochs it replaced, comma-separated, or -> <last log id>
                          <last tag> <instant of the last line, ms> <floor> <cut-off of everything, ms> <run id>
                          <replication id> <since when that server reigns, ms> <longest token life, s> <leeway, s>
                          <margin, s> <longest session life, s> <longest bound, ms> <most replicas> <birth of the epoch,
                          ms>[ <kinds of handles of one's own, comma-separated, '*' behind an unconditional one>]'. The
                          floor is the id of the last chained line that was trimmed. Whoever does not know the last
                          word, or one of its kinds, answers nothing
    <ns>:log              stream: every change in order, with two fields. change: '<prev> <tag> <op> @<at> <expires>
                          <name> <entry>', where prev names the line before as '<id>-<tag>' ('0-0--': none), tag is
                          random, op is revoke, undo or restore, at (ms) never decreases, expires (ms, counted from at,
                          or 'never') and entry are the result, '' if none is left. Later versions may say something
                          else behind the tag. about: JSON; of a revocation: [what was asked by whom, why, from
                          where, by which act and together with what (an object), its cut-off, its expiry]. Ids only
                          order
    <ns>:lasting          hash: id -> about, of revocations that outlive the log; '-' of those that were undone
    <ns>:lasting:expiry   sorted set: id by expiry (ms, +inf: never)
    <ns>:clock            string: '<highest iat handed out> <highest cut-off>', ms
    <ns>:followers        set: the ids of the followers
    <ns>:follower:<id>    string: '<position> <length of the lease, ms>'; it ends with the lease
    <ns>:probe            string: written where WAIT is forbidden, because a replica refuses to write it
    <ns>:doctor           string: on which the doctor tries what its user may do. It ends after seconds
    <ns>:signing:<issuer> string: JSON, the ids of the issuer's keys and from when on (s) each one signs. A month's TTL

The Lua scripts get these names as keys, and the limits as arguments.
"""

import hashlib
import re
from typing import Final, Literal

from revocation.denylist import (
    HOUR_MS,
    MAX_REVOCATIONS_PER_ENTRY,
    MAX_REVOKED_KEYS,
    UNCONDITIONAL,
)
from revocation.handles import Handle

#: The position of a follower that has read nothing: `<id>-<tag>` of no log entry.
FROM_START: Final = "0-0--"

#: Bounds on what one script call reads or writes, so that nobody else waits long for Redis.
HANDLES_PER_CALL: Final = 256
FORGOTTEN_PER_CALL: Final = 128
SEARCHED_FOR_THE_CHAIN: Final = 100
DROPPED_PER_CALL: Final = 64

#: A head names its epoch and so many that it replaced.
EPOCHS_NAMED: Final = 8

#: The clocks of two hosts may differ by so much where no leeway says more.
CLOCKS_DIFFER_MS: Final = 1000

#: What stands in `lasting` for a revocation that was undone.
UNDONE: Final = b"-"

#: How every chained entry of the log begins, in this version and in later ones.
LINK: Final = re.compile(r"(?P<prev>\d+-\d+-[^ ]*) (?P<tag>[^ ]+) ", re.ASCII)

#: A whole change as this version writes it.
CHANGE: Final = re.compile(
    r"(?P<prev>\d+-\d+-[^ ]*) (?P<tag>[^ ]+) (?P<op>revoke|undo|restore) @(?P<at>\d+) (?P<expires>\d+|never) "
    r"(?P<name>[^ ]+) (?:(?P<in_force>\*|\d+)(?: \+?\d+-\d+-[0-9A-Za-z]+=(?:\*|\d+)(?:/[0-9a-f]{8})?)+)?",
    re.ASCII,
)

#: The id of a revocation: that of its log entry, and its tag.
REVOCATION_ID: Final = re.compile(r"(\d{1,19}-\d{1,19})-([0-9a-f]{8})", re.ASCII)

#: The name of the entry of a revoked key.
KEY_NAME: Final = re.compile(r"key(?::(?:[A-Za-z0-9_-]{1,64}|~[0-9a-f]{64})){2}")

_ENTRY = re.compile(rb"(\*|\d+)(?: \+?\d+-\d+-[0-9A-Za-z]+=(?:\*|\d+)(?:/[0-9a-f]{8})?)+")
_LEASE = re.compile(rb"(\d+-\d+-[^ ]*) (\d+)")


class Namespace:
    """The names of all keys of one deny-list."""

    def __init__(self, name: str) -> None:
        self.prefix = f"{{{name}}}:"
        self.head = self.key("head")
        self.log = self.key("log")
        self.lasting = self.key("lasting")
        self.lasting_expiry = self.key("lasting:expiry")
        self.clock = self.key("clock")
        self.followers = self.key("followers")
        self.probe = self.key("probe")
        self.doctor = self.key("doctor")

    def key(self, name: str) -> str:
        """A key of this namespace; all of them share one cluster slot."""
        return self.prefix + name

    def entry(self, handle: Handle) -> str:
        """The key of a handle's entry."""
        return self.prefix + handle.name

    def lease(self, follower_id: str) -> str:
        """The key of a follower's lease."""
        return f"{self.prefix}follower:{follower_id}"

    def signing(self, issuer: str) -> str:
        """The key under which an issuer announces its signing keys."""
        return self.key(f"signing:{Handle('issuer', issuer=issuer).name.partition(':')[2]}")

    @property
    def written(self) -> list[str]:
        """What every change of the deny-list writes besides entries."""
        return [self.head, self.log, self.lasting, self.lasting_expiry, self.clock]


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


def cutoff_in(entry: bytes) -> float:
    """The cut-off in force by an entry; what cannot be read is unconditional."""
    parsed = _ENTRY.fullmatch(entry)
    return UNCONDITIONAL if parsed is None or parsed[1] == b"*" else float(parsed[1])


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


def mark_of(*, actor: str, reason: str) -> str:
    """What tells the revocations of an actor for a reason from others; empty for nobody, who is never the same."""
    return hashlib.sha256(f"{actor}\0{reason}".encode()).hexdigest()[:8] if actor else ""


def lease_text(position: str, *, length_ms: int) -> str:
    """A lease as its follower writes it."""
    return f"{position} {length_ms}"


def parse_lease(text: bytes) -> tuple[str, int] | None:
    """Position and length (ms) of a lease; None where another version wrote it."""
    lease = _LEASE.fullmatch(text)
    return None if lease is None else (lease[1].decode(), int(lease[2]))


#: The first arguments of every script (see lua/prelude.lua).
LIMITS: Final = (
    MAX_REVOCATIONS_PER_ENTRY,
    MAX_REVOKED_KEYS,
    FORGOTTEN_PER_CALL,
    SEARCHED_FOR_THE_CHAIN,
    DROPPED_PER_CALL,
    EPOCHS_NAMED,
    CLOCKS_DIFFER_MS,
    HOUR_MS,
)
