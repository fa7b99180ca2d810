"""The vectors of docs/protocol.md, run by this library's follower and strict check, and by naive ones."""

import contextlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from revocation import (
    ClaimHandle,
    DenylistUnavailableError,
    Handle,
    HandleKinds,
    InvalidTokenError,
    Lifetimes,
    RedisDenylist,
)
from revocation.handle_kinds import RESERVED
from revocation.handles import KINDS
from revocation.redis import protocol
from revocation.redis.follower import Follower
from revocation.redis.head import Head
from revocation.redis.protocol import FROM_START, Namespace, order
from revocation.redis.view import View
from tests.documents import PROTOCOL, ROOT, blocks, section
from tests.revocation import naive_follower
from tests.revocation.naive_follower import NaiveFollower
from tests.support.denylists import can_mint, opened, until
from tests.support.servers import Server
from tests.support.tokens import claims_of

PACKAGE = ROOT / "revocation"

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).parent / "vectors" / "protocol.json").read_text("utf-8")
)


#: What the library does not do yet, by the name of the case.
def _cases(kind: str, *, falling_short: Mapping[str, str] = {}) -> pytest.MarkDecorator:
    cases = [
        pytest.param(
            case,
            id=case["name"],
            marks=[pytest.mark.xfail(reason=reason, strict=True)]
            if (reason := falling_short.get(case["name"]))
            else [],
        )
        for case in VECTORS[kind]
    ]
    return pytest.mark.parametrize("case", cases)


class Answers(redis.Redis):
    """Answers the pipeline of a beat and the request of a check with what a vector says; it has no server."""

    def __init__(self) -> None:
        super().__init__(socket_timeout=1.0)
        self.answer: Mapping[str, Any] = {}
        pool: Any = self.connection_pool
        pool.get_connection = lambda: Connection(self)
        pool.release = lambda _: None
        #: The commands of the last beat or check.
        self.asked: list[str] = []
        #: Where the last beat read the log from.
        self.cursor = ""

    def pipeline(self, *_: Any, **__: Any) -> "Pipeline":  # type: ignore[override]  # all that is asked of one here
        self.asked = []
        return Pipeline(self)


class Pipeline:
    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._replies: list[Any] = []

    def __getattr__(self, command: str) -> Callable[..., None]:
        def ask(*args: Any, **_: Any) -> None:
            self._answers.asked.append(command)
            self._replies.append(self._reply(command, args))

        return ask

    def execute(self, **_: Any) -> list[Any]:
        return self._replies

    def _reply(self, command: str, args: tuple[Any, ...]) -> Any:
        answer = self._answers.answer
        match command:
            case "hgetall":
                return _raw(answer["lasting"])
            case "xread":
                [(log, self._answers.cursor)] = args[0].items()
                lines = [(line["id"].encode(), _raw(line["fields"])) for line in answer["lines"]]
                return [[log.encode(), lines]] if lines else []
            case "mget" if "entries" in answer:
                return [None if text is None else text.encode() for text in (answer["head"], *answer["entries"])]
            case "mget":
                return [answer["head"].encode() if answer["head"] else None, None]
            case "time":
                seconds, ms = divmod(answer["time_ms"], 1000)
                return seconds, ms * 1000
        return 0


class Connection:
    """The part of a connection of redis-py that a check uses."""

    def __init__(self, answers: Answers) -> None:
        answers.asked = []
        self._replies = Pipeline(answers)

    def pack_commands(self, commands: Any) -> Any:
        return commands

    def send_packed_command(self, commands: Any) -> None:
        for command, *args in commands:
            getattr(self._replies, command.lower())(*args)

    def read_response(self) -> Any:
        return self._replies.execute().pop(0)


def _raw(fields: Mapping[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): text.encode() for name, text in fields.items()}


class Stepped(Follower):
    """Beats when the test says so."""

    def _ensure_running(self) -> None:
        self._id = "stepped"

    @property
    def newest(self) -> View:
        """The view that is being built, where there is one; the vectors know one view alone."""
        return self._view if self._next is None else self._next


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def denylist(answers: Answers) -> RedisDenylist:
    made = RedisDenylist(
        answers,
        lifetimes=Lifetimes(),
        handles={"device": ClaimHandle("cnf.jkt", unconditional=True)},
        clock=lambda: answers.answer["time_ms"] / 1000,
    )
    made.epochs._inspected = True
    return made


@pytest.fixture
def follower(denylist: RedisDenylist, answers: Answers) -> Iterator[Stepped]:
    made = Stepped(denylist, clock=lambda: answers.answer["clock_ms"] / 1000)
    made._client = answers
    yield made
    made._stopped = True


class Deeds:
    """What a follower asked of the deny-list in one beat."""

    def __init__(self) -> None:
        self.opens: dict[str, Any] | None = None
        self.gives_back: list[str] = []

    def open(self, seen: str, own: "list[str] | tuple[str, ...]", new_log: bool) -> None:
        assert self.opens is None, "one beat opens one epoch"
        self.opens = {"instead_of": seen, "own": list(own), "new_log": new_log}


def _shown(held: Mapping[str, float]) -> dict[str, int | str]:
    return {name: "*" if cutoff == math.inf else int(cutoff) for name, cutoff in held.items()}


@_cases("follower")
def test_the_follower_passes(
    case: dict[str, Any], follower: Stepped, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    deeds = Deeds()

    def open_after_loss(*, seen: str, own: tuple[str, ...], new_log: bool, **_: Any) -> Any:
        deeds.open(seen, own, new_log)
        raise DenylistUnavailableError("Somebody else is quicker: the next head says who.")

    def give_back(epoch: str, keys: Mapping[str, Any]) -> list[str]:
        assert Head.parse(answers.answer["head"].encode()).epoch == epoch
        deeds.gives_back += keys
        undone: list[str] = answers.answer["undone"]
        return undone

    monkeypatch.setattr(follower._epochs, "open_after_loss", open_after_loss)
    monkeypatch.setattr(follower._epochs, "give_back", give_back)
    names = {name for beat in case["beats"] for name in beat["then"]["held"]}
    for number, beat in enumerate(case["beats"], 1):
        deeds = Deeds()
        answers.answer = {"lasting": {}, **beat}
        asks_from = follower.newest.cursor
        # Lines that are as many as were asked for: the vector says so, and shows few.
        at_once = len(beat["lines"]) if beat.get("more") else 1000
        monkeypatch.setattr("revocation.redis.follower._READ_AT_ONCE", at_once)
        with contextlib.suppress(DenylistUnavailableError):
            follower.beat()
        view = follower.newest
        held = {name: math.inf for name in names if hash(name) in view._unconditional}
        held |= {name: view._cutoffs[hash(name)][0] for name in names if hash(name) in view._cutoffs}
        got = {
            "held": _shown(held),
            "position": view.position or FROM_START,
            "cursor": view.cursor,
            "epoch": view.epoch,
            "everything_ms": view.everything_ms,
            "fresh": follower._view.stamp == beat["clock_ms"] / 1000,
            "blocked": follower._blocked,
            "opens": deeds.opens,
            "gives_back": sorted(deeds.gives_back),
        }
        assert got == beat["then"], f"beat {number}"
        assert len(view) == len(held), "it holds what no beat names"
        wanted = ["set", "sadd", *(["hgetall"] if "lasting" in beat else []), "xread", "mget", "time"]
        assert answers.asked == wanted, f"beat {number}"
        assert answers.cursor == asks_from


@_cases("follower")
def test_the_naive_follower_passes(case: dict[str, Any]) -> None:
    follower = NaiveFollower()
    for number, beat in enumerate(case["beats"], 1):
        deeds = Deeds()
        assert follower.wants_lasting is ("lasting" in beat), f"beat {number}"

        def give_back(keys: dict[str, tuple[str, str]], deeds: Deeds = deeds, beat: dict[str, Any] = beat) -> list[str]:
            deeds.gives_back += keys
            undone: list[str] = beat["undone"]
            return undone

        follower.beat(beat, open_epoch=deeds.open, give_back=give_back)
        got = {
            "held": _shown({name: cutoff for name, (cutoff, _) in follower.held.items()}),
            "position": follower.position,
            "cursor": follower.cursor,
            "epoch": follower.epochs[0] if follower.epochs else None,
            "everything_ms": follower.everything,
            "fresh": follower.stamp == beat["clock_ms"],
            "blocked": follower.blocked,
            "opens": deeds.opens,
            "gives_back": sorted(deeds.gives_back),
        }
        assert got == beat["then"], f"beat {number}"


@_cases("checks")
def test_the_strict_check_passes(case: dict[str, Any], follower: Stepped, answers: Answers) -> None:
    answers.answer = {"clock_ms": 0, **case}
    if case["known"]:
        follower._view.epochs = tuple(case["known"]["epochs"])
        follower._view._place = ("0-0", case["known"]["position"])
    handles = [Handle("session", f"s-{number}", issuer="auth") for number, _ in enumerate(case["entries"])]
    try:
        got = "revoked" if follower.ask([handles])[0] > case["iat_ms"] else "accepted"
    except DenylistUnavailableError:
        got = "unavailable"
    assert got == case["then"]
    assert answers.asked == ["mget", "time", "wait"]


@_cases("checks")
def test_the_naive_strict_check_passes(case: dict[str, Any]) -> None:
    known = case["known"] or {"epochs": [], "position": "0-0--"}
    got = naive_follower.strictly(
        case["head"],
        case["entries"],
        iat_ms=case["iat_ms"],
        time_ms=case["time_ms"],
        known=(known["epochs"], known["position"]),
    )
    assert got == case["then"]


@pytest.mark.parametrize("case", VECTORS["names"], ids=lambda case: case["kind"])
def test_names_are_the_same_for_everybody(case: dict[str, Any]) -> None:
    assert Handle(case["kind"], case["value"], issuer=case["issuer"]).name == case["name"]
    assert naive_follower.name_of(case["kind"], case["issuer"], case["value"]) == case["name"]


@_cases("claims")
def test_claims_name_the_same_handles_for_everybody(case: dict[str, Any]) -> None:
    claims, named_by, then = case["claims"], tuple(case["named_by"]), case["then"]
    kinds = HandleKinds({"own": named_by})
    read = claims_of(issued_at_ms=1_800_000_000_000, **claims)
    if then == "malformed":
        with pytest.raises(InvalidTokenError, match=named_by[0]):
            read.handles_by(kinds)
    else:
        assert [handle.value for handle in read.handles_by(kinds) if handle.kind == "own"] == then
    assert naive_follower.values_of(claims, named_by) == (None if then == "malformed" else then)


def _text(thing: Any) -> Any:
    match thing:
        case bytes():
            return thing.decode()
        case dict():
            return {_text(name): _text(value) for name, value in thing.items()}
    return thing


def _answer(denylist: RedisDenylist, cursor: str, *, now: float) -> dict[str, Any]:
    """What a real server says to a beat, as the vectors would."""
    client, key = denylist.link.client, denylist.key
    lines: Any = client.xrange(key("log"), f"({cursor}", "+")
    seconds, microseconds = client.time()
    return {
        "clock_ms": now,
        "lasting": _text(client.hgetall(key("lasting"))),
        "lines": [{"id": _text(id_), "fields": _text(fields)} for id_, fields in lines],
        "head": _text(client.get(key("head"))),
        "time_ms": seconds * 1000 + microseconds // 1000,
    }


def test_the_naive_follower_knows_what_a_real_log_says(
    any_server: Server, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(naive_follower, "LIFE", 1)
    monkeypatch.setattr(naive_follower, "LEEWAY", 0)
    lifetimes = Lifetimes(max_token_seconds=1, leeway_seconds=0, margin_seconds=1)
    denylist = opened(any_server.client(), namespace, lifetimes=lifetimes)
    until(lambda: can_mint(denylist))
    handles = [Handle(kind, "same" if kind != "issuer" else "", issuer="https://auth.example") for kind in KINDS]
    for _ in range(10):
        receipt = denylist.revoke_many(handles, actor="", reason="more than an entry holds apart")
    for revocation in receipt.revocations[::2]:
        assert denylist.undo(revocation.id)
    only = [denylist.revoke(Handle("key", name, issuer="auth"), actor="ada").revocation for name in ("k-1", "k-2")]
    assert only[0] is not None
    assert denylist.undo(only[0].id)

    def held(follower: NaiveFollower) -> dict[str, float]:
        deeds = Deeds()
        follower.beat(_answer(denylist, follower.cursor, now=0), open_epoch=deeds.open, give_back=lambda _: [])
        assert deeds.opens is None
        assert follower.stamp == 0
        return {name: cutoff for name, (cutoff, _) in follower.held.items()}

    def strictly(names: Iterable[str]) -> dict[str, float]:
        texts: Any = denylist.link.client.mget([denylist.key(name) for name in names])
        entries = [naive_follower.ENTRY.fullmatch(_text(text)) for text in texts]
        return {name: naive_follower.cutoff_of(entry[1]) for name, entry in zip(names, entries, strict=True) if entry}

    first = held(NaiveFollower())
    assert first == strictly(first)
    assert len(first) == len(KINDS) + 1
    # When the horizon has passed, what was trimmed and still matters stands in lasting.
    last = denylist.head().last_id
    until(lambda: bool(denylist.revoke(handles[1])) and order(denylist.head().floor) >= order(last))
    later = held(NaiveFollower())
    unconditional = {name for name, cutoff in first.items() if cutoff == math.inf}
    assert len(unconditional) == 4
    assert unconditional <= later.keys()
    assert later == strictly(later)


def test_the_example_of_the_page_is_a_vector() -> None:
    [case] = [case for case in VECTORS["follower"] if case["name"] == "the example of the page"]
    [beat] = case["beats"]
    shown = "".join(blocks("text", under="An example", of=PROTOCOL))
    assert beat["head"] in shown
    for line in beat["lines"]:
        assert f"{line['id']}\n" in shown
        for name, text in line["fields"].items():
            assert f"{name:6} {text}\n" in shown
    for id_, record in beat["lasting"].items():
        assert f"{id_} {record}\n" in shown


def test_names_of_vectors_are_unique() -> None:
    for kind in ("follower", "checks"):
        names = [case["name"] for case in VECTORS[kind]]
        assert len(names) == len(set(names))


# The names of keys


def test_every_key_is_named_once_and_told_everywhere() -> None:
    """A key that is named elsewhere would be unknown to the documents, and a kind of handle could take its name."""
    told = set(re.findall(r"^ {4}<ns>:([a-z][a-z:]*)", protocol.__doc__ or "", re.MULTILINE))
    documented = set(re.findall(r"^\| `<ns>:([a-z][a-z:]*)", section("Keys", of=PROTOCOL), re.MULTILINE))
    prefix = Namespace("x").prefix
    named = {name.removeprefix(prefix) for name in vars(Namespace("x")).values()} - {""}
    elsewhere = [
        path.name
        for path in PACKAGE.rglob("*.py")
        if path != Path(protocol.__file__) and re.search(r"\.key\(f?[\"'][a-z]", path.read_text("utf-8"))
    ]

    assert elsewhere == []
    assert named <= told
    # The service's own keys have no names in the library, and `everything` stands in the head.
    assert documented == told | {"app:"}
    assert {name.partition(":")[0] for name in documented} == RESERVED - {*KINDS, "everything"}
