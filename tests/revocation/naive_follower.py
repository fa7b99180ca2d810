"""A second follower, and a second strict check, by somebody who knows docs/protocol.md and nothing else.

It imports nothing of the library. It holds names in a dict and has no thread, no sockets and no second view: who wants
to write a follower in another language finds here how little one is.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

LINK = re.compile(r"([0-9]+-[0-9]+-[^ ]*) ([^ ]+) ")
LINE = re.compile(
    r"[^ ]+ [^ ]+ (revoke|undo|restore) @([0-9]+) ([0-9]+|never) ([^ ]+) "
    r"(?:(\*|[0-9]+)((?: \+?[0-9]+-[0-9]+-[0-9A-Za-z]+=(?:\*|[0-9]+)(?:/[0-9a-f]{8})?)+))?"
)
ENTRY = re.compile(r"(\*|[0-9]+)(?: \+?[0-9]+-[0-9]+-[0-9A-Za-z]+=(?:\*|[0-9]+)(?:/[0-9a-f]{8})?)+")
HEAD = re.compile(
    r"2 (?P<epoch>\S+) (?P<replaced>\S+) (?P<last>\d+-\d+) (?P<tag>\S+) \d+ (?P<floor>\d+-\d+) (?P<everything>\d+) "
    r"\S+ \S+ \d+ (?P<life>\d+) (?P<leeway>\d+) \d+ \d+ \d+ \d+ \d+(?: (?P<kinds>[a-z][a-z0-9_*,-]*))?",
    re.ASCII,
)
START = "0-0--"

#: What this process accepts, in seconds: the longest token life, and the leeway.
LIFE, LEEWAY = 86_400, 30

#: The kinds of handles that it was told of, besides the built-in ones.
TOLD = {"device*"}


def name_of(kind: str, issuer: str, value: str) -> str:
    def part(text: str) -> str:
        readable = re.fullmatch("[A-Za-z0-9_-]{1,64}", text)
        return text if readable else "~" + hashlib.sha256(text.encode()).hexdigest()

    return ":".join([kind, part(issuer), *([part(value)] if kind != "issuer" else [])])


def values_of(claims: Mapping[str, Any], named_by: Sequence[str]) -> list[str] | None:
    """The values of a kind's handles that a token names; None: the token is malformed."""

    def listed(value: Any) -> list[Any]:
        return value if isinstance(value, list) else [] if value is None else [value]

    for name in named_by:
        found = listed(claims.get(name))
        if not found:
            found = [claims]
            for member in name.split("."):
                if not all(isinstance(each, dict) for each in found):
                    return None
                found = [value for each in found for value in listed(each.get(member))]
        if not all(type(value) in (str, int) and value != "" for value in found) or len(found) > 64:
            return None
        if found:
            return list(dict.fromkeys(str(value) for value in found))
    return []


def order(position: str) -> tuple[int, int]:
    ms, sequence = position.split("-")[:2]
    return int(ms), int(sequence)


def cutoff_of(text: str) -> float:
    return math.inf if text == "*" else float(text)


def admitted(text: str | None) -> re.Match[str] | None:
    """The head, where it is one that this process may go by; a closed one included."""
    head = HEAD.fullmatch(text or "")
    if not head or int(head["life"]) < LIFE or int(head["leeway"]) < LEEWAY:
        return None
    return head if set((head["kinds"] or "").split(",")) <= {"", *TOLD} else None


def strictly(
    head_text: str | None, entries: Sequence[str | None], *, iat_ms: int, time_ms: int, known: tuple[list[str], str]
) -> str:
    """The verdict of a strict check, for a process whose own follower knows these epochs and has this position."""
    head, (epochs, position) = admitted(head_text), known
    if head is None or head["epoch"] == "closed" or time_ms <= int(head["everything"]):
        return "unavailable"
    if epochs and epochs[0] == head["epoch"]:
        end = f"{head['last']}-{head['tag']}"
        if position != end and order(end) <= order(position) and position != START:
            return "unavailable"
    elif epochs and epochs[0] not in head["replaced"].split(","):
        return "unavailable"
    cutoffs = [float(head["everything"])]
    for text in entries:
        if text is not None:
            entry = ENTRY.fullmatch(text)
            cutoffs.append(cutoff_of(entry[1]) if entry else math.inf)
    return "revoked" if max(cutoffs) > iat_ms else "accepted"


class NaiveFollower:
    def __init__(self) -> None:
        #: Cut-off and end (by this process's boot clock, in ms) by name.
        self.held: dict[str, tuple[float, float]] = {}
        #: Name and record of every revocation of a key, by its id; those of the epoch before are not given back yet.
        self.keys: dict[str, tuple[str, str]] = {}
        self.remembered: dict[str, tuple[str, str]] = {}
        self.epochs: list[str] = []
        self.everything = 0.0
        self.stamp = -math.inf
        self.begin()

    def begin(self) -> None:
        """Read lasting and the log from the beginning; the keys that are known are given back before."""
        self.remembered |= self.keys
        self.given_back = math.inf
        self.keys = {}
        self.cursor, self.position, self.blocked, self.stamp = "0-0", START, False, -math.inf
        self.expected: str | None = None
        self.wants_lasting = True

    def beat(
        self,
        answer: Mapping[str, Any],
        *,
        open_epoch: Callable[[str, list[str], bool], None],
        give_back: Callable[[dict[str, tuple[str, str]]], list[str]],
    ) -> None:
        head, now = admitted(answer["head"]), answer["clock_ms"]
        if answer["head"] is None and self.epochs:
            open_epoch("", self.epochs, False)
        if head is None:
            return
        if head["epoch"] == "closed":
            if self.epochs:
                open_epoch("closed", self.epochs, False)
            return
        named = [head["epoch"], *head["replaced"].split(",")]
        if self.epochs and self.epochs[0] not in named:
            open_epoch(head["epoch"], self.epochs, True)
            return
        if self.epochs and self.epochs[0] != head["epoch"]:
            self.epochs, self.everything = named, float(head["everything"])
            self.begin()
            return
        self.epochs = [name for name in named if name != "-"]
        has_asked = self.wants_lasting
        if self.wants_lasting:
            self.read_lasting(answer["lasting"], now, answer["time_ms"])
        if self.remembered and self.given_back == math.inf:
            for id_ in give_back(self.remembered):
                self.drop_key(id_)
            self.given_back = now
        before, passed = self.position, {self.position}
        for line in answer["lines"]:
            text = line["fields"].get("change", "")
            link, change = LINK.match(text), LINE.fullmatch(text)
            if link is None:
                self.cursor = line["id"]
                continue
            if link[1] != self.position:
                if max(order(link[1]), order(self.position)) > order(head["floor"]):
                    open_epoch(head["epoch"], self.epochs, True)
                    return
                if not has_asked:
                    self.held = {}
                    self.begin()
                    return
            if change is None:
                self.blocked = True
                return
            self.take(line, change, now)
            self.cursor, self.position = line["id"], f"{line['id']}-{link[2]}"
            passed.add(self.position)
        self.blocked = False
        floor = order(head["floor"])

        def is_reached(end: str) -> bool:
            return end in passed or max(order(end), order(before)) <= floor

        if self.expected and is_reached(self.expected):
            self.expected = None
        if answer.get("more"):
            return
        end, expected = f"{head['last']}-{head['tag']}", self.expected
        self.expected = end
        if is_reached(end) and end not in passed and not has_asked:
            self.held = {}
            self.begin()
        elif is_reached(end):
            self.everything = max(self.everything, float(head["everything"]))
            if now > self.given_back:
                self.remembered = {}
            self.held = {name: held for name, held in self.held.items() if held[1] > now}
            if answer["time_ms"] > int(head["everything"]):
                self.stamp = now
        elif expected:
            open_epoch(head["epoch"], self.epochs, True)

    def read_lasting(self, records: Mapping[str, str], now: float, time_ms: int) -> None:
        for id_, record in records.items():
            if record != "-":
                about, cutoff, end = json.loads(record)
                if cutoff == "*":
                    name = name_of(about["kind"], about["issuer"], about["value"])
                    self.hold(name, math.inf, math.inf if end == "never" else now + int(end) - time_ms)
                    if about["kind"] == "key":
                        self.keys[id_] = (name, record)
        self.wants_lasting = False

    def take(self, line: Mapping[str, Any], change: re.Match[str], now: float) -> None:
        op, at, expires, name, in_force, parts = change.groups()
        if in_force is None:
            self.held.pop(name, None)
        else:
            until = math.inf if expires == "never" else now + int(expires) - int(at)
            self.hold(name, cutoff_of(in_force), until, weakens=op == "undo")
        if name.startswith("key:"):
            ids = {part.split("=")[0].lstrip("+") for part in (parts or "").split()}
            gone = [id_ for id_, (held, _) in self.keys.items() if held == name and id_ not in ids]
            for id_ in gone:
                del self.keys[id_]
            if op == "undo":
                self.remembered.pop(json.loads(line["fields"]["about"]).get("revocation"), None)
            self.keys |= dict.fromkeys(ids - self.keys.keys(), (name, line["fields"]["about"]))

    def hold(self, name: str, cutoff: float, until: float, *, weakens: bool = False) -> None:
        known, end = self.held.get(name, (-math.inf, -math.inf))
        self.held[name] = (cutoff if weakens else max(cutoff, known), max(until, end))

    def drop_key(self, id_: str) -> None:
        name = {**self.remembered, **self.keys}[id_][0]
        self.keys.pop(id_, None)
        del self.remembered[id_]
        if name not in {held for held, _ in (*self.keys.values(), *self.remembered.values())}:
            self.held.pop(name, None)
