"""RedisDenylist: the deny-list in Redis, asked with one MGET and changed with one script."""

import secrets
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from revocation.denylist import (
    AHEAD,
    MAX_REVOKED_KEYS,
    UNCONDITIONAL,
    Change,
    Lifetimes,
    Page,
    Receipt,
    Revocation,
    checked_cutoffs,
    checked_note,
)
from revocation.errors import ConflictError
from revocation.handles import Handle, Kind
from revocation.redis.epochs import Epochs
from revocation.redis.follower import Follower
from revocation.redis.leases import Audience, Leases
from revocation.redis.ledger import Ledger
from revocation.redis.link import Link
from revocation.redis.protocol import (
    HANDLES_PER_CALL,
    Head,
    Namespace,
    about_revocation,
    about_undo,
    cutoff_text_in,
    expiry_argument,
)
from revocation.redis.script import Script

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
    ) -> None:
        self._lifetimes = lifetimes or Lifetimes()
        self.namespace = Namespace(namespace)
        self.link = Link(client, slot_key=self.namespace.prefix, min_replicas=min_replicas)
        self.leases = Leases(self.link, self.namespace)
        self.epochs = Epochs(
            self.link, self.namespace, self.leases, lifetimes=self._lifetimes, allow_eviction=allow_eviction
        )
        self._ledger = Ledger(self.link, self.namespace, self.epochs)
        self._wait_seconds = wait_seconds
        self._revoke = Script(self.link, "revoke")
        self._undo = Script(self.link, "undo")
        self._mint = Script(self.link, "mint")

    @property
    def lifetimes(self) -> Lifetimes:
        """How long entries live."""
        return self._lifetimes

    def key(self, name: str) -> str:
        """A key of this namespace, for state of the caller's own that scripts judge by the same entries."""
        return self.namespace.key(name)

    # Asking

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off in force for any of the handles, from one MGET."""
        return self.latest_cutoffs([handles])[0]

    def latest_cutoffs(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """The same for several tokens or sessions, still from one MGET."""
        return self.ask(many)[1]

    def ask(self, many: Sequence[Sequence[Handle]]) -> tuple[Head, list[float]]:
        """The head, and the latest cut-off of each of several tokens or sessions, from one MGET."""
        self.epochs.inspect()
        names = [handle.name for handles in many for handle in handles]
        texts = iter(self.link.call(lambda client: self._read(client, [self.namespace.head, *map(self.key, names)])))
        head = self.epochs.accept(Head.parse(next(texts)))
        everything = float(head.everything_ms)
        cutoffs = [
            max([everything, *(self._cutoff(head, handle, next(texts)) for handle in handles)]) for handles in many
        ]
        return head, cutoffs

    def _read(self, client: "redis.Redis", keys: list[str]) -> list[bytes | None]:
        if not self.link.min_replicas:
            return cast("list[bytes | None]", client.mget(keys))
        pipeline = client.pipeline(transaction=False)
        pipeline.mget(keys)
        pipeline.set(self.namespace.probe, 1)
        self.link.add_wait(pipeline)
        values, _, reached = pipeline.execute()
        self.link.require_replicas(reached)
        return cast("list[bytes | None]", values)

    @staticmethod
    def _cutoff(head: Head, handle: Handle, entry: bytes | None) -> float:
        """What is in force for one handle; what cannot be read is unconditional."""
        if entry is None:
            return UNCONDITIONAL if handle.name in head.keys else float(head.everything_ms)
        in_force = cutoff_text_in(entry)
        return UNCONDITIONAL if in_force == b"*" else max(float(in_force), float(head.everything_ms))

    def head(self) -> Head:
        """The head as it stands. Raises DenylistEmptyError where the deny-list was never opened, or lost its data."""
        return self.epochs.head()

    def follow(self, *, shortest_seconds: float, longest_seconds: float) -> Follower:
        """A follower for a process that decides with bounds from the shortest to the longest."""
        return Follower(self, shortest_seconds=shortest_seconds, longest_seconds=longest_seconds)

    # Changing

    def open(self, *, accept_existing: bool = False, new_epoch: bool = False) -> tuple[Head, bool]:
        """Open the deny-list: see Epochs.open. Returns the head in force, and whether this call opened it."""
        return self.epochs.open(accept_existing=accept_existing, new_epoch=new_epoch)

    def now_ms(self) -> int:
        """The time of Redis for a token that is minted now; an error while nothing may be minted."""
        _, answer = self._mint(keys=[self.namespace.head], args=[self._lifetimes.max_token_seconds])
        return int(answer[0])

    def revoke(
        self,
        handle: Handle,
        *,
        reason: str = "",
        actor: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Take back everything under the handle: issued before now, or before the instant given.

        The receipt is `enforced` when every follower that lives has confirmed the revocation, or asks Redis by now.
        Raises ValueError for a cut-off on a kind that has none or later than now by Redis' clock, and for a reason or
        actor that is too long or holds control characters; ConflictError where too many keys are revoked.
        """
        return self.revoke_many(
            [handle], reason=reason, actor=actor, issued_before_ms=issued_before_ms, wait_seconds=wait_seconds
        )

    def revoke_many(
        self,
        handles: Sequence[Handle],
        *,
        reason: str = "",
        actor: str = "",
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Revoke several handles; each batch of 256 is one step, and all are written when it returns."""
        checked_cutoffs(handles, issued_before_ms)
        return self._revoke_all(
            handles,
            actor=checked_note(actor),
            reason=checked_note(reason),
            issued_before_ms=issued_before_ms,
            wait_seconds=wait_seconds,
        )

    def end(self, handle: Handle, *, record: str, reason: str = "", actor: str = "") -> Receipt:
        """Revoke a session, and delete its record (a key of this namespace, by its name) in the same step."""
        return self._revoke_all([handle], actor=checked_note(actor), reason=checked_note(reason), record=record)

    def _revoke_all(
        self,
        handles: Sequence[Handle],
        *,
        actor: str,
        reason: str,
        issued_before_ms: int | None = None,
        wait_seconds: float | None = None,
        record: str | None = None,
    ) -> Receipt:
        started = time.monotonic()
        self.epochs.inspect()
        revocations: list[Revocation] = []
        for first in range(0, len(handles), HANDLES_PER_CALL):
            batch = handles[first : first + HANDLES_PER_CALL]
            written, audience = self._revoke_batch(
                batch, actor=actor, reason=reason, issued_before_ms=issued_before_ms, record=record
            )
            revocations += written
        if not revocations:
            elapsed = time.monotonic() - started
            return Receipt((), enforced=True, followers_confirmed=0, followers_total=0, elapsed_seconds=elapsed)
        confirmation = self.leases.await_confirmation(
            revocations[-1], audience, seconds=self._wait_seconds if wait_seconds is None else wait_seconds
        )
        return Receipt(
            tuple(revocations),
            enforced=confirmation.enforced,
            followers_confirmed=confirmation.confirmed,
            followers_total=confirmation.total,
            elapsed_seconds=time.monotonic() - started,
        )

    def _revoke_batch(
        self, handles: Sequence[Handle], *, actor: str, reason: str, issued_before_ms: int | None, record: str | None
    ) -> tuple[list[Revocation], Audience]:
        args: list[str | int] = [secrets.token_hex(4), self._lifetimes.max_token_seconds, self._lifetimes.horizon_ms]
        for handle in handles:
            cutoff = "*" if handle.unconditional else "now" if issued_before_ms is None else str(issued_before_ms)
            about = about_revocation(handle, actor=actor, reason=reason)
            args += [handle.name, cutoff, expiry_argument(handle, self._lifetimes), about]
        keys = [*self.namespace.written, self.namespace.followers, *map(self.namespace.entry, handles)]
        if record is not None:
            keys.append(self.key(record))
        word, answer = self._revoke(keys=keys, args=args)
        if word == "full":
            raise ConflictError(
                f"{MAX_REVOKED_KEYS} keys are revoked already. Undo those whose last token has expired first."
            )
        if word == "ahead":
            raise ValueError(AHEAD)
        now, birth, followers, *written = answer
        revocations = [
            Revocation(
                id_.decode(),
                handle,
                None if cutoff_text == b"*" else int(cutoff_text),
                None if expiry == b"never" else int(expiry),
                created_at_ms=int(now),
                reason=reason,
                actor=actor,
            )
            for handle, id_, cutoff_text, expiry in zip(handles, *(written[i::3] for i in range(3)), strict=True)
            if id_
        ]
        return revocations, Audience(tuple(sorted(id_.decode() for id_ in followers)), int(birth))

    def undo(self, revocation_id: str, *, reason: str = "", actor: str = "") -> bool:
        """Take back exactly this revocation; False where it is unknown, expired or undone already.

        Raises ConflictError where it was merged with others and can no longer be told apart.
        """
        about = about_undo(revocation_id, actor=checked_note(actor), reason=checked_note(reason))
        revocation = self._ledger.recorded(revocation_id)
        if revocation is None:
            # The head raises where Redis has lost its data: what it lost was not undone.
            self.head()
            return False
        name = revocation.handle.name
        word, answer = self._undo(
            keys=[*self.namespace.written, self.key(name)],
            args=[
                secrets.token_hex(4),
                self._lifetimes.max_token_seconds,
                self._lifetimes.horizon_ms,
                revocation_id,
                name,
                about,
            ],
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

    def of_handle(self, handle: Handle) -> tuple[Revocation, ...]:
        """The live revocations of exactly this handle, oldest first; those that were merged are not told apart."""
        return self._ledger.of_handle(handle)

    def page(self, *, kind: Kind | None = None, cursor: str | None = None, limit: int = 50) -> Page:
        """Live revocations, newest first; those that outlive the log follow, the longest-lived first.

        Raises ValueError for a cursor that did not come from a page.
        """
        return self._ledger.page(kind=kind, cursor=cursor, limit=limit)

    def changes(self, *, after: str | None = None, limit: int = 100) -> tuple[tuple[Change, ...], str]:
        """What the log says after a cursor, oldest first, and the cursor for the next question."""
        return self._ledger.changes(after=after, limit=limit)
