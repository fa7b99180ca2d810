"""RedisDenylist: the deny-list in Redis, asked with one MGET and changed with one script."""

import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from revocation.denylist import (
    AHEAD,
    MAX_REVOKED_KEYS,
    UNCONDITIONAL,
    Change,
    Lifetimes,
    Note,
    Page,
    Receipt,
    Revocation,
    checked_cutoffs,
)
from revocation.errors import ConflictError, DenylistUnavailableError
from revocation.handles import Handle, Kind
from revocation.redis.epochs import Epochs
from revocation.redis.exchange import Command
from revocation.redis.follower import Follower
from revocation.redis.leases import Confirmation, Leases, Written
from revocation.redis.ledger import Ledger, Standing
from revocation.redis.link import Link
from revocation.redis.protocol import (
    CLOCKS_DIFFER_MS,
    HANDLES_PER_CALL,
    Head,
    Namespace,
    about_revocation,
    about_undo,
    cutoff_in,
    mark_of,
)
from revocation.redis.script import Caller, Script
from revocation.redis.signing import SigningKeys

if TYPE_CHECKING:
    import redis

    from revocation.redis.cluster import ClusterSlot


class RedisDenylist:
    """The deny-list of one namespace in Redis.

    The constructor asks nothing. The first use checks the server's eviction policy: a Redis that evicts forgets
    revocations, and is refused unless `allow_eviction`. A revocation waits `wait_seconds` by default until the
    followers have confirmed it. With `min_replicas` nothing counts as written, and no answer of Redis counts, unless
    so many replicas are with it: an isolated old primary answers for as long as it is cut off, and would accept what
    was revoked elsewhere.

    `lifetimes` are what this process accepts, and its wish where it opens the deny-list: the head of an open one says
    how long entries live, and a process that accepts tokens for longer gets no answer. `own_token_seconds` is for a
    process that takes the longest token life from the head, whatever it wishes: the longest life of the tokens that it
    mints itself (0: it mints none, which is so where no `lifetimes` are given). `own_session_seconds` is the longest
    life of sessions whose refresh tokens this process judges by the same entries (0: there are none).
    """

    def __init__(
        self,
        client: "redis.Redis | ClusterSlot",
        *,
        namespace: str = "denylist",
        lifetimes: Lifetimes | None = None,
        allow_eviction: bool = False,
        wait_seconds: float = 0.0,
        min_replicas: int = 0,
        own_token_seconds: int | None = None,
        own_session_seconds: int = 0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._lifetimes = lifetimes or Lifetimes()
        self.namespace = Namespace(namespace)
        self.link = Link(client, slot_key=self.namespace.prefix, min_replicas=min_replicas)
        if lifetimes is None and own_token_seconds is None:
            own_token_seconds = 0
        self._follows_head = own_token_seconds is not None
        claimed = replace(
            self._lifetimes,
            max_token_seconds=self._lifetimes.max_token_seconds if own_token_seconds is None else own_token_seconds,
            session_seconds=own_session_seconds,
        )
        self.caller = Caller(self.link, claimed=claimed, clock=clock)
        self.leases = Leases(self.caller, self.namespace)
        self.epochs = Epochs(
            self.caller, self.namespace, self.leases, wished=self._lifetimes, allow_eviction=allow_eviction
        )
        self._ledger = Ledger(self.link, self.namespace, self.epochs)
        #: Announced by whoever signs; a key that signs cannot be revoked.
        self.signing_keys = SigningKeys(self.link, self.namespace, clock=clock)
        self._wait_seconds = wait_seconds
        self._followers: weakref.WeakSet[Follower] = weakref.WeakSet()
        #: The cut-off of everything, as the last head that this process read says it; None before the first.
        self._everything_ms: int | None = None
        self._revoke = self.script("revoke")
        self._undo = self.script("undo")
        self._mint = self.script("mint")

    @property
    def lifetimes(self) -> Lifetimes:
        """How long entries live, as far as this process knows: the last head that it read may say it."""
        life = self.epochs.max_token_seconds if self._follows_head else None
        if life is not None and life != self._lifetimes.max_token_seconds:
            self._lifetimes = replace(self._lifetimes, max_token_seconds=life)
        return self._lifetimes

    def key(self, name: str) -> str:
        """A key of this namespace, for state of the caller's own that scripts judge by the same entries."""
        return self.namespace.key(name)

    def script(self, name: str, *, package: str = "revocation.redis") -> Script:
        """A packaged script that knows this deny-list's limits and clock (see lua/prelude.lua)."""
        return Script(self.caller, name, package=package)

    # Asking

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off in force for any of the handles, from one MGET."""
        return self.latest_cutoffs([handles])[0]

    def latest_cutoffs(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """The same for several tokens or sessions, still from one MGET."""
        return self.ask(many)[1]

    def ask(self, many: Sequence[Sequence[Handle]]) -> tuple[Head, list[float]]:
        """The head, and the latest cut-off of each of several tokens or sessions, from one round trip.

        A cut-off of everything that Redis' clock has not passed yet raises DenylistUnavailableError, unless that
        cut-off refuses everything asked about: nothing is accepted meanwhile.
        """
        self.epochs.inspect()
        keys = [self.namespace.head, *(self.namespace.entry(handle) for handles in many for handle in handles)]
        known = self._everything_ms
        # A token that claims to be newer than the cut-off is not accepted before the cut-off has passed.
        texts, now_ms = self._read(keys, with_time=self._may_be_early(known))
        head = self.epochs.read(texts[0])
        if now_ms is None and head.everything_ms != known and self._may_be_early(head.everything_ms):
            texts, now_ms = self._read(keys, with_time=True)
            head = self.epochs.read(texts[0])
        self._everything_ms = head.everything_ms
        if now_ms is not None and now_ms <= head.everything_ms:
            raise DenylistUnavailableError(f"The deny-list opens when Redis' clock has passed {head.everything_ms} ms.")
        entries = iter(texts[1:])
        cutoffs = []
        for handles in many:
            in_force = [cutoff_in(entry) for entry in islice(entries, len(handles)) if entry is not None]
            cutoffs.append(max([float(head.everything_ms), *in_force]))
        return head, cutoffs

    def _may_be_early(self, everything_ms: int | None) -> bool:
        """Whether the cut-off of everything may lie ahead of Redis' clock, as far as this process' clock tells."""
        leeway_ms = max(CLOCKS_DIFFER_MS, self._lifetimes.leeway_seconds * 1000)
        return everything_ms is None or self.caller.now_ms <= everything_ms + leeway_ms

    def _read(self, keys: list[str], *, with_time: bool) -> tuple[list[bytes | None], int | None]:
        commands: list[Command] = [("MGET", *keys)]
        if with_time:
            commands.append(("TIME",))
        texts, *time_of = self.link.call(lambda client: self.link.vouched(client, commands, probe=self.namespace.probe))
        if not with_time:
            return texts, None
        seconds, microseconds = time_of[0]
        return texts, int(seconds) * 1000 + int(microseconds) // 1000

    def head(self) -> Head:
        """The head as it stands. Raises DenylistEmptyError where the deny-list was never opened, or lost its data."""
        return self.epochs.head()

    def follow(self, *, shortest_seconds: float, longest_seconds: float) -> Follower:
        """A follower for a process that decides with bounds from the shortest to the longest."""
        return Follower(self, shortest_seconds=shortest_seconds, longest_seconds=longest_seconds)

    def attach(self, follower: Follower) -> None:
        """Let a follower know at once what this process revokes; every follower of this deny-list does it itself."""
        self._followers.add(follower)

    # Changing

    def open(
        self,
        *,
        accept_existing: bool = False,
        new_epoch: bool = False,
        longest_bound_seconds: float | None = None,
        replicas: int | None = None,
    ) -> tuple[Head, bool]:
        """Open the deny-list: see Epochs.open. Returns the head in force, and whether this call opened it.

        The longest bound is by default that of this process's guards, and 1.0 s where it has none.
        """
        own_seconds = max(1.0, self.leases.longest_bound_ms / 1000)
        return self.epochs.open(
            accept_existing=accept_existing,
            new_epoch=new_epoch,
            longest_bound_seconds=own_seconds if longest_bound_seconds is None else longest_bound_seconds,
            replicas=replicas,
        )

    def now_ms(self) -> int:
        """The `iat` of a token that is minted now, in milliseconds; an error while nothing may be minted.

        It is the time of Redis, and never before an `iat` or a cut-off that was handed out already.
        """
        _, answer = self._mint(keys=[self.namespace.head, self.namespace.clock], args=[])
        return int(answer[0])

    def revoke(
        self,
        handle: Handle,
        *,
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Take back everything under the handle: issued before now, or before the instant given.

        The receipt is `enforced` when every follower that lives has confirmed the revocation, or asks Redis by now.
        Raises ValueError for a cut-off on a kind that has none or later than now by Redis' clock, and for a text that
        is too long or holds control characters; SigningKeyError for a key that signs, as its issuer announces;
        ConflictError where too many keys are revoked.
        """
        return self.revoke_many(
            [handle],
            reason=reason,
            actor=actor,
            address=address,
            action=action,
            issued_before_ms=issued_before_ms,
            wait_seconds=wait_seconds,
        )

    def revoke_many(
        self,
        handles: Sequence[Handle],
        *,
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
        batch: str = "",
    ) -> Receipt:
        """Revoke several handles; each 256 are one step, and all are written when it returns.

        Several calls with one `batch`, which is random, count as having revoked together (see `Revocation.batch`).
        """
        checked_cutoffs(handles, issued_before_ms)
        self.signing_keys.protect(handles)
        return self._revoke_all(
            handles,
            note=Note(actor, reason, address, action, batch).checked(),
            issued_before_ms=issued_before_ms,
            wait_seconds=wait_seconds,
        )

    def end(
        self,
        handle: Handle,
        *,
        record: str,
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Revoke a session, and delete its record (a key of this namespace, by its name) in the same step.

        The entry ends with the last access token that the record's field `exp` names.
        """
        return self.end_many(
            {handle: record}, reason=reason, actor=actor, address=address, action=action, wait_seconds=wait_seconds
        )

    def end_many(
        self,
        records: Mapping[Handle, str],
        *,
        indexes: Sequence[str] = (),
        reason: str = "",
        actor: str = "",
        address: str = "",
        action: str = "",
        wait_seconds: float | None = None,
    ) -> Receipt:
        """End several sessions by their records; sorted sets of this namespace lose their values as well."""
        return self._revoke_all(
            list(records),
            note=Note(actor, reason, address, action).checked(),
            wait_seconds=wait_seconds,
            records=records,
            indexes=indexes,
        )

    def _revoke_all(
        self,
        handles: Sequence[Handle],
        *,
        note: Note,
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
        records: Mapping[Handle, str] | None = None,
        indexes: Sequence[str] = (),
    ) -> Receipt:
        started = time.monotonic()
        if len(handles) > 1 and not note.batch:
            note = replace(note, batch=secrets.token_hex(8))
        self.epochs.inspect()
        revocations: list[Revocation] = []
        confirmations: list[Confirmation] = []
        seconds = self._wait_seconds if wait_seconds is None else wait_seconds
        writes: list[Written] = []
        is_new = False
        for first in range(0, len(handles), HANDLES_PER_CALL):
            batch = handles[first : first + HANDLES_PER_CALL]
            standing, written, has_new = self._revoke_batch(
                batch, note=note, issued_before_ms=issued_before_ms, records=records, indexes=indexes
            )
            revocations += standing
            writes.append(written)
            is_new = is_new or has_new
        # Each batch is confirmed by its own position: a failover in between may have lost the earlier ones.
        for written in writes if revocations else ():
            left = max(0.0, seconds - (time.monotonic() - started))
            confirmations.append(self.leases.await_confirmation(written, seconds=left, is_latest=written is writes[-1]))
        elapsed = time.monotonic() - started
        if not confirmations:
            return Receipt(
                (), enforced=True, followers_confirmed=0, followers_total=0, elapsed_seconds=elapsed, written=False
            )
        slowest = min(confirmations, key=lambda confirmation: confirmation.confirmed - confirmation.total)
        return Receipt(
            tuple(revocations),
            enforced=all(confirmation.enforced for confirmation in confirmations),
            followers_confirmed=slowest.confirmed,
            followers_total=slowest.total,
            elapsed_seconds=elapsed,
            obstacle=next((confirmation.obstacle for confirmation in confirmations if confirmation.obstacle), ""),
            written=is_new,
        )

    def _revoke_batch(
        self,
        handles: Sequence[Handle],
        *,
        note: Note,
        issued_before_ms: int | None,
        records: Mapping[Handle, str] | None,
        indexes: Sequence[str],
    ) -> tuple[list[Revocation], Written, bool]:
        args: list[str | int] = [secrets.token_hex(4), *self.caller.server, len(handles)]
        mark = mark_of(actor=note.actor, reason=note.reason)
        for handle in handles:
            cutoff = "*" if handle.unconditional else "now" if issued_before_ms is None else str(issued_before_ms)
            end = "" if handle.expires_at is None else str(handle.expires_at)
            if records is not None:
                end = f"record {handle.value}"
            about = about_revocation(handle, note)
            args += [handle.name, handle.kind, cutoff, end, mark, about]
        keys = [*self.namespace.written, self.namespace.followers, *map(self.namespace.entry, handles)]
        if records is not None:
            keys += [self.key(records[handle]) for handle in handles]
            keys += map(self.key, indexes)
        word, answer = self._revoke(keys=keys, args=args)
        if word == "full":
            raise ConflictError(
                f"{MAX_REVOKED_KEYS} keys are revoked already. Undo those that no token names any more."
            )
        if word == "ahead":
            raise ValueError(AHEAD)
        now, reign, birth, run, replid, followers, position, *written = answer
        if reign:
            self.caller.server = (run.decode(), replid.decode())
        revocations = [
            Revocation(
                id_.decode(),
                handle,
                None if cutoff_text == b"*" else int(cutoff_text),
                None if expiry == b"never" else int(expiry),
                created_at_ms=int(now),
                reason=note.reason,
                actor=note.actor,
                address=note.address,
                action=note.action,
                batch=note.batch,
            )
            for handle, id_, cutoff_text, expiry in zip(handles, *(written[i::4] for i in range(3)), strict=True)
            if id_
        ]
        for follower in self._followers:
            for revocation in revocations:
                cutoff_ms = revocation.issued_before_ms
                follower.note(
                    revocation.handle.name, UNCONDITIONAL if cutoff_ms is None else float(cutoff_ms), position.decode()
                )
        last = Written(
            position=position.decode(),
            at_ms=int(now),
            followers=tuple(sorted(id_.decode() for id_ in followers)),
            birth_ms=int(birth),
            reign_ms=int(reign) if reign else None,
        )
        return revocations, last, any(map(int, written[3::4]))

    def undo(
        self, revocation_id: str, *, reason: str = "", actor: str = "", address: str = "", action: str = ""
    ) -> bool:
        """Take back exactly this revocation; False where it is unknown, expired or undone already.

        Raises ConflictError where it was merged with others and can no longer be told apart.
        """
        about = about_undo(revocation_id, Note(actor, reason, address, action).checked())
        revocation = self._ledger.recorded(revocation_id)
        if revocation is None:
            # The head raises where Redis has lost its data: what it lost was not undone.
            self.head()
            return False
        name = revocation.handle.name
        word, answer = self._undo(
            keys=[*self.namespace.written, self.key(name)], args=[secrets.token_hex(4), revocation_id, name, about]
        )
        if word == "merged":
            raise ConflictError(
                "Too many revocations were added to the same entry since; this one was merged with others and cannot "
                "be undone on its own."
            )
        return int(answer[0]) == 1

    # Reading

    def find(self, revocation_id: str) -> Revocation | None:
        """The live revocation with this id; None where it is unknown, expired or undone."""
        return self._ledger.find(revocation_id)

    def find_with_others(self, revocation_id: str) -> tuple[Revocation, tuple[Revocation, ...]] | None:
        """The same, and with it every live revocation of its handle; see `standing`."""
        return self._ledger.find_with_others(revocation_id)

    def of_handle(self, handle: Handle) -> tuple[Revocation, ...]:
        """The live revocations of exactly this handle, oldest first; those that were merged are not told apart."""
        return self.standing([handle]).of(handle)

    def standing(self, handles: Iterable[Handle]) -> Standing:
        """The time of Redis, and the cut-offs and revocations of all the handles, from two round trips at the most."""
        return self._ledger.standing(handles)

    def page(
        self,
        *,
        kind: Kind | None = None,
        matching: Callable[[Revocation], bool] = lambda _: True,
        fold: bool = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> Page:
        """Live revocations, newest first; those that outlive the log follow, the longest-lived first.

        With `fold` the first of a batch stands for those of it that follow on the page. A page may be short, and even
        empty, and not be the last. Raises ValueError for a cursor that did not come from a page.
        """
        return self._ledger.page(kind=kind, matching=matching, fold=fold, cursor=cursor, limit=limit)

    def changes(self, *, after: str | None = None, limit: int = 100) -> tuple[tuple[Change, ...], str]:
        """What the log says after a cursor, oldest first, and the cursor for the next question."""
        return self._ledger.changes(after=after, limit=limit)

    def read_lines(self, lines: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> tuple[Change, ...]:
        """What lines of the log say that the caller has kept, each with its id and its fields."""
        return self._ledger.read_lines(lines)
