"""The rules: what may happen next. Each takes three numbers that choose among what there is, so that any row of steps
can be played, and still can with some of them left out."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final, cast

from revocation import Handle, Receipt
from revocation.handles import Kind
from tests.search import library
from tests.search.library import HEAD, LEEWAY_SECONDS, LOG, NAMESPACE, SETTINGS
from tests.search.node import Node, Saved
from tests.search.promise import Token
from tests.search.world import BOUNDS, Process, World
from tests.support.tokens import ISSUER, claims_of

_TIMES: Final = (0.02, 0.3, 1.2, 3.0, 8.0, 30.0, 75.0, 350.0, 900.0)
_OFFSETS: Final = (0.0, 0.0, 0.0, 0.4, -0.4, 1.0, -1.0, 4.0, -4.0, -20.0, 20.0, 70.0, 1200.0, -1200.0, 86_400.0)
_WAITS: Final = (0.0, 0.0, 2.0, 70.0)
_KINDS: Final[tuple[Kind, ...]] = ("token", "session", "subject", "client", "key", "subject", "session", "issuer")
_FOREIGN_OFFSETS: Final = (0.0, 0.0, 5.0, -5.0)
_FORGED_AHEAD: Final = (0.0, 2.0, LEEWAY_SECONDS - 1.0)

#: Rounds of beats after which whoever signs in is let in: the cut-off of an epoch is at most a leeway and 1 s away.
_HEALING_ROUNDS: Final = 14


class Rules:
    """What may happen in a world."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.saved: list[Saved] = []
        self.keys = ["k0", "k1"]
        self.fillers = 0
        #: Whether a follower has seen the copies that joined: only then is their number known to all.
        self.seen_joining = False

    def _process(self, who: int) -> Process:
        return self.world.processes[who % len(self.world.processes)]

    @property
    def _primary(self) -> Node:
        return self.world.vouching(self.world.processes[0])

    # Time

    def time(self, who: int, which: int, how: int) -> None:
        self.world.advance(_TIMES[how % len(_TIMES)])

    def beat(self, who: int, which: int, how: int) -> None:
        self.world.beat(self._process(who))

    def beat_all(self, who: int, which: int, how: int) -> None:
        for _ in range(2):
            for process in self.world.processes:
                if not process.paused:
                    self.world.beat(process)

    # Processes

    def start(self, who: int, which: int, how: int) -> None:
        if len(self.world.processes) < 4:
            elected = self.world.elected if which % 2 else None
            settings = SETTINGS[how % len(SETTINGS)]
            if how // len(SETTINGS) % 4 == 3:
                settings = replace(settings, name=f"{settings.name}-untold", told=False)
            self.world.start(settings, elected or self._process(who).node)

    def stop(self, who: int, which: int, how: int) -> None:
        if len(self.world.processes) > 1:
            self.world.end(self._process(who), cleanly=how % 2 == 0)

    def pause(self, who: int, which: int, how: int) -> None:
        process = self._process(who)
        process.paused = not process.paused

    # Tokens

    def sign_in(self, who: int, which: int, how: int) -> None:
        process, subject, client = self._process(who), f"u{which % 2}", f"c{how % 2}"
        made = self.world.attempt(process, lambda: process.parts.sign_in(subject, client))
        if made is not None:
            self.world.add_session(process, subject, client, made)

    def refresh(self, who: int, which: int, how: int) -> None:
        if not self.world.sessions:
            return
        process = self._process(who)
        session = self.world.sessions[-1 - which % min(4, len(self.world.sessions))]
        back = (0, 0, 1, 1, 2)[how % 5]
        token = session.refresh_tokens[max(0, len(session.refresh_tokens) - 1 - back)]
        made = self.world.attempt(process, lambda: process.parts.refresh(token))
        if made is None:
            # A token that was used too long ago ends its session.
            self.world.promise(process, [session.handles[0]], None, final=True)
            return
        following, issued_at_ms = made
        self.world.check_refresh(process, session, issued_at_ms)
        if following not in session.refresh_tokens:
            session.refresh_tokens.append(following)
        claims = library.claims(issued_at_ms, subject=session.subject, client=session.client, session=session.id)
        self.world.add_token(process, claims, minted=True)

    def foreign(self, who: int, which: int, how: int) -> None:
        """Another issuer mints for one of two sessions, by its own clock."""
        instant = 1000 * (self.world.now + _FOREIGN_OFFSETS[how % len(_FOREIGN_OFFSETS)])
        claims = library.claims(int(instant), subject=f"u{which % 2}", session=f"f{which % 2}", foreign=True)
        self.world.add_token(self._process(who), claims, minted=False)

    def forge(self, who: int, which: int, how: int) -> None:
        """A thief of a key mints with an `iat` of his choice."""
        instant = 1000 * (self.world.now + _FORGED_AHEAD[how % len(_FORGED_AHEAD)])
        claims = library.claims(int(instant), subject="mallory", key=self.keys[which % len(self.keys)])
        self.world.add_token(self._process(who), claims, minted=False, forged=True)

    # Revocations

    def _token(self, which: int) -> Token | None:
        return self.world.tokens[-1 - which % min(5, len(self.world.tokens))] if self.world.tokens else None

    @staticmethod
    def _handle(token: Token, kind: Kind) -> Handle:
        claims = token.claims
        if kind == "issuer":
            return Handle("issuer", issuer=claims.issuer)
        if kind == "session" and claims.session_id is None:
            kind = "token"
        return cast("Callable[[Any], Handle]", getattr(Handle, kind))(claims)

    def _revoke(
        self, process: Process, handles: list[Handle], *, wait: float = 0.0, before_ms: int | None = None
    ) -> Receipt | None:
        receipt = self.world.attempt(
            process, lambda: process.parts.revoke(handles, actor="ada", before_ms=before_ms, wait=wait)
        )
        self.world.promise(process, handles, receipt, given=before_ms is not None)
        return receipt

    def revoke(self, who: int, which: int, how: int) -> None:
        token = self._token(which)
        if token is not None:
            handle = self._handle(token, _KINDS[how % len(_KINDS)])
            self._revoke(self._process(who), [handle], wait=_WAITS[how // len(_KINDS) % len(_WAITS)])

    def revoke_given(self, who: int, which: int, how: int) -> None:
        token, process = self._token(which), self._process(who)
        if token is not None:
            before = self.world.server_ms(self.world.vouching(process)) - (0, 2000, 30_000)[how % 3]
            self._revoke(process, [Handle.subject(token.claims)], before_ms=int(before))

    def declare(self, who: int, which: int, how: int) -> None:
        process = self._process(who)
        if process.settings.may_open:
            self.world.attempt(process, process.parts.declare)

    def withdraw(self, who: int, which: int, how: int) -> None:
        process = self._process(who)
        if process.settings.may_open:
            self.world.attempt(process, process.parts.withdraw)

    def revoke_organisation(self, who: int, which: int, how: int) -> None:
        """One entry for everybody of an organisation; most often the kind was declared just before."""
        token, process = self._token(which), self._process(who)
        if token is None:
            return
        if how % 4:
            self.declare(who, which, how)
        handle = next(handle for handle in token.handles if handle.kind == "org")
        self._revoke(process, [handle], wait=_WAITS[how // 4 % len(_WAITS)])

    def revoke_many(self, who: int, which: int, how: int) -> None:
        """Several at once, the one that matters first; with so many others that it takes a second batch."""
        token, process = self._token(which), self._process(who)
        if token is None:
            return
        handles = [self._handle(token, _KINDS[how % len(_KINDS)])]
        if how % 2:
            handles += [Handle("token", f"filler-{self.fillers}-{n}", issuer=ISSUER) for n in range(256)]
            self.fillers += 1
        else:
            handles += [self._handle(one, "token") for one in self.world.tokens[-3:]]
        distinct = list(dict.fromkeys(handles))
        receipt = self.world.attempt(
            process, lambda: process.parts.revoke(distinct, actor="ada", wait=_WAITS[how // 8 % len(_WAITS)])
        )
        # The fillers are nobody's tokens.
        self.world.promise(process, [one for one in distinct if "filler" not in one.value], receipt)

    def revoke_keys(self, who: int, which: int, how: int) -> None:
        """Many keys at once; thieves of two of them go on."""
        process = self._process(who)
        names = [f"bulk-{self.fillers}-{n}" for n in range(40)]
        self.fillers += 1
        handles = [Handle("key", name, issuer=ISSUER) for name in names]
        receipt = self.world.attempt(process, lambda: process.parts.revoke(handles, actor="ada"))
        self.world.promise(process, [handles[0], handles[-1]], receipt)
        if receipt is not None:
            self.keys += [names[0], names[-1]]
            for name in (names[0], names[-1]):
                claims = library.claims(int(1000 * self.world.now), subject="mallory", key=name)
                self.world.add_token(process, claims, minted=False, forged=True)

    def revoke_over_loss(self, who: int, which: int, how: int) -> None:
        """The server restarts from before the call while the second batch of it is still to be written."""
        token, process, node = self._token(which), self._process(who), self._primary
        if token is None or self.world.min_replicas:
            return
        handles = [self._handle(token, _KINDS[how % len(_KINDS)])]
        handles += [Handle("token", f"filler-{self.fillers}-{n}", issuer=ISSUER) for n in range(300)]
        self.fillers += 1
        saved = node.save()

        def lose() -> None:
            node.restart(saved)
            self.world.lose(node, saved.present)

        receipt = self.world.attempt(process, lambda: process.parts.revoke_in_batches(handles, between=lose))
        self.world.promise(process, handles[:1], receipt)

    def repeat(self, who: int, which: int, how: int) -> None:
        """The same revocation twice: the second adds nothing."""
        token, process = self._token(which), self._process(who)
        if token is None:
            return
        handle = self._handle(token, ("token", "session", "key")[how % 3])
        if self._revoke(process, [handle]) is None:
            return
        self.world.advance(0.002)
        self._require_no_growth(process, lambda: self._revoke(process, [handle]))

    def end_session(self, who: int, which: int, how: int) -> None:
        if not self.world.sessions:
            return
        process, session = self._process(who), self.world.sessions[-1 - which % min(4, len(self.world.sessions))]

        def end() -> Receipt | None:
            receipt = self.world.attempt(process, lambda: process.parts.end_session(session.id))
            self.world.promise(process, [session.handles[0]], receipt, final=True)
            return receipt

        receipt = end()
        if receipt is not None and not receipt.revocations:
            # Its last access token was dead. Without its record nobody can say so any more, and an entry is made.
            receipt = end()
        if receipt is not None and how % 2:
            self._require_no_growth(process, end)

    def _require_no_growth(self, process: Process, act: Callable[[], object]) -> None:
        client = process.node.client
        before = client.xlen(LOG)
        if act() is not None and client.xlen(LOG) > before:
            self.world.break_promise("growth", f"{process.name} writes what is in force already once more")

    def half(self, who: int, which: int, how: int) -> None:
        """A batch whose second entry is a key of another type: all of it is written, or nothing."""
        token, process = self._token(which), self._process(who)
        if token is None or self.world.min_replicas or process.node.upstream is not None:
            return
        wrong = Handle("subject", "wrong", issuer=ISSUER)
        client, first = process.node.client, Handle.subject(token.claims)
        client.rpush(NAMESPACE + wrong.name, "x")

        def written() -> tuple[object, ...]:
            return client.xlen(LOG), client.get(HEAD), client.get(NAMESPACE + first.name)

        before = written()
        if self._revoke(process, [first, wrong]) is None and written() != before:
            self.world.break_promise("half written", f"{process.name}: a batch was refused and left something")
        client.delete(NAMESPACE + wrong.name)

    def undo(self, who: int, which: int, how: int) -> None:
        standing = [promise for promise in self.world.promises if promise.stands and promise.id]
        if not standing:
            return
        promise, process = standing[-1 - which % min(6, len(standing))], self._process(who)
        done = self.world.attempt(process, lambda: process.parts.undo(promise.id))
        # The same actor who revokes once more is answered with the revocation that stands.
        for same in (one for one in standing if one.id == promise.id):
            if done:
                self.world.undo(same)
            elif done is None and not library.is_conflict(self.world.refusal):
                # It may have been heard all the same.
                same.sure = False

    def check_expired(self, who: int, which: int, how: int) -> None:
        self.world.check_expired(self._process(who))

    # Clocks

    def server_clock(self, who: int, which: int, how: int) -> None:
        node = self.world.nodes[which % len(self.world.nodes)]
        node.offset = _OFFSETS[how % len(_OFFSETS)]
        self.world.moved_at, self.world.clean = self.world.now, False
        self.world.set_clocks()

    def process_clock(self, who: int, which: int, how: int) -> None:
        self._process(who).offset = _OFFSETS[how % len(_OFFSETS)]
        self.world.clean = False
        self.world.set_clocks()

    # Data

    def flush(self, who: int, which: int, how: int) -> None:
        if self._primary.upstream is None:
            self._primary.client.flushall()
            self.world.lose(self._primary)

    def lose_head(self, who: int, which: int, how: int) -> None:
        self._primary.client.delete(HEAD)
        self.world.damage()

    def lose_log(self, who: int, which: int, how: int) -> None:
        self._primary.client.delete(LOG)
        self.world.damage()

    def trim(self, who: int, which: int, how: int) -> None:
        self._primary.client.xtrim(LOG, maxlen=how % 3, approximate=False)
        self.world.damage()

    def junk(self, who: int, which: int, how: int) -> None:
        """Lines in the log that are nobody's, with ids of now, of soon, and of another day."""
        ahead = (None, 400, 86_400)[how % 3]
        id_ = "*" if ahead is None else f"{int(1000 * (self.world.now + ahead)) + which}-0"
        with library.ignoring_redis():
            self._primary.client.xadd(LOG, {"change" if which % 2 else "x": "nonsense"}, id=id_)

    def forget_scripts(self, who: int, which: int, how: int) -> None:
        self._primary.client.script_flush()

    def save(self, who: int, which: int, how: int) -> None:
        self.saved = [*self.saved[-2:], self._primary.save()]

    def restart(self, who: int, which: int, how: int) -> None:
        node = self._primary
        node.restart(node.save())

    def restart_empty(self, who: int, which: int, how: int) -> None:
        self._primary.restart(None)
        self.world.lose(self._primary)

    def restore(self, who: int, which: int, how: int) -> None:
        if self.saved:
            saved = self.saved[which % len(self.saved)]
            self._primary.restart(saved)
            self.world.lose(self._primary, saved.present)

    def init(self, who: int, which: int, how: int) -> None:
        process = self._process(who)
        if process.settings.may_open:
            self.world.attempt(process, process.parts.init)

    def new_epoch(self, who: int, which: int, how: int) -> None:
        process = self._process(who)
        if process.settings.may_open:
            self.world.attempt(process, lambda: process.parts.init(new_epoch=True))
            self.world.damage()

    # Copies of the server

    def lag(self, who: int, which: int, how: int) -> None:
        """From now on nothing reaches the copies."""
        for node in self.world.nodes:
            node.catch_up()
            node.silence()

    def demote(self, who: int, which: int, how: int) -> None:
        """A copy takes over, and the address of some processes still leads to the old server, a copy now."""
        old = self._primary
        copies = [node for node in self.world.nodes if node.upstream is old]
        if not copies or self.world.min_replicas:
            return
        new = copies[which % len(copies)]
        self.world.damage()
        new.catch_up()
        new.promote()
        self.world.elected = new
        old.follow(new)
        if how % 2:
            old.silence()
        if old.present != new.present:
            new.present, kept = set(old.present), frozenset(new.present)
            self.world.lose(new, kept)
        if abs(new.offset - old.offset) > 0:
            self.world.moved_at = self.world.now
        self._move_some(new, how // 2)

    def isolate(self, who: int, which: int, how: int) -> None:
        """The primary is cut off from the others, who elect one of them; some processes stay with the old one."""
        old = self._primary
        copies = [node for node in self.world.nodes if node.upstream is old]
        if len(copies) < 2 or not self.world.min_replicas or self.world.elected is not None:
            return
        if len(copies) > 2 and not self.seen_joining:
            return
        for node in copies:
            node.catch_up()
        old.await_acknowledgements()
        # Where there are three copies, one stays with the old primary.
        others = copies[1:] if len(copies) > 2 else copies
        for node in others:
            node.silence()
        new = others[0]
        new.promote()
        self.world.elected = new
        for node in others[1:]:
            node.follow(new)
            node.catch_up()
        if len(copies) == len(others):
            self.world.cut_off.add(old)
        self._move_some(new, how)

    def ask_cut_off(self, who: int, which: int, how: int) -> None:
        """Somebody at a server that is cut off asks it, which takes its time over every answer."""
        for process in self.world.processes:
            if process.linked in self.world.cut_off:
                self.world.ask_process(process, self.world.tokens[-2:])

    def join(self, who: int, which: int, how: int) -> None:
        """Servers that were not there at the start become copies, and every process sees them."""
        primary = self._primary
        if self.world.elected is None:
            for node in self.world.nodes[1:]:
                if node.upstream is None:
                    node.follow(primary)
                    node.catch_up()
        for process in self.world.processes:
            self.world.beat(process)
            self.seen_joining = self.seen_joining or process.settings.follows

    def move(self, who: int, which: int, how: int) -> None:
        """The address of one process leads to the server that was elected."""
        if self.world.elected is not None:
            self.world.move(self._process(who), self.world.elected)

    def _move_some(self, node: Node, mask: int) -> None:
        for number, process in enumerate(self.world.processes):
            if mask >> number & 1:
                self.world.move(process, node)

    # The end of all faults

    def heal(self, who: int, which: int, how: int) -> None:
        """Everything is right again: whoever signs in is let in, everywhere and at every bound."""
        world = self.world
        if world.min_replicas:
            return
        for node in world.nodes:
            node.offset = 0.0
            if node.link is not None:
                node.link.heal()
        primary = self._primary
        for process in world.processes:
            process.offset, process.paused = 0.0, False
            if process.node is not primary:
                world.move(process, primary)
        world.clean = False
        world.set_clocks()
        # Who was not told of a kind that is declared answers nothing.
        fit = [one for one in world.processes if one.settings.may_open and one.settings.told]
        if not fit:
            return
        if not primary.client.exists(HEAD) and not any(p.settings.follows for p in fit):
            self.init(world.processes.index(fit[0]), 0, 0)
        self._rounds()
        nobody_opens = not any(process.settings.follows for process in fit) or not primary.client.exists(HEAD)
        if self._let_in(fit) is not None and (world.ahead_together > LEEWAY_SECONDS or nobody_opens):
            # Clocks that agreed to be wrong, or nobody left who notices or knew of an epoch: documented, and ended by
            # hand.
            world.attempt(fit[0], lambda: fit[0].parts.init(new_epoch=True))
            self._rounds()
        kept_out = self._let_in(fit)
        if kept_out is not None:
            world.break_promise("availability", kept_out)

    def _rounds(self) -> None:
        for _ in range(_HEALING_ROUNDS):
            self.world.advance(1.1)
            for process in self.world.processes:
                self.world.beat(process)
                # A question that a demoted server refuses ends the connections; the next reaches the other one.
                self.world.attempt(process, process.parts.mint_ms)
                self.world.ask_process(process, self.world.tokens[-1:])

    def _let_in(self, fit: list[Process]) -> str | None:
        """Who keeps a new user out; None where nobody does."""
        world = self.world
        issued = world.attempt(fit[0], fit[0].parts.mint_ms)
        if issued is None:
            return f"{fit[0].name} does not mint: {world.refusal}"
        name = f"new-{world.next_order()}"
        claims = claims_of(
            issued_at_ms=issued, lifetime_seconds=60, iss=f"https://{name}.example", sub=name, sid=name, client_id=name
        )
        for process in fit:
            world.beat(process)
        for process in fit:
            for bound in (0.0, *BOUNDS):
                world.acting = process
                answer = process.parts.check(claims, bound)
                world.acting = None
                if answer != "accepted":
                    return f"{process.name} says {answer} at bound {bound} to somebody who has just signed in"
        for process in fit:
            if world.attempt(process, lambda: process.parts.revoke([Handle.token(claims)], actor=process.name)) is None:  # noqa: B023 (called at once)
                return f"{process.name} does not revoke: {world.refusal}"
        return None
