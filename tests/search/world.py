"""World: servers, processes and clocks in virtual time, and the oracle that looks at every answer."""

import contextlib
import itertools
import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from revocation import Claims, Handle, Receipt
from revocation.handles import UNCONDITIONAL_KINDS
from tests.search import library
from tests.search.clock import build_shim
from tests.search.library import REFUSALS, Parts, Settings
from tests.search.node import Node, remove
from tests.search.promise import Promise, Session, Token, ViolationError, least_end_ms
from tests.support.servers import Make

T = TypeVar("T")

BOUNDS: Final = (0.05, 1.0, 60.0)
_START: Final = 1_800_000_000.0
_TOKENS_ASKED: Final = 5


@dataclass(eq=False)
class Process:
    """One process: its parts, its clock, its address, and what the oracle knows of it."""

    name: str
    settings: Settings
    node: Node
    address: Path
    parts: Parts
    started: float
    #: Where its connections lead, which stay when its address goes elsewhere.
    linked: Node
    offset: float = 0.0
    paused: bool = False
    stopped: bool = False
    #: When a beat last left it knowing everything.
    knew_at: float = -math.inf


@dataclass
class World:
    """Everything of one case. `skip` names promises that are known to be broken and are not looked at."""

    nodes: Sequence[Node]
    directory: Path
    skip: frozenset[str] = frozenset()
    min_replicas: int = 0
    now: float = _START
    processes: list[Process] = field(default_factory=list)
    tokens: list[Token] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    promises: list[Promise] = field(default_factory=list)
    #: No fault has happened and no clock was wrong: answers are what the model says, to the letter.
    clean: bool = True
    #: Data, head or log were lost, so that followers begin anew.
    damaged: bool = False
    #: When data was last lost, and when a server's clock was last moved.
    lost_at: float = -math.inf
    moved_at: float = -math.inf
    #: The furthest that two clocks agreed to be ahead.
    ahead_together: float = 0.0
    #: The server that was made primary last.
    elected: Node | None = None
    #: Servers without the copies that they wait for.
    cut_off: set[Node] = field(default_factory=set)
    acting: Process | None = None
    refusal: BaseException | None = None
    #: When the last call was made; one that waits for a receipt returns later.
    asked_at: float = _START
    _set_at: float = field(default_factory=time.monotonic)
    _orders: Iterator[int] = field(default_factory=itertools.count)
    _names: Iterator[int] = field(default_factory=itertools.count)

    # Clocks

    def wall(self) -> float:
        return self.now + (self.acting.offset if self.acting else 0.0)

    def boot(self) -> float:
        return self.now

    def wait(self, _seconds: float) -> None:
        """Somebody waits for a receipt: time passes, and whoever is not paused goes on."""
        waiting = self.acting
        self.advance(0.5 if self.now < self.asked_at + 2 else 5.0)
        for process in self.processes:
            if process is not waiting and not process.paused and not process.stopped:
                self.beat(process)
        self.acting = waiting

    def advance(self, seconds: float) -> None:
        # A server that waits for copies has a clock that goes on by itself, and it must not be set back.
        elapsed = time.monotonic() - self._set_at if self.min_replicas else 0.0
        self.now += max(seconds, elapsed)
        self.set_clocks()

    def set_clocks(self) -> None:
        self._set_at = time.monotonic()
        for node in self.nodes:
            node.clock.set(self.now + node.offset, running=self.min_replicas > 0)
            shown = 1000 * (self.now + node.offset)
            node.least_since_loss_ms = min(node.least_since_loss_ms, shown)
            for promise in self.promises:
                if promise in node.present:
                    promise.furthest_ms = max(promise.furthest_ms, shown)
            if self.damaged:
                # An epoch cuts off no more than what lies within the leeway of the clocks.
                for token in self.tokens:
                    token.stray = token.stray or token.claims.judged_at_ms > shown + 1000 * library.LEEWAY_SECONDS
        together = (min(n.offset, p.offset) for n in self.nodes for p in self.processes)
        self.ahead_together = max([self.ahead_together, *together])

    def server_ms(self, node: Node) -> float:
        return 1000 * (self.now + node.offset)

    def next_order(self) -> int:
        return next(self._orders)

    # Processes

    def start(self, settings: Settings, node: Node) -> Process:
        name = f"p{next(self._names)}-{settings.name}"
        address = self.directory / name
        address.symlink_to(node.socket)
        parts = Parts(address, settings, boot_clock=self.boot, wall_clock=self.wall, min_replicas=self.min_replicas)
        process = Process(name, settings, node, address, parts, started=self.now, linked=node)
        self.processes.append(process)
        return process

    def end(self, process: Process, *, cleanly: bool) -> None:
        if cleanly:
            self.attempt(process, process.parts.stop)
        process.stopped = True
        process.parts.close()
        self.processes.remove(process)
        process.address.unlink()
        for promise in self.promises:
            promise.read_by.discard(process)

    def move(self, process: Process, node: Node) -> None:
        """The address of this process leads to another server; open connections stay where they are."""
        other = process.address.with_suffix(".new")
        other.symlink_to(node.socket)
        other.replace(process.address)
        process.node = node

    def attempt(self, process: Process, ask: Callable[[], T]) -> T | None:
        """What the process gets when it does this; None where the library refuses."""
        before, self.acting, self.asked_at = self.acting, process, self.now
        try:
            return ask()
        except REFUSALS as error:
            self.refusal = error
            return None
        finally:
            self.acting = before

    def beat(self, process: Process) -> None:
        before, self.acting = self.acting, process
        position = process.parts.position
        try:
            fresh = process.parts.beat()
        finally:
            self.acting = before
        if not fresh:
            return
        node = self.vouching(process)
        # Where the log does not reach back to what it read last, it begins anew and notices no loss: guarantees.md.
        was_away = self.now - process.knew_at > library.HORIZON_SECONDS and library.is_trimmed(node.client, position)
        process.knew_at = self.now
        for promise in self.promises:
            if promise in node.present:
                promise.read_by.add(process)
            elif was_away and promise.handle.kind != "key":
                promise.read_by.discard(process)
            elif process in promise.read_by and promise.stands:
                # It was noticed that this is missing: an epoch cuts off what was minted before the loss.
                node.present.add(promise)
                promise.reduced, promise.acknowledged = promise.handle.kind != "key", self.now
                promise.cut_ms = min(promise.cut_ms, node.least_since_loss_ms)
                promise.enforced_in = frozenset()

    def vouching(self, process: Process) -> Node:
        """The server that may vouch to this process: where its address leads, or what that one copies."""
        node = process.node
        while node.upstream is not None:
            node = node.upstream
        return node

    # What is minted

    def add_token(self, process: Process, claims: Claims, *, minted: bool, forged: bool = False) -> Token:
        token = Token(f"t{next(self._names)}", claims, self.next_order(), forged)
        self.tokens.append(token)
        if minted:
            self.vouching(process).present.add(token)
        return token

    def add_session(self, process: Process, subject: str, client: str, made: tuple[str, str, int]) -> Session:
        session_id, refresh_token, issued_at_ms = made
        one = library.claims(issued_at_ms, subject=subject, client=client, session=session_id)
        handles = tuple(handle for handle in one.handles if handle.kind not in ("token", "key"))
        session = Session(
            session_id, subject, client, issued_at_ms, self.next_order(), self.now, handles, [refresh_token]
        )
        self.sessions.append(session)
        self.vouching(process).present.add(session)
        self.add_token(process, one, minted=True)
        return session

    # What is taken back

    def promise(
        self,
        process: Process,
        handles: Sequence[Handle],
        receipt: Receipt | None,
        *,
        given: bool = False,
        final: bool = False,
    ) -> list[Promise]:
        """Note what a call to revoke has promised; a call that failed may have been heard all the same."""
        node = self.vouching(process)
        written = {made.handle.name: made for made in receipt.revocations} if receipt else {}
        enforced = receipt is not None and receipt.enforced and self.may_trust_receipts(process)
        audience = frozenset(p for p in self.processes if p.settings.follows) if enforced else frozenset()
        made = []
        for handle in handles:
            revocation = written.get(handle.name)
            promise = Promise(
                f"r{next(self._names)}",
                revocation.id if revocation else "",
                handle,
                None if handle.kind in UNCONDITIONAL_KINDS else revocation.issued_before_ms if revocation else 0,
                given,
                self.next_order(),
                self.now,
                1000 * (self.asked_at + max(node.offset, process.offset)),
                frozenset(one for one in node.present if isinstance(one, Token | Session)),
                least_end_ms(
                    handle,
                    server_ms=1000 * (self.asked_at + node.offset),
                    caller_ms=1000 * (self.asked_at + process.offset),
                    ends_with_tokens=final,
                ),
                final=final,
                sure=receipt is not None,
                enforced_in=audience,
            )
            node.present.add(promise)
            self.promises.append(promise)
            made.append(promise)
        return made

    def may_trust_receipts(self, process: Process) -> bool:
        """Whether nothing has happened that the documentation says a receipt cannot see."""
        if len({self.vouching(one) for one in self.processes}) > 1 and not self.min_replicas:
            return False
        if self.now - self.moved_at < 2 * library.LONGEST_SECONDS:
            return False
        knows_longest = process.settings.longest >= library.LONGEST_SECONDS and process.settings.follows
        return knows_longest or process.started < self.lost_at or self.lost_at == -math.inf

    def lose(self, node: Node, kept: frozenset[object] = frozenset()) -> None:
        """This server's data is now what it was when only `kept` was known."""
        self.damage()
        self.lost_at = self.now
        node.least_since_loss_ms = self.server_ms(node)
        order = self.next_order()
        for promise in self.promises:
            if promise in node.present and promise not in kept:
                promise.lose(order=order, cut_ms=self.server_ms(node))
            elif promise in kept and promise not in node.present:
                # What had been lost is back, and who reads it has as long as for a new one.
                promise.acknowledged, promise.enforced_in = self.now, frozenset()
        node.present = set(kept)

    def damage(self) -> None:
        """Something is missing from now on; followers will notice, and open an epoch."""
        self.clean, self.damaged = False, True
        self.set_clocks()

    # The oracle

    def must_refuse(self, process: Process, promise: Promise, token: Token, bound: float) -> bool:
        """Whether this answer would break the promise."""
        if not promise.covers(token):
            return False
        allowed = 0.0 if process in promise.enforced_in else min(bound, process.settings.longest)
        if self.now < promise.acknowledged + allowed:
            return False
        return self.is_known(process, promise)

    def is_known(self, process: Process, promise: Promise) -> bool:
        """Whether the process can be expected to know it, by what its server holds or by what it has read itself."""
        if promise.overtaken:
            return False
        node = self.vouching(process)
        if self.min_replicas:
            return True
        if promise in node.present and promise.furthest_ms < promise.least_end_ms:
            return True
        return process in promise.read_by and not promise.reduced and self.now < promise.forgotten_at

    def undo(self, undone: Promise) -> None:
        """What is left of its entry is in force now, and nothing that Redis has forgotten is left in it."""
        undone.undone_at = self.now
        for promise in self.promises:
            if promise.handle == undone.handle and promise.furthest_ms >= promise.least_end_ms:
                promise.overtaken = True

    def break_promise(self, promise: str, seen: str) -> None:
        if promise not in self.skip:
            raise ViolationError(promise, seen)

    def ask_everything(self) -> None:
        """Every token of which some answer would be wrong, at every bound, in every process.

        A question writes, so it changes what `WAIT` says on its connection: whoever is at a server that is cut off from
        its copies is asked by a rule of its own.
        """
        for process in self.processes:
            if process.linked not in self.cut_off:
                tokens = self._askable(process)
                covered = [token for token in tokens if any(promise.covers(token) for promise in self.promises)]
                others = [token for token in tokens if token not in covered] if self.clean else []
                self.ask_process(process, covered[-_TOKENS_ASKED:] + others[-2:])

    def ask_process(self, process: Process, tokens: Sequence[Token]) -> None:
        self.acting = process
        age = process.parts.age()
        for number, token in enumerate(tokens):
            self._ask(process, token, 0.0)
            for bound in BOUNDS:
                # Where memory is too old the question is the strict one again; once is enough.
                if age < bound or number == 0:
                    self._ask(process, token, bound)
        self.acting = None

    def _askable(self, process: Process) -> list[Token]:
        leeway = process.settings.leeway if abs(process.offset) < 1 else library.LEEWAY_SECONDS
        return [
            token
            for token in self.tokens
            if self.now < token.dies_at + min(leeway, leeway + process.offset)
            and (process.offset >= 0 or self.now < token.dies_at + library.LEEWAY_SECONDS)
        ]

    def _ask(self, process: Process, token: Token, bound: float) -> None:
        answer = process.parts.check(token.claims, bound)
        if answer == "accepted":
            for promise in self.promises:
                if self.must_refuse(process, promise, token, bound):
                    self.break_promise(
                        self._word(process, promise, bound),
                        f"{process.name} accepts {token.name} at bound {bound} against {promise.name} "
                        f"({promise.handle.kind} {promise.handle.value}, {self.now - promise.acknowledged:.3f} s old)",
                    )
        elif answer == "refused" and self.clean and not token.forged and not self._is_late(token):
            explained = any(one.may_explain(token, known_since=process.knew_at) for one in self.promises)
            if not explained:
                self.break_promise("refused without reason", f"{process.name} refuses {token.name} at bound {bound}")

    def _is_late(self, token: Token) -> bool:
        return self.now >= token.dies_at + library.LEEWAY_SECONDS

    def _word(self, process: Process, promise: Promise, bound: float) -> str:
        if process in promise.enforced_in and self.now < promise.acknowledged + min(bound, process.settings.longest):
            return "enforced"
        return "key" if promise.handle.kind == "key" else "strict" if bound == 0 else "bounded"

    def check_expired(self, process: Process) -> None:
        """A token that is dead, verified by somebody else, is not in force."""
        for token in self.tokens[-40:]:
            dead = self.now > token.dies_at + max(process.settings.leeway, library.LEEWAY_SECONDS) + 1
            if dead and process.offset >= 0:
                self.acting = process
                answer = process.parts.check(token.claims, 1.0)
                self.acting = None
                if answer == "accepted":
                    self.break_promise("expired", f"{process.name} accepts {token.name}, which expired")
                return

    def check_refresh(self, process: Process, session: Session, issued: int) -> None:
        """A new token came of a refresh: nothing that ends its session may have been acknowledged before."""
        node = self.vouching(process)
        for promise in self.promises:
            known = self.min_replicas or (promise in node.present and promise.furthest_ms < promise.least_end_ms)
            if known and promise.ends(session):
                self.break_promise(
                    "refresh",
                    f"{process.name} refreshes {session.subject}'s session, which {promise.name} ended "
                    f"({promise.handle.kind}, {self.now - promise.acknowledged:.3f} s ago; iat {issued})",
                )


class Stage:
    """The servers on which cases are played, one after another."""

    def __init__(self, make: Make, *, skip: frozenset[str] = frozenset()) -> None:
        self._make = make
        self._skip = skip
        self.directory = Path(tempfile.mkdtemp(prefix="rvs-", dir="/tmp"))  # sockets have short paths
        self._shim = build_shim(self.directory)
        self._nodes: list[Node] = []
        self._cases = itertools.count()

    def close(self) -> None:
        self.clear()
        remove(self.directory)

    def clear(self) -> None:
        """End every server; those of the next case are new."""
        for node in self._nodes:
            node.close()
            remove(node.directory)
        self._nodes.clear()

    @contextlib.contextmanager
    def world(self, *, nodes: int, min_replicas: int) -> Iterator[World]:
        """Empty servers, and nobody there yet."""
        while len(self._nodes) < nodes:
            node = Node(self._make, self.directory / f"n{len(self._nodes)}", shim=self._shim)
            node.start()
            self._nodes.append(node)
        chosen = self._nodes[:nodes]
        for node in self._nodes:
            node.reset()
        for node in self._nodes:
            node.await_solitude()
        place = self.directory / f"c{next(self._cases)}"
        place.mkdir()
        world = World(chosen, place, skip=self._skip, min_replicas=min_replicas)
        world.set_clocks()
        with library.installed(wall=world.wall, boot=world.boot, wait=world.wait):
            try:
                yield world
            finally:
                for process in list(world.processes):
                    process.parts.close()
        remove(place)
