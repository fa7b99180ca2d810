"""The promise, kept in every order of events: no token is accepted that was sent later than `max_staleness` after the
acknowledgement of a revocation that covers it. PROMISES=long runs for minutes instead of seconds."""

import contextlib
import logging
import math
import os
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from revocation import Claims, ConfigurationError, ConflictError, DenylistUnavailableError, Handle, InvalidTokenError
from revocation.handles import UNCONDITIONAL_KINDS
from revocation.redis.head import Head
from tests.model.simulation import BOUNDS, LIFETIMES, ORGANISATION, Paused, Process, World
from tests.support.tokens import claims_of

LONG = os.environ.get("PROMISES") == "long"
STEPS = 0


# The reference model


@dataclass(eq=False)
class Promise:
    """One acknowledged revocation. `handle` None: everything."""

    handle: Handle | None
    cutoff_ms: float
    acknowledged: float
    revocation_id: str = ""
    #: Processes to which a receipt said that it is enforced.
    enforced_in: frozenset[Process] = frozenset()
    #: Redis forgot it, and nobody has noticed: only who has read it refuses.
    lost: bool = False
    by_hand: bool = False
    #: Written in a form that nobody here understands: who has met it answers nothing.
    unknown: bool = False
    read_by: set[Process] = field(default_factory=set)
    #: Tokens minted later are not covered: all but those of a revoked key are judged by their time.
    until: float = math.inf

    def covers(self, token: "Token") -> bool:
        matches = self.handle is None or self.handle in token.claims.handles_by(ORGANISATION)
        return matches and self.cutoff_ms > token.claims.judged_at_ms and token.minted <= self.until

    def forbids(self, token: "Token", *, sent: float, bound: float, process: Process) -> bool:
        allowed = 0.0 if process in self.enforced_in else bound
        known = not self.lost or process in self.read_by
        return known and self.covers(token) and sent > self.acknowledged + allowed


@dataclass(eq=False)
class Token:
    claims: Claims
    minted: float


@dataclass(eq=False)
class Asked:
    activity: Paused
    process: Process
    token: Token
    bound: float
    sent: float
    outcome: list[Any]


# The machine


class Promises(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.world = World()
        logging.disable(logging.CRITICAL)
        self.world.install(self.patch)
        self.promises: list[Promise] = []
        self.tokens: list[Token] = []
        self.processes: list[Process] = []
        self.asked: list[Asked] = []
        self.snapshots: list[tuple[Any, set[Promise], bool]] = []
        self.started = 0
        self.unknown_form = False
        self.ids_ahead = False

    def teardown(self) -> None:
        logging.disable(logging.NOTSET)
        self.patch.undo()

    @initialize(accept=st.booleans(), told=st.booleans())
    def open(self, accept: bool, told: bool) -> None:
        self.start_process(offset=0.0, follows=True, told=told)
        self.processes[0].denylist.open(accept_existing=accept, longest_bound_seconds=60.0)
        self.world.now += 2.5
        self.processes[0].beat()
        self.mint(who=0)

    @invariant()
    def count(self) -> None:
        global STEPS  # noqa: PLW0603 (a figure for the report)
        STEPS += 1

    def present(self) -> set[Promise]:
        return {one for one in self.promises if not one.lost}

    def process(self, index: int) -> Process:
        return self.processes[index % len(self.processes)]

    who = st.integers(0, 3)

    # Time and processes

    @rule(seconds=st.sampled_from([0.001, 0.02, 0.06, 0.5, 1.2, 2.5, 30.0, 62.0, 150.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.now += seconds

    @precondition(lambda self: len(self.processes) < 4)
    @rule(
        offset=st.sampled_from([-0.4, 0.0, 0.4]),
        follows=st.sampled_from([True, True, True, False]),
        told=st.booleans(),
    )
    def start_process(self, offset: float, follows: bool, told: bool) -> None:
        self.started += 1
        process = Process(self.world, f"p{self.started}", offset, follows, told)
        process.read_now = self.present
        self.processes.append(process)

    @precondition(lambda self: len(self.processes) > 1)
    @rule(who=who, cleanly=st.booleans())
    def stop_process(self, who: int, cleanly: bool) -> None:
        process = self.process(who)
        if cleanly and process.follower is not None:
            process.follower._stopped = True
            with contextlib.suppress(DenylistUnavailableError):
                process.denylist.leases.give_back(process.name)
            return  # it may still be asked
        self.processes.remove(process)
        self.asked = [one for one in self.asked if one.process is not process]

    @rule(who=who, pause_at=st.sampled_from(["", "", "", "before Redis", "after Redis"]))
    def beat(self, who: int, pause_at: str) -> None:
        process = self.process(who)
        if process.follower is not None and process.follower._stopped:
            return
        fresh = process.beat(pause_at)
        if process.follower is not None and process.follower._blocked:
            for promise in self.promises:
                if promise.unknown:
                    promise.read_by.add(process)
        if not fresh:
            return
        for promise in process.seen:
            promise.read_by.add(process)
        for promise in self.promises:
            if promise.lost and not promise.by_hand and process in promise.read_by:
                # It was noticed that something is missing: what was out there is cut off for everybody.
                promise.lost, promise.acknowledged = False, max(self.world.now, promise.acknowledged)
                promise.enforced_in, promise.until = frozenset(), min(promise.until, promise.acknowledged)

    # Tokens

    @rule(who=who)
    def mint(self, who: int) -> None:
        process, number = self.process(who), len(self.tokens) % 3
        with contextlib.suppress(DenylistUnavailableError):
            now_ms = process.denylist.now_ms()
            claims = claims_of(
                issued_at_ms=now_ms,
                lifetime_seconds=280,
                sub=f"u{number % 2}",
                sid=f"s{number}",
                key_id=f"k{number % 2}",
                orgs=[{"id": f"o{number % 2}"}],
            )
            self.tokens.append(Token(claims, self.world.now))

    @precondition(lambda self: self.tokens)
    @rule(
        who=who,
        which=st.integers(0, 5),
        bound=st.sampled_from(BOUNDS),
        pause_at=st.sampled_from(["", "", "before look-up", "after look-up"]),
    )
    def ask(self, who: int, which: int, bound: float, pause_at: str) -> None:
        self._ask(self.process(who), self.tokens[-1 - which % len(self.tokens)], bound, pause_at)

    def _ask(self, process: Process, token: Token, bound: float, pause_at: str = "") -> None:
        outcome: list[Any] = []

        def decide() -> None:
            try:
                process.guard.check(token.claims, max_staleness=bound)
                outcome.append("accepted")
            except (InvalidTokenError, DenylistUnavailableError) as error:
                outcome.append(error)

        asked = Asked(
            Paused(decide, pause_at=pause_at, offset=process.offset), process, token, bound, self.world.now, outcome
        )
        self.asked.append(asked)
        self._go_on(asked)

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 5))
    def go_on(self, which: int) -> None:
        self._go_on(self.asked[which % len(self.asked)])

    def _go_on(self, asked: Asked) -> None:
        asked.activity.switch()
        if not asked.activity.dead:
            return
        self.asked.remove(asked)
        token, process = asked.token, asked.process
        verified = process.world.now + process.offset < token.claims.expires_at + LIFETIMES.leeway_seconds
        if asked.outcome == ["accepted"] and verified:
            for promise in self.promises:
                assert not promise.forbids(token, sent=asked.sent, bound=asked.bound, process=process), (
                    f"{process.name} accepted {token} at bound {asked.bound}, sent {asked.sent}, against {promise}"
                )

    @rule(bound=st.sampled_from(BOUNDS))
    def ask_everybody(self, bound: float) -> None:
        for process in self.processes:
            for token in self.tokens[-6:]:
                self._ask(process, token, bound)

    # Revocations

    @precondition(lambda self: self.tokens)
    @rule(
        who=who,
        which=st.integers(0, 3),
        kind=st.sampled_from(["token", "session", "subject", "client", "key", "issuer", "org", "org"]),
        before=st.sampled_from([None, None, 0.5, 5.0]),
    )
    def revoke(self, who: int, which: int, kind: str, before: float | None) -> None:
        self._revoke(self.process(who), self.tokens[-1 - which % len(self.tokens)], kind, before)

    def _revoke(self, process: Process, token: Token, kind: str, before: float | None) -> None:
        handle = next(handle for handle in token.claims.handles_by(ORGANISATION) if handle.kind == kind)
        if kind == "token":
            handle = Handle.token(token.claims)
        cutoff = None if before is None or handle.kind in UNCONDITIONAL_KINDS else int((self.world.now - before) * 1000)
        # A cut-off of ours may be ahead of a Redis whose clock lags.
        with contextlib.suppress(DenylistUnavailableError, ConflictError, ValueError):
            receipt = process.run(lambda: _result(lambda: process.denylist.revoke(handle, issued_before_ms=cutoff)))()
            if receipt.revocation is None:
                return
            at = receipt.revocation.issued_before_ms
            promise = Promise(
                handle,
                math.inf if at is None else at,
                self.world.now,
                receipt.revocation.id,
                until=math.inf if kind == "key" else self.world.now,
            )
            if receipt.enforced:
                promise.enforced_in = frozenset(p for p in self.processes if p.leased or p.follower is None)
            self.promises.append(promise)

    @precondition(lambda self: self.promises)
    @rule(who=who, which=st.integers(0, 5))
    def undo(self, who: int, which: int) -> None:
        promise = self.promises[which % len(self.promises)]
        done: Any = True
        with contextlib.suppress(DenylistUnavailableError):
            try:
                done = bool(promise.revocation_id) and self.process(who).denylist.undo(promise.revocation_id)
            except ConflictError:
                done = False
        if done:
            self.promises.remove(promise)

    @rule()
    def a_newer_version_writes(self) -> None:
        if not self.world.server.connected:
            return
        client, prefix = self.world.client(), "{denylist}:"
        text = cast("bytes | None", client.get(prefix + "head"))
        if text is None:
            return
        words = text.decode().split(" ")
        ms, seq = (int(part) for part in words[3].split("-"))
        id_ = f"{max(ms, int((self.world.now + self.world.redis_offset) * 1000))}-{seq + 1}"
        with contextlib.suppress(Exception):
            client.xadd(prefix + "log", {"change": f"{words[3]}-{words[4]} beef0001 limit x y z"}, id=id_)
            words[3:5] = [id_, "beef0001"]
            client.set(prefix + "head", " ".join(words))
            # Nobody here knows what it takes back: it might be everything. Only the log tells of it.
            promise = Promise(
                None, math.inf, self.world.now, until=self.world.now, lost=True, by_hand=True, unknown=True
            )
            self.promises.append(promise)
            self.unknown_form = True

    # Kinds of handles of one's own: a new version is rolled out, and back

    @rule(who=who)
    def declare(self, who: int) -> None:
        process = self.process(who)
        with contextlib.suppress(DenylistUnavailableError, ConfigurationError):
            process.run(lambda: _result(lambda: process.denylist.open(declare=["org"])))()

    @rule(who=who)
    def withdraw(self, who: int) -> None:
        process = self.process(who)
        with contextlib.suppress(DenylistUnavailableError, ConfigurationError):
            process.run(lambda: _result(lambda: process.denylist.open(withdraw=["org"])))()

    # Faults

    @rule(connected=st.booleans())
    def connection(self, connected: bool) -> None:
        self.world.server.connected = connected

    @precondition(lambda self: self.world.server.connected)
    @rule(what=st.sampled_from(["flush", "head", "log", "trim", "junk", "junk ahead", "scripts"]))
    def hurt(self, what: str) -> None:
        client, log = self.world.client(), "{denylist}:log"
        match what:
            case "flush":
                client.flushall()
            case "head":
                client.delete("{denylist}:head")
            case "log":
                client.delete(log)
            case "trim":
                client.xtrim(log, maxlen=0, approximate=False)
            case "junk":
                client.xadd(log, {"change": "nonsense"})
            case "junk ahead":
                self.ids_ahead = True  # an epoch that opens then may begin as late as that
                ahead = int((self.world.now + 400) * 1000)
                with contextlib.suppress(Exception):
                    client.xadd(log, {"x": "y"}, id=f"{ahead}-0")
            case "scripts":
                client.script_flush()
        if what in ("flush", "log", "trim"):
            self._forget_unknown()

    @precondition(lambda self: self.world.server.connected and any(one.handle for one in self.promises))
    @rule(which=st.integers(0, 5))
    def an_entry_is_deleted_by_hand(self, which: int) -> None:
        known = [one for one in self.promises if one.handle]
        handle = known[which % len(known)].handle
        assert handle is not None
        self.world.client().delete("{denylist}:" + handle.name)
        for promise in known:
            if promise.handle == handle:
                promise.lost = promise.by_hand = True

    @rule()
    def snapshot(self) -> None:
        self.snapshots = [*self.snapshots[-2:], (self.world.snapshot(), self.present(), self.unknown_form)]

    @precondition(lambda self: self.snapshots)
    @rule(which=st.integers(0, 2), clock=st.sampled_from([0.0, -0.9]))
    def an_older_state_comes_back(self, which: int, clock: float) -> None:
        """A restart from a snapshot, or a failover to a copy that lags, with a clock that may lag too."""
        state, present, which_had_unknown = self.snapshots[which % len(self.snapshots)]
        self.world.restore(state)
        self.world.redis_offset = clock
        self._forget_unknown()
        self.unknown_form = which_had_unknown
        for promise in self.promises:
            promise.lost = promise not in present
        for process in self.processes:
            process.leased = False

    def _forget_unknown(self) -> None:
        self.unknown_form = False
        self.promises = [one for one in self.promises if not one.unknown]

    # What must go on

    @rule(who=who)
    def opened_by_hand(self, who: int) -> None:
        process = self.process(who)
        with contextlib.suppress(DenylistUnavailableError, ConfigurationError):
            process.run(lambda: _result(lambda: process.denylist.open(new_epoch=True)))()
            self.promises.append(Promise(None, math.inf, self.world.now, until=self.world.now))

    @rule()
    def heal(self) -> None:
        """Everything works for some seconds: whoever signs in then is let in everywhere, whatever was before."""
        self.world.server.connected = True
        for asked in list(self.asked):
            while asked in self.asked:
                self._go_on(asked)
        follow = [p for p in self.processes if p.follower is not None and not p.follower._stopped]
        for _ in range(8):
            for process in follow:
                while process.beating is not None:
                    self.beat(self.processes.index(process), "")
                self.beat(self.processes.index(process), "")
            self.world.now += 2.6 if any(not p.follower.state.is_connected for p in follow if p.follower) else 0.7
        head = cast("bytes | None", self.world.client().get("{denylist}:head"))
        # Who was not told of a kind that is declared answers nothing, whatever works.
        follow = [p for p in follow if p.told or (head and not Head.parse(head).kinds)]
        if self.unknown_form or self.ids_ahead or not follow or head is None:
            return
        claims = claims_of(
            issued_at_ms=follow[0].denylist.now_ms(),
            sub="new",
            sid="new",
            client_id="new",
            key_id="new",
            orgs=[{"id": "new"}],
            lifetime_seconds=280,
        )
        for process in follow:
            process.beat()
            for bound in BOUNDS:
                process.guard.check(claims, max_staleness=bound)


class Rollout(Promises):
    """Only what a version that revokes by one more claim meets, while it is rolled out and back."""

    # A rule of the machine above is none here where the name means nothing.
    revoke = connection = hurt = None  # type: ignore[assignment]
    a_newer_version_writes = an_entry_is_deleted_by_hand = opened_by_hand = None  # type: ignore[assignment]

    @precondition(lambda self: self.tokens)
    @rule(who=Promises.who, which=st.integers(0, 3))
    def revoke_organisation(self, who: int, which: int) -> None:
        self._revoke(self.process(who), self.tokens[-1 - which % len(self.tokens)], "org", None)


def _result(what: Any) -> Any:
    """A greenlet hands exceptions to its parent, too; as a value they say where they came from."""
    try:
        value = what()
    except Exception as error:  # noqa: BLE001 (raised again where it was asked for)
        raised = error

        def again() -> Any:
            raise raised

        return again
    return lambda: value


@pytest.mark.timeout(0 if LONG else 600)
@pytest.mark.parametrize("machine", [Promises, Rollout])
def test_no_token_is_accepted_later_than_its_bound_after_its_revocation(
    capsys: pytest.CaptureFixture[str], machine: type[Promises]
) -> None:
    run_state_machine_as_test(
        machine,
        settings=settings(
            phases=(
                Phase.explicit,
                Phase.generate,
                *(() if os.environ.get("PROMISES_SHRINK") == "0" else (Phase.shrink,)),
            ),
            max_examples=int(os.environ.get("PROMISES_EXAMPLES", "20000" if LONG else "80")),
            stateful_step_count=60 if LONG else 40,
            deadline=None,
            database=None,
            print_blob=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    with capsys.disabled():
        print(f"\n{STEPS} steps, no broken promise")  # noqa: T201 (a figure)
