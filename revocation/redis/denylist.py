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
    takes_no_cutoff,
)
from revocation.errors import ConfigurationError, ConflictError
from revocation.handle_kinds import ClaimHandle, HandleKinds, checked_words, undeclared
from revocation.handles import KINDS, UNCONDITIONAL_KINDS, Handle, Kind
from revocation.redis.epochs import Epochs
from revocation.redis.exchange import Command
from revocation.redis.follower import Follower
from revocation.redis.head import EVERY_KIND, Head, opens_later, told_text
from revocation.redis.leases import Confirmation, Leases, Written
from revocation.redis.ledger import Ledger, Standing
from revocation.redis.link import Link
from revocation.redis.protocol import CLOCKS_DIFFER_MS, HANDLES_PER_CALL, Namespace, cutoff_in, mark_of
from revocation.redis.records import about_revocation, about_undo
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

    `handles` are the claims of one's own by which tokens are revoked, such as `{"org": "org_id"}`: the guard looks for
    them, and a process that is not told of a kind that the head declares gets no answer. `decides=False` is for a
    process that only administers: it is content with whatever the head declares, and no guard takes it.
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
        handles: "Mapping[str, str | tuple[str, ...] | ClaimHandle] | HandleKinds | None" = None,
        decides: bool = True,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._told = handles if isinstance(handles, HandleKinds) else HandleKinds(handles)
        self._decides = decides
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
        told = told_text(self._told.words) if decides else EVERY_KIND
        self.caller = Caller(self.link, probe=self.namespace.probe, claimed=claimed, told=told, clock=clock)
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

    @property
    def handle_kinds(self) -> HandleKinds | None:
        """The kinds of handles that a guard looks for in tokens; None where this process decides about none."""
        return self._told if self._decides else None

    def kinds(self) -> tuple[Kind, ...]:
        """The kinds by which can be revoked now: the built-in ones, and those that the head declares."""
        return (*KINDS, *(word.removesuffix("*") for word in self.head().kinds))

    def is_unconditional(self, kind: Kind) -> bool:
        """Whether revoking a handle of this kind takes back everything under it. ValueError for one not declared."""
        if kind in KINDS:
            return kind in UNCONDITIONAL_KINDS
        declared = self.head().kinds
        if kind not in declared and f"{kind}*" not in declared:
            raise undeclared(kind, declared)
        return kind not in declared

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
            raise opens_later(head.everything_ms)
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
        declare: Iterable[str] = (),
        withdraw: Iterable[Kind] = (),
    ) -> tuple[Head, bool]:
        """Open the deny-list: see Epochs.open. Returns the head in force, and whether this call opened it.

        The longest bound is by default that of this process's guards, and 1.0 s where it has none. A first epoch
        declares the kinds of handles that this process was told of; an open deny-list takes those in `declare` (such as
        `org`, or `device*` for an unconditional one), and from then on every process that was not told of one of them
        answers nothing. `withdraw` takes kinds away by which nothing is revoked. Raises ConfigurationError where
        something is.
        """
        words = checked_words(declare)
        for word in words if self._decides else ():
            if word not in self._told.words:
                raise ConfigurationError(
                    f"this process was not told of handles of the kind {word!r}, and would answer nothing once it is "
                    "declared: tell it first",
                    settings=["handles"],
                )
        withdrawn, as_of = self._withdrawable(tuple(withdraw))
        own_seconds = max(1.0, self.leases.longest_bound_ms / 1000)
        return self.epochs.open(
            accept_existing=accept_existing,
            new_epoch=new_epoch,
            longest_bound_seconds=own_seconds if longest_bound_seconds is None else longest_bound_seconds,
            replicas=replicas,
            told=self._told.words,
            declare=words,
            withdraw=withdrawn,
            withdrawn_as_of=as_of,
        )

    def _withdrawable(self, asked: Sequence[str]) -> tuple[list[str], str]:
        """The words of kinds by which nothing is revoked, and the end of the log up to which that is so."""
        if not asked:
            return [], ""
        kinds = [word.removesuffix("*") for word in asked]
        names, head = self._ledger.standing_by(kinds)
        for word in asked:
            if word not in head.kinds and f"{word}*" not in head.kinds:
                raise ConfigurationError(
                    f"there is no kind {word!r} to withdraw: the deny-list declares {', '.join(head.kinds) or 'none'}"
                )
        if names:
            listed = " or ".join(f"`revocation list --kind {kind}`" for kind in kinds)
            raise ConfigurationError(
                f"{len(names)} handles of the kind {' or '.join(kinds)} are revoked ({listed}): undo it, or wait until "
                "it has expired, before the kind is withdrawn"
            )
        return [word for word in head.kinds if word.removesuffix("*") in kinds], head.end

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
        if len(handles) > HANDLES_PER_CALL:
            # The script checks each batch, and the ones before it would be written by then.
            for kind in {handle.kind for handle in handles}.difference(KINDS):
                if self.is_unconditional(kind) and issued_before_ms is not None:
                    raise takes_no_cutoff(kind)
        self.signing_keys.protect(handles)
        return self._revoke_all(
            handles,
            note=Note(actor, reason, address, action, batch).checked(),
            issued_before_ms=issued_before_ms,
            wait_seconds=wait_seconds,
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
        """Revoke sessions, and delete their records (keys of this namespace, by their names) in the same step.

        Each entry ends with the last access token that its record's field `exp` names. Sorted sets of this namespace
        lose the values as well.
        """
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
            cutoff = _asked_cutoff(handle.kind, issued_before_ms)
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
        if word != "ok":
            raise self._not_revoked(word, *(detail.decode() for detail in answer))
        now, reign, birth, run, replid, followers, position, *written = answer
        if reign:
            self.caller.server = (run.decode(), replid.decode())
        revocations = [
            Revocation.noted(
                id_.decode(),
                handle,
                issued_before_ms=None if cutoff_text == b"*" else int(cutoff_text),
                expires_at_ms=None if expiry == b"never" else int(expiry),
                created_at_ms=int(now),
                note=note,
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

    def _not_revoked(self, word: str, kind: Kind = "") -> Exception:
        """The error of a revocation that the script did not write, by its word and the kind of handle that it names."""
        match word:
            case "full":
                return ConflictError(
                    f"{MAX_REVOKED_KEYS} keys are revoked already. Undo those that no token names any more."
                )
            case "ahead":
                return ValueError(AHEAD)
            case "unconditional":
                return takes_no_cutoff(kind)
            case _:
                return undeclared(kind, self.head().kinds)

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


def _asked_cutoff(kind: Kind, issued_before_ms: int | None) -> str:
    """The cut-off that is asked of the script: of a kind of one's own the head knows whether it has one."""
    if kind in UNCONDITIONAL_KINDS:
        return "*"
    cutoff = "now" if issued_before_ms is None else str(issued_before_ms)
    return cutoff if kind in KINDS else f"own {cutoff}"
