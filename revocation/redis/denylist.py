"""RedisDenylist: the deny-list in Redis, asked with one MGET and changed with one script.

The key schema is written on top of lua/prelude.lua.
"""

import json
import logging
import re
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, cast

import redis

from revocation.claims import Handle, Kind
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
from revocation.errors import ConfigurationError, ConflictError, DenylistUnavailableError
from revocation.redis.cluster import ClusterSlot
from revocation.redis.leases import Audience, Leases
from revocation.redis.link import Link, majority, other_lifetime
from revocation.redis.protocol import CHANGE, Head, order

_log = logging.getLogger(__name__)

#: Handles written by one script call; a longer one would keep others waiting.
_HANDLES_PER_CALL = 256

#: Log entries read at a time, and at most, for one page of the live list.
_READ_AT_ONCE = 500
_READ_AT_MOST = 10_000

#: What stands in `lasting` for a revocation that was undone.
_UNDONE = b"-"

_TO_JSON = json.JSONEncoder(separators=(",", ":")).encode

_ENTRY = re.compile(rb"(\*|\d+)(?: \+?\d+-\d+-[0-9a-z]+=(?:\*|\d+))+")
_ID = re.compile(r"(\d{1,20}-\d{1,20})-([0-9a-f]{8})")


class RedisDenylist:
    """The deny-list of one namespace in Redis.

    The constructor asks nothing. The first use checks the server's eviction policy: a Redis that evicts forgets
    revocations, and is refused unless `allow_eviction`. `wait_seconds` is
    how long a revocation waits by default until the followers have confirmed it. With `min_replicas` nothing counts
    as written, and no answer of Redis counts, unless so many replicas are with it: an isolated old primary answers for
    as long as it is cut off, and would accept what was revoked elsewhere.
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
        self._prefix = f"{{{namespace}}}:"
        self.link = Link(client, slot_key=self._prefix, min_replicas=min_replicas)
        self._head, self._log, self._lasting = self.key("head"), self.key("log"), self.key("lasting")
        self._written = [self._head, self._log, self._lasting, self.key("lasting:expiry")]
        self._allow_eviction = allow_eviction
        self._wait_seconds = wait_seconds
        self.leases = Leases(self.link, prefix=self._prefix)
        self._inspected = False
        self._revoke = self.link.script("revoke")
        self._undo = self.link.script("undo")
        self._mint = self.link.script("mint")
        self._init = self.link.script("init")

    @property
    def lifetimes(self) -> Lifetimes:
        """How long entries live."""
        return self._lifetimes

    def key(self, name: str) -> str:
        """A key of this namespace; all of them share one cluster slot."""
        return self._prefix + name

    # Asking

    def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off in force for any of the handles, from one MGET."""
        return self.latest_cutoffs([handles])[0]

    def latest_cutoffs(self, many: Sequence[Sequence[Handle]]) -> list[float]:
        """The same for several tokens or sessions, still from one MGET."""
        return self.ask(many)[1]

    def ask(self, many: Sequence[Sequence[Handle]]) -> tuple[Head, list[float]]:
        """The head, and the latest cut-off of each of several tokens or sessions, from one MGET."""
        self._inspect()
        names = [handle.name for handles in many for handle in handles]
        texts = iter(self.link.call(lambda client: self._read(client, [self._head, *map(self.key, names)])))
        head = self.accept(Head.parse(next(texts)))
        everything = float(head.everything_ms)
        cutoffs = [max([everything, *(self._cutoff(head, one, next(texts)) for one in handles)]) for handles in many]
        return head, cutoffs

    def _read(self, client: "redis.Redis", keys: list[str]) -> list[bytes | None]:
        if not self.link.min_replicas:
            return cast("list[bytes | None]", client.mget(keys))
        pipeline = client.pipeline(transaction=False)
        pipeline.mget(keys)
        pipeline.set(self.key("probe"), 1)
        self.link.add_wait(pipeline)
        values, _, reached = pipeline.execute()
        self.link.require_replicas(reached)
        return cast("list[bytes | None]", values)

    @staticmethod
    def _cutoff(head: Head, handle: Handle, entry: bytes | None) -> float:
        """What is in force for one handle; what cannot be read is unconditional."""
        if entry is None:
            return UNCONDITIONAL if handle.name in head.keys else float(head.everything_ms)
        parsed = _ENTRY.fullmatch(entry)
        if parsed is None or parsed[1] == b"*":
            return UNCONDITIONAL
        return max(float(parsed[1]), float(head.everything_ms))

    def head(self) -> Head:
        """The head as it stands. Raises DenylistEmptyError where the deny-list was never opened, or lost its data."""
        self._inspect()
        text = self.link.call(lambda client: client.get(self._head))
        return self.accept(Head.parse(cast("bytes | None", text)))

    def accept(self, head: Head) -> Head:
        """The head, if this process is set to the same longest token life; else DenylistUnavailableError."""
        if head.max_token_seconds != self._lifetimes.max_token_seconds:
            # A shorter lifetime here would let entries end before tokens that others accept.
            raise DenylistUnavailableError(other_lifetime(head.max_token_seconds))
        return head

    def _inspect(self) -> None:
        if self._inspected:
            return
        policy = self.link.call(_eviction_policy)
        if policy is None:
            _log.warning("The eviction policy of Redis cannot be read; make sure that maxmemory-policy is noeviction.")
        elif policy != "noeviction" and not self._allow_eviction:
            raise DenylistUnavailableError(
                f"Redis' maxmemory-policy is {policy}: it may forget revocations, which would let revoked tokens in "
                "again. Set it to noeviction, or REVOCATION_ALLOW_EVICTION=1 if you accept that."
            )
        self._inspected = True

    # Changing

    def open(self, *, accept_existing: bool = False, new_epoch: bool = False) -> tuple[Head, bool]:
        """Open the first epoch; nothing issued before it is accepted, unless `accept_existing`.

        Where one is open already nothing happens, unless `new_epoch`: then everything from before now is cut off,
        as it must be after a backup was restored. Returns the head in force, and whether this call opened it.
        Raises ConfigurationError where the deny-list was opened for another longest token life, and where the clocks
        of this host and of Redis are further apart than verifiers forgive. A new epoch may bring a new longest life,
        but not while processes follow with the old one: they would all refuse to answer.
        """
        self._inspect()
        self._require_one_time()
        self._require_majority()
        text = cast("bytes | None", self.link.call(lambda client: client.get(self._head)))
        standing = None if text is None else Head.parse(text)
        epoch = secrets.token_hex(8)
        if standing is None and accept_existing and self.leases.living():
            raise ConfigurationError(
                "Processes follow this deny-list already: its data was lost, and nobody knows what was revoked. Open "
                "it without --accept-existing."
            )
        if (
            standing is not None
            and standing.max_token_seconds != self._lifetimes.max_token_seconds
            and (not new_epoch or self.leases.living())
        ):
            raise ConfigurationError(
                f"{other_lifetime(standing.max_token_seconds)} To change it, stop them all, then open a new epoch."
            )
        if standing is None or new_epoch:
            # One second is what clocks may differ by: nothing that any host minted before this is later than that.
            cutoff = 0 if accept_existing else int(time.time() * 1000) + 1000
            _, answer = self._init(
                keys=[self._head, self._log],
                args=[standing.epoch if standing else "", epoch, cutoff, self._lifetimes.max_token_seconds],
            )
            text = bytes(answer[0]) or None
        head = Head.parse(text)
        try:
            self.accept(head)
        except DenylistUnavailableError as error:
            raise ConfigurationError(str(error)) from error
        return head, head.epoch == epoch

    def open_after_loss(self, *, seen: str, newest_ms: int, revoked_keys: Iterable[str]) -> Head:
        """Open a new epoch in place of the one that was seen ('' = none), unless somebody else has.

        Its cut-off is later than everything that the noticer (`newest_ms`: the latest log entry it read), its clock
        and Redis know of; the keys that it knows to be revoked stay so.
        """
        cutoff = max(int(time.time() * 1000), newest_ms) + 1000
        _, answer = self._init(
            keys=[self._head, self._log],
            args=[seen, secrets.token_hex(8), cutoff, self._lifetimes.max_token_seconds, *revoked_keys],
        )
        return self.accept(Head.parse(bytes(answer[0]) or None))

    def _require_majority(self) -> None:
        """Two groups of a partition must never both have enough replicas."""
        try:
            answer: Any = self.link.call(lambda client: client.info("replication"))
        except DenylistUnavailableError as error:
            if self.link.min_replicas or not isinstance(error.__cause__, redis.ResponseError):
                raise
            return
        replicas, least = int(answer.get("connected_slaves", 0)), self.link.min_replicas
        if least and replicas < least:
            raise DenylistUnavailableError(f"Redis has {replicas} replicas, and REVOCATION_MIN_REPLICAS is {least}.")
        if least and least < majority(replicas):
            raise ConfigurationError(
                f"REVOCATION_MIN_REPLICAS={least} is no majority of {replicas + 1} data nodes: set it to "
                f"{majority(replicas)}"
            )
        if replicas and not least:
            _log.warning(
                "Redis has %d replicas and REVOCATION_MIN_REPLICAS is 0: a failover may lose acknowledged revocations, "
                "and an isolated old primary goes on answering. Set it to %d.",
                replicas,
                majority(replicas),
            )

    def _require_one_time(self) -> None:
        seconds, microseconds = self.link.call(lambda client: client.time())
        ahead = time.time() - (seconds + microseconds / 1e6)
        # The cut-off of a first epoch allows for one second, whatever the leeway.
        allowed = max(1, self._lifetimes.leeway_seconds)
        if abs(ahead) > allowed:
            raise ConfigurationError(
                f"This host's clock is {ahead:+.1f} s from Redis' clock, further than {allowed} s: set both by NTP."
            )

    def now_ms(self) -> int:
        """The time of Redis for a token that is minted now; an error while nothing may be minted."""
        _, answer = self._mint(keys=[self._head], args=[self._lifetimes.max_token_seconds])
        return int(answer[0])

    def revoke(
        self,
        handle: Handle,
        *,
        reason: str = "",
        actor: str = "",
        issued_before_ms: int | None = None,
        deleting: Sequence[str] = (),
        wait_seconds: float | None = None,
    ) -> Receipt:
        """Take back everything under the handle: issued before now, or before the instant given.

        Acknowledged means written; the receipt says how many followers have confirmed it within `wait_seconds`, and
        whether it is enforced: every follower that lives has confirmed it, or asks Redis by now. `deleting` names keys
        of the caller's, in this namespace, that go in the same step. Raises ValueError for a cut-off on a kind that
        has none or later than now by Redis' clock, and for a reason or actor that is too long or holds control
        characters; ConflictError where too many keys are revoked.
        """
        return self._revoke_all(
            [handle],
            reason=reason,
            actor=actor,
            issued_before_ms=issued_before_ms,
            deleting=deleting,
            wait_seconds=wait_seconds,
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
        return self._revoke_all(
            handles, reason=reason, actor=actor, issued_before_ms=issued_before_ms, wait_seconds=wait_seconds
        )

    def _revoke_all(
        self,
        handles: Sequence[Handle],
        *,
        reason: str,
        actor: str,
        issued_before_ms: int | None,
        deleting: Sequence[str] = (),
        wait_seconds: float | None,
    ) -> Receipt:
        started = time.monotonic()
        checked_cutoffs(handles, issued_before_ms)
        noted = {"actor": checked_note(actor), "reason": checked_note(reason)}
        self._inspect()
        revocations: list[Revocation] = []
        for first in range(0, len(handles), _HANDLES_PER_CALL):
            batch = handles[first : first + _HANDLES_PER_CALL]
            written, audience = self._revoke_batch(
                batch, noted=noted, issued_before_ms=issued_before_ms, deleting=deleting
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
        self,
        handles: Sequence[Handle],
        *,
        noted: dict[str, str],
        issued_before_ms: int | None,
        deleting: Sequence[str],
    ) -> tuple[list[Revocation], Audience]:
        args: list[str | int] = [secrets.token_hex(4), self._lifetimes.max_token_seconds, self._lifetimes.horizon_ms]
        for handle in handles:
            about = _TO_JSON({"kind": handle.kind, "issuer": handle.issuer, "value": handle.value, **noted})
            cutoff = "*" if handle.unconditional else "now" if issued_before_ms is None else str(issued_before_ms)
            args += [handle.name, cutoff, self._expiry(handle), about]
        names = (handle.name for handle in handles)
        keys = [*self._written, self.leases.all, *map(self.key, names), *map(self.key, deleting)]
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
                reason=noted["reason"],
                actor=noted["actor"],
            )
            for handle, id_, cutoff_text, expiry in zip(handles, *(written[i::3] for i in range(3)), strict=True)
            if id_
        ]
        return revocations, Audience(tuple(sorted(id_.decode() for id_ in followers)), int(birth))

    def _expiry(self, handle: Handle) -> str:
        if handle.kind == "key":
            return "never"
        if handle.expires_at is not None:
            return f"={max(0, self._lifetimes.dead_at_ms(handle.expires_at))}"
        return f"+{self._lifetimes.entry_ms(handle.kind)}"

    def undo(self, revocation_id: str, *, reason: str = "", actor: str = "") -> bool:
        """Take back exactly this revocation; False where it is unknown, expired or undone already.

        Raises ConflictError where it was merged with others and can no longer be told apart.
        """
        about = {"revocation": revocation_id, "actor": checked_note(actor), "reason": checked_note(reason)}
        revocation = self._recorded(revocation_id)
        if revocation is None:
            # Unless everything is: what Redis has lost was not undone.
            self.head()
            return False
        name = revocation.handle.name
        word, answer = self._undo(
            keys=[*self._written, self.key(name)],
            args=[
                secrets.token_hex(4),
                self._lifetimes.max_token_seconds,
                self._lifetimes.horizon_ms,
                revocation_id,
                name,
                _TO_JSON(about),
            ],
        )
        if word == "merged":
            raise ConflictError(
                "Too many revocations were added to the same entry since; this one was merged with others and cannot "
                "be undone on its own."
            )
        return int(answer[0]) == 1

    # Listing

    def find(self, revocation_id: str) -> Revocation | None:
        """The live revocation with this id; None where it is unknown, expired or undone."""
        self.head()
        revocation = self._recorded(revocation_id)
        return next(iter(self._alive([revocation])), None) if revocation else None

    def of_handle(self, handle: Handle) -> tuple[Revocation, ...]:
        """The live revocations of exactly this handle, oldest first; those that were merged are not told apart."""
        self.head()
        entry = cast("bytes | None", self.link.call(lambda client: client.get(self.key(handle.name))))
        parts = (entry or b"").decode("ascii", "replace").split(" ")[1:]
        recorded = [self._recorded(part.partition("=")[0]) for part in parts if not part.startswith("+")]
        return tuple(one for one in recorded if one is not None)

    def page(self, *, kind: Kind | None = None, cursor: str | None = None, limit: int = 50) -> Page:
        """Live revocations, newest first; those that outlive the log follow, the longest-lived first.

        Raises ValueError for a cursor that did not come from a page.
        """
        # An empty Redis has lost its list, and that is no empty list.
        self.head()
        place, _, after = (cursor or "log:+").partition(":")
        if place == "log" and re.fullmatch(r"\+|[0-9]{1,19}-[0-9]{1,19}", after):
            return Page((), "lasting:0") if re.fullmatch("0+-0+", after) else self._page_of_log(kind, after, limit)
        if place == "lasting" and re.fullmatch(r"[0-9]{1,9}", after):
            return self._page_of_lasting(kind, int(after), limit)
        raise ValueError("this cursor did not come from a page")

    def changes(self, *, after: str | None = None, limit: int = 100) -> tuple[tuple[Change, ...], str]:
        """What the log says after a cursor, oldest first, and the cursor for the next question.

        Without a cursor: nothing yet, and the end of the log, from which to go on. Raises ValueError for a cursor that
        did not come from here.
        """
        head = self.head()
        if after is None:
            return (), head.last_id
        if not re.fullmatch(r"[0-9]{1,19}-[0-9]{1,19}", after):
            raise ValueError("this cursor did not come from a list of changes")
        entries: Any = self.link.call(lambda client: client.xrange(self._log, f"({after}", "+", count=limit))
        read = [self._change(entry_id, fields) for entry_id, fields in entries]
        cursor = entries[-1][0].decode() if entries else after
        return tuple(change for change in read if change is not None), cursor

    def _change(self, entry_id: bytes, fields: dict[bytes, bytes]) -> Change | None:
        """A log entry as somebody who watches sees it; None for what is not this version's."""
        made = _from_log(entry_id, fields)
        if made is not None:
            return Change(False, made, made.id, made.created_at_ms, made.actor, made.reason)
        change = CHANGE.fullmatch(fields.get(b"change", b"").decode("utf-8", "replace"))
        if change is None or change["op"] != "undo":
            return None
        try:
            about = json.loads(fields.get(b"about", b""))
            undone, actor, reason = about["revocation"], about["actor"], about["reason"]
        except (ValueError, KeyError, TypeError):
            return None
        return Change(True, self._recorded(undone), undone, order(entry_id.decode())[0], actor, reason)

    def _page_of_log(self, kind: Kind | None, after: str, limit: int) -> Page:
        found: list[Revocation] = []
        newest = after if after == "+" else f"({after}"
        for _ in range(0, _READ_AT_MOST, _READ_AT_ONCE):
            entries = self._log_before(newest)
            read = [_from_log(entry_id, fields) for entry_id, fields in entries]
            for one in self._alive([r for r in read if r is not None and kind in (None, r.handle.kind)]):
                found.append(one)
                if len(found) == limit:
                    return Page(tuple(found), f"log:{_stream_id(one.id)}")
            if len(entries) < _READ_AT_ONCE:
                return Page(tuple(found), "lasting:0")
            newest = f"({entries[-1][0].decode()}"
        return Page(tuple(found), f"log:{newest[1:]}")

    def _log_before(self, newest: str) -> list[tuple[bytes, dict[bytes, bytes]]]:
        entries: Any = self.link.call(lambda client: client.xrevrange(self._log, newest, "-", count=_READ_AT_ONCE))
        return list(entries)

    def _page_of_lasting(self, kind: Kind | None, first: int, limit: int) -> Page:
        oldest: Any = self.link.call(lambda client: client.xrange(self._log, "-", "+", count=1))
        in_log_from = order(oldest[0][0].decode()) if oldest else None
        ids: Any = self.link.call(
            lambda client: client.zrevrange(self.key("lasting:expiry"), first, first + _READ_AT_ONCE - 1)
        )
        texts: Any = self.link.call(lambda client: client.hmget(self._lasting, ids)) if ids else []
        recorded = [_from_about(id_.decode(), text) for id_, text in zip(ids, texts, strict=True) if text]
        read = [one for one in recorded if one is not None]
        shown_before = {r.id for r in read if in_log_from and order(r.id) >= in_log_from}
        wanted = [r for r in read if r.id not in shown_before and kind in (None, r.handle.kind)]
        found = list(self._alive(wanted))[:limit]
        if len(found) == limit:
            place = [id_.decode() for id_ in ids].index(found[-1].id) + 1
            return Page(tuple(found), f"lasting:{first + place}")
        return Page(tuple(found), f"lasting:{first + len(ids)}" if len(ids) == _READ_AT_ONCE else None)

    def _recorded(self, revocation_id: str) -> Revocation | None:
        match = _ID.fullmatch(revocation_id)
        if match is None:
            return None
        entries: Any = self.link.call(lambda client: client.xrange(self._log, match[1], match[1]))
        for entry_id, fields in entries:
            logged = _from_log(entry_id, fields)
            if logged is not None and logged.id == revocation_id:
                return logged
        text = cast("bytes | None", self.link.call(lambda client: client.hget(self._lasting, revocation_id)))
        return _from_about(revocation_id, text) if text else None

    def _alive(self, recorded: Sequence[Revocation]) -> Iterator[Revocation]:
        """Those that are still in force, of some that were written once."""
        if not recorded:
            return
        keys = [self.key(one.handle.name) for one in recorded]
        entries: Any = self.link.call(lambda client: client.mget(keys))
        standing = [(one, _standing(entry, one.id)) for one, entry in zip(recorded, entries, strict=True)]
        merged = [one.id for one, how in standing if how == "merged"]
        marks: Any = self.link.call(lambda client: client.hmget(self._lasting, merged)) if merged else []
        undone = {id_ for id_, mark in zip(merged, marks, strict=True) if mark == _UNDONE}
        yield from (one for one, how in standing if how and one.id not in undone)


def _eviction_policy(client: "redis.Redis") -> str | None:
    try:
        policy = client.info("memory").get("maxmemory_policy")
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        # Forbidden by an ACL, or unknown to the server.
        return None
    return None if policy is None else str(policy)


def _stream_id(revocation_id: str) -> str:
    return revocation_id.rpartition("-")[0]


def _standing(entry: bytes | None, revocation_id: str) -> Literal["", "alone", "merged"]:
    """Whether the entry still has this revocation in force; merged: it, or one that was undone before."""
    if entry is None:
        return ""
    if not _ENTRY.fullmatch(entry):
        return "alone"
    ids = [part.partition("=")[0] for part in entry.decode("ascii").split(" ")[1:]]
    if revocation_id in ids:
        return "alone"
    return "merged" if any(id_[0] == "+" and order(id_[1:]) >= order(revocation_id) for id_ in ids) else ""


def _from_log(entry_id: bytes, fields: dict[bytes, bytes]) -> Revocation | None:
    change = CHANGE.fullmatch(fields.get(b"change", b"").decode("utf-8", "replace"))
    if change is None or change["op"] != "revoke":
        return None
    return _from_about(f"{entry_id.decode()}-{change['tag']}", fields.get(b"about", b""))


def _from_about(revocation_id: str, text: bytes) -> Revocation | None:
    """What the scripts recorded of a revocation; None for what is not theirs."""
    try:
        about, cutoff, expiry = json.loads(text)
        return Revocation(
            revocation_id,
            Handle(about["kind"], about["value"], issuer=about["issuer"]),
            None if cutoff == "*" else int(cutoff),
            None if expiry == "never" else int(expiry),
            created_at_ms=order(revocation_id)[0],
            reason=about["reason"],
            actor=about["actor"],
        )
    except (ValueError, KeyError, TypeError):
        return None
