"""Follower: this process's copy of the deny-list, and how old it is.

One thread tails the log. Each round trip of it, a beat, is at once the lease that others wait for, the receipt of what
was applied, proof that the primary was talked to, the look for lost data, and the data.
"""

import atexit
import contextlib
import functools
import logging
import math
import os
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import redis

from revocation.denylist import NO_CUTOFF, FollowerState
from revocation.errors import DenylistEmptyError, DenylistUnavailableError
from revocation.handles import Handle
from revocation.redis.clock import boottime
from revocation.redis.connect import with_timeout
from revocation.redis.epochs import Epochs
from revocation.redis.head import Head
from revocation.redis.leases import Leases, lease_ms
from revocation.redis.link import AloneError, Link, is_wrong_server
from revocation.redis.protocol import FROM_START, Namespace, order
from revocation.redis.script import Caller
from revocation.redis.view import View

_log = logging.getLogger(__name__)

#: Log entries read in one beat, and applied before other threads get their turn: who waits for the interpreter has to
#: ask for it several times per request.
_READ_AT_ONCE: Final = 1_000
_APPLIED_AT_ONCE: Final = 100

#: That turn, in seconds; without a wait the thread that gives the interpreter away is the one that gets it.
_TURN_SECONDS: Final = 0.00005

#: The longest a beat waits for news, in seconds.
_LONGEST_WAIT: Final = 0.25

#: Redis looks at the time-outs of waiting clients ten times a second: what must be quicker asks again instead.
_SHORTEST_BLOCK: Final = 0.15

#: What this process revoked is kept in memory for so long where an epoch began before the log told of it, in seconds.
_OVERLAY_SECONDS: Final = 3600.0

#: Between attempts to reach a Redis that does not answer, in seconds.
_RETRY_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class News:
    """What one beat has read besides the head."""

    #: Lines of the log, as redis-py gives them: id and fields.
    lines: Sequence[Any]
    #: What outlives the log, where this beat asked for it: read before the lines.
    lasting: Mapping[bytes, bytes] | None
    #: The time of Redis, in milliseconds.
    now_ms: int


class Followed(Protocol):
    """What a follower needs of the deny-list that it follows."""

    @property
    def link(self) -> Link: ...
    @property
    def namespace(self) -> Namespace: ...
    @property
    def leases(self) -> Leases: ...
    @property
    def epochs(self) -> Epochs: ...
    @property
    def caller(self) -> Caller: ...

    def ask(self, many: Sequence[Sequence[Handle]]) -> tuple[Head, list[float]]:
        """The head, and the latest cut-off of each of several tokens, from one round trip."""

    def attach(self, follower: "Follower") -> None:
        """Let a follower know at once what this process revokes, for as long as somebody holds the follower."""


class Follower:
    """Knows what was taken back, as of `age_seconds` ago.

    It starts in the process that first asks it, never before a fork, and again where its thread has ended; it ends when
    it is stopped, when nobody holds it any more, and with the interpreter, and gives its lease back. `shortest`
    and `longest` are the finite bounds that this process decides with, in seconds: a beat waits a quarter of the
    shortest, and the lease outlives the longest, so that a follower whose lease ran out is known to be too old.
    """

    def __init__(
        self,
        denylist: Followed,
        *,
        shortest_seconds: float = 1.0,
        longest_seconds: float = 1.0,
        clock: Callable[[], float] = boottime,
    ) -> None:
        self._denylist = denylist
        self._link = denylist.link
        self._namespace = denylist.namespace
        self._leases = denylist.leases
        self._epochs = denylist.epochs
        self._caller = denylist.caller
        self.longest_seconds = longest_seconds
        self._wait_seconds = min(_LONGEST_WAIT, shortest_seconds / 4)
        self._overdue_seconds = 2 * self._wait_seconds
        self._block_ms = round(1000 * self._wait_seconds) if self._wait_seconds >= _SHORTEST_BLOCK else None
        # A second follower of this deny-list in this process may have a longer bound.
        self._leases.own_ms = max(self._leases.own_ms, lease_ms(longest_seconds))
        self._leases.longest_bound_ms = max(self._leases.longest_bound_ms, round(1000 * longest_seconds))
        self._clock = clock
        self._view = View()
        #: A view that is being built, until it has caught up; decisions go on with the one before.
        self._next: View | None = None
        #: What this process revoked itself, until a beat has passed it: cut-off and position by the hash of the name.
        self._overlay: dict[int, tuple[float, str]] = {}
        #: The deny-list's clock as it was read last.
        self._clock_text = ""
        #: How many replicas were connected in the last beat that asked for them.
        self._replicas = 0
        self._blocked = False
        self._failures = 0
        self._id = ""
        self._client: redis.Redis | None = None
        #: A plain flag: an event has a lock, which a fork might inherit locked.
        self._stopped = False
        self._threads: dict[tuple[int, int], threading.Thread] = {}
        self._thread: threading.Thread | None = None
        self._pid = 0
        #: Counts how often it was started again; a thread ends with its generation.
        self._generation = 0
        self._applied = self._junk = self._breaks = self._amnesia = self._new_epochs = 0
        #: Called in the thread after every beat, answered or not.
        self.on_beat: Callable[[], None] = _nothing
        denylist.attach(self)

    # Asking

    def look_up(self, handles: Sequence[Handle]) -> tuple[float, float]:
        """The latest cut-off held for any of the handles, and how old that knowledge is, in seconds.

        The stamp is read first and the clock last: a process that was paused in between comes out too old, not too
        young. Raises DenylistUnavailableError where the log holds what this version cannot read.
        """
        if self._pid != os.getpid():
            # What a fork inherits has no thread and no lease here.
            self._ensure_running()
        view = self._view
        stamp = view.stamp
        cutoff = view.latest_cutoff(handles)
        if self._overlay:
            cutoff = max(cutoff, self._own_cutoff(handles))
        age = self._clock() - stamp
        if age > self._overdue_seconds:
            # Only a thread that has ended is silent for so long, or one whose server is.
            self._ensure_running()
        if view.bound_seconds < age:
            # The head knows of no process that decides with a longer bound: receipts do not wait longer than that.
            age = math.inf
        if self._stopped:
            # The lease was given back: a receipt may say that nobody here decides from memory.
            age = math.inf
        if self._blocked:
            raise DenylistUnavailableError("The log of the deny-list holds an entry of a newer version.")
        return cutoff, age

    def ask(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """The latest cut-offs in force according to Redis, which must not know less than this process does."""
        view = self._view
        epoch, known = view.epoch, view.position
        head, cutoffs = self._denylist.ask(many)
        if head.epoch == epoch:
            behind = known and head.end != known and order(head.end) <= order(known)
        else:
            behind = not view.may_follow(head)
        if behind:
            raise DenylistUnavailableError("Redis knows less than this process does: it has lost revocations.")
        if not self._overlay:
            return cutoffs
        return [max(cutoff, self._own_cutoff(handles)) for cutoff, handles in zip(cutoffs, many, strict=True)]

    def note(self, name: str, cutoff: float, position: str) -> None:
        """Know at once what this process has revoked, until a beat has read it in the log."""
        held = self._overlay.get(hash(name))
        self._overlay[hash(name)] = (cutoff if held is None else max(cutoff, held[0]), position)

    def _own_cutoff(self, handles: Sequence[Handle]) -> float:
        cutoffs = [self._overlay.get(handle.number, (NO_CUTOFF, ""))[0] for handle in handles]
        return max(cutoffs, default=NO_CUTOFF)

    @property
    def state(self) -> FollowerState:
        """How it is doing."""
        view = self._view
        return FollowerState(
            age_seconds=self._clock() - view.stamp,
            entries=len(view),
            is_connected=self._failures == 0,
            applied=self._applied,
            junk=self._junk,
            breaks=self._breaks,
            amnesia=self._amnesia,
            epochs=self._new_epochs,
        )

    # Running

    def start(self) -> None:
        """Follow in this process, also again after `stop`."""
        if self._stopped:
            # The lease was given back, so nothing may be decided from memory before a beat has renewed it.
            self._view.stamp = -math.inf
            if self._thread is not None and self._thread.is_alive():
                # The thread that was stopped is still in its last beat, which belongs to the view of before.
                self._view, self._next, self._thread = View(), None, None
            self._generation += 1
            self._stopped = False
        self._ensure_running()

    def _ensure_running(self) -> None:
        """Start the thread in this process, if it is not there and was not stopped."""
        thread = self._thread
        if self._stopped or (self._pid == os.getpid() and thread is not None and thread.is_alive()):
            return
        if self._pid != os.getpid():
            # What a fork inherits is no older than it says, but this process has no lease yet: receipts do not wait
            # for it.
            self._view.stamp = -math.inf
        # There is no lock, which a fork might inherit locked: one of the threads that race here gets to start its own.
        id_ = f"{os.getpid()}-{secrets.token_hex(4)}"
        end = functools.partial(self._leases.give_back, id_)
        step = weakref.WeakMethod(self._live_on)
        mine = threading.Thread(
            target=_follow, args=(step, self._generation, end), name="revocation-follower", daemon=True
        )
        place = (os.getpid(), id(thread))
        if self._threads.setdefault(place, mine) is mine:
            self._id, self._client = id_, None
            try:
                mine.start()
            except RuntimeError as error:
                # No more threads: decisions ask Redis, and the next one tries again.
                _log.error("The follower's thread does not start: %s", error)
                self._threads = {}
                return
            self._thread, self._pid = mine, os.getpid()
            self._threads = {place: mine}
            _running.add(self)

    def stop(self) -> None:
        """End the thread and give the lease back, so that nobody waits for it."""
        if self._stopped:
            return
        self._stopped = True
        if self._pid != os.getpid() or self._thread is None:
            return
        self._thread.join(timeout=2.0)
        with contextlib.suppress(DenylistUnavailableError):
            self._leases.give_back(self._id)

    def _live_on(self, generation: int) -> bool:
        """One beat of a thread; whether another one follows."""
        if generation != self._generation:
            return False
        try:
            self.beat()
        except Exception as error:  # noqa: BLE001 (a follower that ends stops knowing; it logs and goes on)
            if not self._stopped:
                self._note_failure(error)
                time.sleep(_RETRY_SECONDS)
        return not self._stopped

    def _note_failure(self, error: Exception) -> None:
        self._failures += 1
        if is_wrong_server(error):
            # Strict checks would be answered by the same server.
            self._link.leave()
            self._link.breaker.trip()
        if self._failures == 2:  # noqa: PLR2004 (the first may be a connection that was closed, and is tried again)
            _log.warning("The follower cannot read the deny-list's log: %s", self._link.fault(error) or error)
            if isinstance(error, AloneError) or not isinstance(error, DenylistUnavailableError | redis.ResponseError):
                # A server that answers may answer checks, too, or they say why it does not: an empty one waits to be
                # opened, a full one only takes no lease, and settings that differ are no matter of waiting.
                self._link.breaker.trip()
        if not isinstance(error, redis.RedisError | OSError | DenylistUnavailableError):
            _log.error("The follower failed.", exc_info=error)
        self._link.suspect()
        client, self._client = self._client, None
        if client is not None:
            # Closing the client leaves open what its pool holds.
            client.connection_pool.disconnect()
        self.on_beat()

    def _connected(self) -> "redis.Redis":
        if self._client is None:
            self._client = with_timeout(self._link.client, added_seconds=2 * self._wait_seconds)
            with contextlib.suppress(DenylistEmptyError):
                self._epochs.note_server(self._client)
        return self._client

    def beat(self) -> None:
        """One round trip: renew the lease, read the news and the head, and apply them.

        What is known then is stamped with the instant at which the question was sent.
        """
        view = self._view if self._next is None else self._next
        client = self._connected()
        sent = self._clock()
        pipeline = client.pipeline(transaction=False)
        self._leases.renew(pipeline, self._id, position=view.position or FROM_START)
        self._link.add_wait(pipeline)
        if self._link.min_replicas:
            # Replicas that join later count as well, before a partition can leave a half of them on either side.
            pipeline.info("replication")
        if not view.has_lasting:
            pipeline.hgetall(self._namespace.lasting)
        # Only what is up to date waits for news; what is behind reads on.
        block = self._block_ms if view.stamp > -math.inf else None
        pipeline.xread({self._namespace.log: view.cursor}, count=_READ_AT_ONCE, block=block)
        # The head is read after the lines: by it the follower judges where the log begins and ends.
        pipeline.mget(self._namespace.head, self._namespace.clock)
        pipeline.time()
        answers: list[Any] = pipeline.execute()
        if self._link.min_replicas:
            self._link.require_replicas(answers[2])
            self._replicas = int(answers[3].get("connected_slaves", 0))
        streams, (head_text, clock_text), (seconds, microseconds) = answers[-3:]
        now_ms = int(seconds) * 1000 + int(microseconds) // 1000
        lasting = None if view.has_lasting else answers[-4]
        self._clock_text = (clock_text or b"").decode("ascii", "replace")
        self._take(view, head_text, News(streams[0][1] if streams else [], lasting, now_ms), sent)
        if self._block_ms is None and not streams:
            time.sleep(self._wait_seconds)
        if self._failures:
            _log.info("The follower reads the deny-list's log again.")
        self._failures = 0
        self._link.breaker.succeeded()
        self.on_beat()

    def _take(self, view: View, head_text: bytes | None, news: "News", sent: float) -> None:
        try:
            head = Head.parse(head_text)
        except DenylistEmptyError:
            if view.epoch is None:
                raise
            self._open_epoch(view, "", "Redis holds no head", new_log=False)
            return
        if head.is_closed and view.epoch is not None:
            self._open_epoch(view, head.epoch, "it was noticed by a process whose clock was wrong", new_log=False)
            return
        if self._replicas > head.replicas:
            self._epochs.note_server(self._connected())
        self._epochs.accept(head)
        if view.epoch is None:
            view.follow(head)
        elif view.epoch != head.epoch:
            self._change_epoch(view, head)
            return
        if view.remembered and view.given_back_at == math.inf and not self._give_back(view, head):
            return
        self._read(view, head, news, sent)

    def _read(self, view: View, head: Head, news: "News", sent: float) -> None:
        """Apply the lines of the log, and judge by a head that was read after them whether they are all there are."""
        # What was trimmed before the first of these lines stands in what outlives the log, if it still matters.
        begins = news.lasting is not None
        if news.lasting is not None:
            view.read_lasting(news.lasting, now_ms=min(news.now_ms, self._caller.now_ms), now=sent)
        before = view.position or FROM_START
        passed = self._apply(view, head, news.lines, sent, begins=begins)
        if passed is None:
            return

        def is_reached(end: str) -> bool:
            return end in passed or max(order(end), order(before)) <= order(head.floor)

        if view.expected is not None and is_reached(view.expected):
            view.expected = None
        if len(news.lines) == _READ_AT_ONCE:
            return
        expected, view.expected = view.expected, head.end
        if is_reached(head.end):
            if begins or head.end in passed:
                self._refresh(view, head, sent, news.now_ms)
            else:
                self._next = view.begun_anew()
        elif expected is not None:
            # The head of the beat before named a line that the log does not have.
            self._breaks += 1
            self._open_epoch(view, head.epoch, "the log and the head do not belong together", new_log=True)

    def _apply(self, view: View, head: Head, lines: Sequence[Any], sent: float, *, begins: bool) -> set[str] | None:
        """Apply lines of the log; the positions that were passed, or None where the view does not go on from here."""
        passed = {view.position or FROM_START}
        for entry_id, fields in _in_turns(lines):
            outcome = view.apply(entry_id, fields, head=head, now=sent, begins=begins)
            if outcome == "break":
                self._breaks += 1
                self._open_epoch(view, head.epoch, "the log misses entries that may still matter", new_log=True)
                return None
            if outcome == "behind":
                self._next = view.begun_anew()
                return None
            if outcome == "unknown":
                self._blocked = True
                time.sleep(_RETRY_SECONDS)
                return None
            if outcome == "applied":
                self._applied += 1
                passed.add(view.position or "")
            else:
                self._junk += 1
        self._blocked = False
        return passed

    def _change_epoch(self, view: View, head: Head) -> None:
        """Keep what is held, take the cut-off of the epoch that somebody opened, and start the log again."""
        if not view.may_follow(head):
            self._open_epoch(view, head.epoch, "an older epoch is back", new_log=True)
        else:
            self._new_epochs += 1
            _log.warning("Epoch %s began: nothing issued before %d ms is accepted.", head.epoch, head.everything_ms)
            self._restart(view, head)

    def _restart(self, view: View, head: Head) -> None:
        until = self._clock() + self._leases.longest_bound_ms / 1000 + _OVERLAY_SECONDS
        self._next = view.restarted(
            head, beside=[(number, cutoff, until) for number, (cutoff, _) in self._overlay.items()]
        )

    def _give_back(self, view: View, head: Head) -> bool:
        """Give Redis back every revocation of a key that was known in the epoch before; whether it took them."""
        undone = self._epochs.give_back(head.epoch, view.remembered)
        if undone is None:
            return False
        view.forget_keys(undone)
        # Redis may lose its data again before this view has read them there.
        view.given_back_at = self._clock()
        return True

    def _refresh(self, view: View, head: Head, sent: float, now_ms: int) -> None:
        view.read_head(head)
        view.forget_remembered(asked_at=sent)
        view.collect(now=sent)
        if now_ms > head.everything_ms:
            # Before that nothing is accepted, and those who remember revoked keys give them back.
            view.bound_seconds = head.bound_ms / 1000
            view.stamp = sent
        if view is self._next:
            self._view, self._next = view, None
        position = order(view.position or FROM_START)
        for number, (_, at) in list(self._overlay.items()):
            if order(at) <= position:
                self._overlay.pop(number, None)

    def _open_epoch(self, view: View, seen: str, why: str, *, new_log: bool) -> None:
        """Nobody can vouch for what was before: accept nothing from before now."""
        head, undone = self._epochs.open_after_loss(
            seen=seen, own=view.epochs, clock=self._clock_text, new_log=new_log, keys=view.remembered | view.keys
        )
        self._amnesia += 1
        _log.critical(
            "Redis has lost revocations (%s): epoch %s accepts nothing issued before it. An API that takes a deny-list "
            "into use for tokens it has issued already runs `revocation init --accept-existing` once, before that.",
            why,
            head.epoch,
        )
        if view.may_follow(head):
            view.forget_keys(undone)
            self._restart(view, head)


def _follow(step: "weakref.WeakMethod[Callable[[int], bool]]", generation: int, give_back: Callable[[], None]) -> None:
    """What the thread does, for as long as somebody else holds the follower: its guard, and whoever holds that."""
    pid = os.getpid()
    # A fork takes greenlets along, and they are not its own.
    while pid == os.getpid():
        live_on = step()
        if live_on is None:
            with contextlib.suppress(DenylistUnavailableError):
                give_back()
            return
        if not live_on(generation):
            return
        del live_on


#: What this process, or the one that it was forked from, has started.
_running: "weakref.WeakSet[Follower]" = weakref.WeakSet()


@atexit.register
def _stop_all() -> None:
    # The leases would outlive the process, and those who revoke would wait for them.
    for follower in list(_running):
        follower.stop()


def _in_turns(entries: Sequence[Any]) -> Iterator[Any]:
    """The entries, with pauses in which other threads run."""
    for number, entry in enumerate(entries, 1):
        if number % _APPLIED_AT_ONCE == 0:
            time.sleep(_TURN_SECONDS)
        yield entry


def _nothing() -> None:
    pass
