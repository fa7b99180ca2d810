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
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from revocation.denylist import (
    HOUR_MS,
    MAX_REVOCATIONS_PER_ENTRY,
    MAX_REVOKED_KEYS,
    UNCONDITIONAL,
    Lifetimes,
    Note,
    Revocation,
)
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.handles import Handle
from revocation.instants import rfc3339

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

#: The word in place of an epoch while clocks are too far apart for anybody to open one.
CLOSED: Final = "closed"

#: What a process is told of that decides about no token: whatever the head declares.
EVERY_KIND: Final = "*"

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

_ENTRY = re.compile(rb"(\*|\d+)(?: \+?\d+-\d+-[0-9A-Za-z]+=(?:\*|\d+)(?:/[0-9a-f]{8})?)+")
_KEY_NAME = re.compile(r"key(?::(?:[A-Za-z0-9_-]{1,64}|~[0-9a-f]{64})){2}")
_LEASE = re.compile(rb"(\d+-\d+-[^ ]*) (\d+)")

#: The last words of a head: so many numbers, then the kinds of handles of one's own, where there are any.
_NUMBERS_OF_HEAD: Final = 7
_KINDS = re.compile(r"(?:[a-z][a-z0-9_-]{0,31}\*?(?:,(?=[a-z]))?)*")

#: A head of the first version names, behind its first seven words, the entries of all revoked keys.
_KEYS_OF_OLDER: Final = 7

_TO_JSON = json.JSONEncoder(separators=(",", ":")).encode


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


def lease_text(position: str, *, length_ms: int) -> str:
    """A lease as its follower writes it."""
    return f"{position} {length_ms}"


def parse_lease(text: bytes) -> tuple[str, int] | None:
    """Position and length (ms) of a lease; None where another version wrote it."""
    lease = _LEASE.fullmatch(text)
    return None if lease is None else (lease[1].decode(), int(lease[2]))


def mark_of(*, actor: str, reason: str) -> str:
    """What tells the revocations of an actor for a reason from others; empty for nobody, who is never the same."""
    return hashlib.sha256(f"{actor}\0{reason}".encode()).hexdigest()[:8] if actor else ""


def about_revocation(handle: Handle, note: Note) -> str:
    """The record of a revocation, as the scripts complete it with its cut-off and expiry."""
    return _TO_JSON({"kind": handle.kind, "issuer": handle.issuer, "value": handle.value, **_noted(note)})


def about_taken_over(name: str) -> str:
    """The record of a revoked key of which an older version kept the entry's name alone.

    A name that is hashed in part tells of no handle, and stands for it.
    """
    _, issuer, value = name.split(":")
    handle = {"name": name} if "~" in name else {"kind": "key", "issuer": issuer, "value": value}
    return _TO_JSON([{**handle, "actor": "", "reason": "revoked before the new epoch"}, "*", "never"])


def about_undo(revocation_id: str, note: Note) -> str:
    """The record of an undo."""
    return _TO_JSON({"revocation": revocation_id, **_noted(note)})


def parse_undo(text: bytes) -> tuple[str, Note] | None:
    """The id that was undone, and by whom and why; None for a record that is not this version's."""
    try:
        about = json.loads(text)
        return str(about["revocation"]), _note_in(about)
    except (ValueError, KeyError, TypeError):
        return None


def _noted(note: Note) -> dict[str, str]:
    # What is empty of these is left out, as the first releases wrote all records.
    more = {"address": note.address, "action": note.action, "batch": note.batch}
    return {"actor": note.actor, "reason": note.reason, **{name: text for name, text in more.items() if text}}


def _note_in(about: dict[str, str]) -> Note:
    return Note(
        about["actor"], about["reason"], about.get("address", ""), about.get("action", ""), about.get("batch", "")
    )


def parse_revocation(revocation_id: str, text: bytes, *, at_ms: int | None = None) -> Revocation | None:
    """A revocation from its record; None for a record that is not this version's.

    Of a record without its line in the log the instant is not known better than by its id.
    """
    try:
        about, cutoff, expiry = json.loads(text)
        return Revocation.noted(
            revocation_id,
            Handle(about["kind"], about["value"], issuer=about["issuer"]),
            issued_before_ms=None if cutoff == "*" else int(cutoff),
            expires_at_ms=None if expiry == "never" else int(expiry),
            created_at_ms=order(revocation_id)[0] if at_ms is None else at_ms,
            note=_note_in(about),
        )
    except (ValueError, KeyError, TypeError):
        return None


def key_name_in(text: bytes) -> str | None:
    """The entry's name in the record of a revoked key whose handle nobody knows; None for any other record."""
    try:
        about, _, _ = json.loads(text)
        return about["name"] if _KEY_NAME.fullmatch(about["name"]) else None
    except (ValueError, KeyError, TypeError):
        return None


def keys_of_older(words: Sequence[str]) -> list[str]:
    """The names of the entries of revoked keys, in the words of a head of the first version."""
    return [word for word in words[_KEYS_OF_OLDER:] if _KEY_NAME.fullmatch(word)]


def parse_logged(entry_id: bytes, fields: dict[bytes, bytes]) -> Revocation | None:
    """The revocation that a log entry tells of; None for an undo, and for what is not this version's."""
    change = CHANGE.fullmatch(fields.get(b"change", b"").decode("utf-8", "replace"))
    if change is None or change["op"] != "revoke":
        return None
    record = fields.get(b"about", b"")
    return parse_revocation(f"{entry_id.decode()}-{change['tag']}", record, at_ms=int(change["at"]))


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
