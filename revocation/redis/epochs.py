"""Epochs: opening a deny-list, opening it anew after Redis lost its data, and what is looked at before that."""

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any, cast

import redis

from revocation.denylist import Lifetimes
from revocation.errors import ConfigurationError, DenylistUnavailableError
from revocation.handle_kinds import MAX_OWN_KINDS
from revocation.redis.head import OLDER, Head, keys_of_older, majority
from revocation.redis.leases import Leases
from revocation.redis.protocol import CLOCKS_DIFFER_MS, Namespace
from revocation.redis.records import about_taken_over
from revocation.redis.script import Caller, Script

_log = logging.getLogger(__name__)

#: Keys that are given back in one call.
_KEYS_PER_CALL = 256


class Epochs:
    """The epoch of one namespace, for a process with these wishes.

    The first use checks the server's eviction policy: a Redis that evicts forgets revocations, and is refused unless
    `allow_eviction`.
    """

    def __init__(
        self, caller: Caller, namespace: Namespace, leases: Leases, *, wished: Lifetimes, allow_eviction: bool
    ) -> None:
        self._caller = caller
        self._link = caller.link
        self._namespace = namespace
        self._leases = leases
        self._wished = wished
        self._allow_eviction = allow_eviction
        self._inspected = False
        #: The last head that this process read: who opens an epoch after a loss keeps what stood there.
        self._last: Head | None = None
        #: The text of the head that was accepted last, for how many replicas, and what it says.
        self._accepted: tuple[bytes | None, int, Head | None] = (None, 0, None)
        self._init = Script(caller, "init")
        self._restore = Script(caller, "restore")
        self._note = Script(caller, "note")

    @property
    def max_token_seconds(self) -> int | None:
        """The longest token life by the last head that this process read; None before the first."""
        return None if self._last is None else self._last.settings.max_token_seconds

    def head(self) -> Head:
        """The head as it stands. Raises DenylistEmptyError where the deny-list was never opened, or lost its data."""
        self.inspect()
        text = self._link.call(lambda client: client.get(self._namespace.head))
        return self.read(cast("bytes | None", text))

    def read(self, text: bytes | None) -> Head:
        """The head with this text, if `accept` takes it; most often it is the same as the last time.

        Raises DenylistEmptyError where there is none.
        """
        known, asked_for, head = self._accepted
        if head is None or known != text or asked_for != self._link.min_replicas:
            head = self.accept(Head.parse(text))
            self._accepted = (text, self._link.min_replicas, head)
        self._last = head
        return head

    def accept(self, head: Head) -> Head:
        """The head, if entries outlive what this process accepts; else DenylistUnavailableError."""
        self._last = head
        head.admits(self._caller.claimed, min_replicas=self._link.min_replicas, told=self._caller.told)
        self._leases.note_bound(head.bound_ms)
        return head

    def inspect(self) -> None:
        """Look once at the eviction policy. Raises DenylistUnavailableError where Redis may forget revocations."""
        if self._inspected:
            return
        policy = self._link.call(_eviction_policy)
        if policy is None:
            _log.warning("The eviction policy of Redis cannot be read; make sure that maxmemory-policy is noeviction.")
        elif policy != "noeviction" and not self._allow_eviction:
            raise DenylistUnavailableError(
                f"Redis' maxmemory-policy is {policy}: it may forget revocations, which would let revoked tokens in "
                "again. Set it to noeviction, or allow eviction if you accept that.",
                settings=["allow_eviction"],
            )
        self._inspected = True

    def open(
        self,
        *,
        accept_existing: bool = False,
        new_epoch: bool = False,
        longest_bound_seconds: float = 1.0,
        replicas: int | None = None,
        told: Sequence[str] = (),
        declare: Sequence[str] = (),
        withdraw: Sequence[str] = (),
        withdrawn_as_of: str = "",
    ) -> tuple[Head, bool]:
        """Open the first epoch; nothing issued before it is accepted, unless `accept_existing`.

        A first head declares the kinds of handles that this process was `told` of (`*` ends the name of an
        unconditional one). An open one takes those in `declare` besides its own, and gives up those in `withdraw` if
        the log still ends where it did when nothing was revoked by these.

        The head then holds the lifetimes of this process, and the longest bound that any process may decide with.
        Where one is open already, only that bound is raised, and `replicas` says how many there are at the most,
        unless `new_epoch`: then everything from before now is cut off, as it must be after a backup was restored, and
        the head takes the lifetimes anew. Returns the head in force, and whether this call opened it. Raises
        ConfigurationError where entries would end too early for this process, and where the clocks of this host and of
        Redis are further apart than verifiers forgive. A new epoch may bring new lifetimes, but not while processes
        follow with the old ones: they might refuse to answer.
        """
        self.inspect()
        self._require_one_time()
        text = cast("bytes | None", self._link.call(lambda client: client.get(self._namespace.head)))
        standing, epoch_seen, older_keys = _seen(text, new_epoch=new_epoch)
        self._require_majority(replicas)
        if text is None and accept_existing and self._leases.living():
            raise ConfigurationError(
                "Processes follow this deny-list already: its data was lost, and nobody knows what was revoked. Open "
                "it without --accept-existing."
            )
        if new_epoch and standing is not None and standing.settings != self._wished and self._leases.living():
            raise ConfigurationError(
                "A new epoch may bring new lifetimes only while nobody follows: stop every process first, or keep "
                f"{_told(standing.settings)}.",
                settings=["max_token_lifetime_seconds", "leeway_seconds", "margin_seconds"],
            )
        mode = "first" if text is None else "new" if new_epoch else "keep"
        if standing is None:
            declare = [*told, *(word for word in declare if word not in told)]
        head, opened, _ = self._opened(
            mode,
            seen=epoch_seen,
            own=(),
            accept_existing=accept_existing,
            new_log=False,
            bound_ms=round(1000 * longest_bound_seconds),
            replicas=replicas,
            older_keys=older_keys,
            declare=declare,
            withdraw=withdraw,
            withdrawn_as_of=withdrawn_as_of,
        )
        if not opened and head.settings != self._wished:
            _log.warning(
                "The deny-list is open with other lifetimes, and they stay: %s. This process is set to %s.",
                _told(head.settings),
                _told(self._wished),
            )
        if waiting := [word for word in told if word not in head.kinds]:
            _log.warning(
                "Nothing can be revoked by %s yet: when every process was told of it, run `revocation init --declare`.",
                ", ".join(waiting),
            )
        try:
            self.accept(head)
        except DenylistUnavailableError as error:
            raise ConfigurationError(str(error), settings=error.settings) from error
        return head, opened

    def open_after_loss(
        self, *, seen: str, own: Sequence[str], clock: str, new_log: bool, keys: Mapping[str, tuple[str, str]]
    ) -> tuple[Head, list[str]]:
        """Open a new epoch in place of the one that was seen (empty: none), unless somebody else has.

        `own` are the epochs that the noticer knows, its own first; `clock` is the deny-list's clock as it read it last,
        and `keys` are the revocations of keys that it remembers (id: entry name, record). Returns the head in force,
        and the ids of those keys that were undone since. Raises DenylistUnavailableError where the noticer's clock and
        Redis' are too far apart: then the deny-list is closed until somebody opens it whose clock agrees.
        """
        last = self._last
        head, _, undone = self._opened(
            "loss",
            seen=seen,
            own=own,
            new_log=new_log,
            clock=clock,
            keys=keys,
            bound_ms=self._leases.longest_bound_ms,
            settings=None if last is None else last.settings,
            declare=() if last is None else last.kinds,
            # A head that is there says it itself.
            replicas=None if last is None or seen else last.replicas,
        )
        return self.accept(head), undone

    def give_back(self, epoch: str, keys: Mapping[str, tuple[str, str]]) -> list[str] | None:
        """Put the revocations of keys back that Redis does not have, in an epoch.

        Returns the ids of those that were undone since; None where another epoch is in force.
        """
        undone: list[str] = []
        items = list(keys.items())
        for first in range(0, len(items), _KEYS_PER_CALL):
            batch = items[first : first + _KEYS_PER_CALL]
            word, answer = self._restore(
                keys=[*self._namespace.written, *(self._namespace.key(name) for _, (name, _) in batch)],
                args=[epoch, secrets.token_hex(4), *(part for id_, record in batch for part in (id_, *record))],
            )
            if word == "other":
                return None
            undone += [id_.decode() for id_ in answer]
        return undone

    def note_server(self, client: "redis.Redis") -> None:
        """Note in the head who answers a client: leases that were given to another server may be lost."""
        if not self._link.is_server:
            return
        _, answer = self._note.run_on(client, keys=[self._namespace.head], args=list(self._caller.server))
        self._remember(answer[0], answer[1])

    def _remember(self, run: bytes, replid: bytes) -> None:
        if run and replid and run != b"-":
            self._caller.server = (run.decode(), replid.decode())

    def _opened(
        self,
        mode: str,
        *,
        seen: str,
        own: Sequence[str],
        new_log: bool,
        bound_ms: int,
        accept_existing: bool = False,
        replicas: int | None = None,
        clock: str = "",
        keys: Mapping[str, tuple[str, str]] | None = None,
        older_keys: Sequence[str] = (),
        settings: Lifetimes | None = None,
        declare: Sequence[str] = (),
        withdraw: Sequence[str] = (),
        withdrawn_as_of: str = "",
    ) -> tuple[Head, bool, list[str]]:
        wished = settings or self._wished
        given = [(id_, *record) for id_, record in (keys or {}).items()][:_KEYS_PER_CALL]
        given += [("", name, about_taken_over(name)) for name in older_keys]
        word, answer = self._init(
            keys=[*self._namespace.written, *(self._namespace.key(name) for _, name, _ in given)],
            args=[
                *(mode, seen, secrets.token_hex(8), int(accept_existing), int(new_log), secrets.token_hex(4)),
                ",".join(own) or "-",
                *(wished.max_token_seconds, wished.leeway_seconds, wished.margin_seconds, wished.session_seconds),
                *(bound_ms, "" if replicas is None else replicas, clock, *self._caller.server),
                *(",".join(declare), ",".join(withdraw), withdrawn_as_of, MAX_OWN_KINDS),
                *(part for record in given for part in record),
            ],
        )
        if word == "moved":
            raise ConfigurationError("somebody revoked something at this moment: run it again")
        if word == "meaning":
            raise _of_another_meaning(answer[0].decode())
        if word == "many":
            raise ConfigurationError(
                f"a deny-list declares at most {MAX_OWN_KINDS} kinds, since no process can be told of more"
            )
        head = Head.parse(bytes(answer[0]) or None)
        if answer[1]:
            self._remember(head.server[0].encode(), head.server[1].encode())
        return head, bool(answer[1]), [id_.decode() for id_ in answer[2:]]

    def _require_majority(self, replicas: int | None) -> None:
        """Two groups of a partition must never both have enough replicas."""
        try:
            answer: Any = self._link.call(lambda client: client.info("replication"))
        except DenylistUnavailableError as error:
            if self._link.min_replicas or not isinstance(error.__cause__, redis.ResponseError):
                raise
            return
        if answer.get("role") == "slave":
            # Behind Sentinels, and in a cluster, another server may be the primary in a moment.
            primary = f"{answer.get('master_host')}:{answer.get('master_port')}"
            raise DenylistUnavailableError(
                f"This server is a replica: nothing can be written there. Name the primary, {primary}.",
                settings=[] if self._link.finds_primary else ["redis_url"],
            )
        connected, least = int(answer.get("connected_slaves", 0)), self._link.min_replicas
        if least and connected < least:
            raise DenylistUnavailableError(
                f"Redis has {connected} replicas, and {least} are asked for (min_replicas).", settings=["min_replicas"]
            )
        most = max(connected, replicas or 0)
        if least and least < majority(most):
            raise ConfigurationError(
                f"min_replicas={least} is no majority of {most + 1} data nodes: set it to {majority(most)}",
                settings=["min_replicas"],
            )
        if connected and not least:
            _log.warning(
                "Redis has %d replicas and min_replicas is 0: a failover may lose acknowledged revocations, "
                "and an isolated old primary goes on answering. Set it to %d.",
                connected,
                majority(connected),
            )

    def _require_one_time(self) -> None:
        seconds, microseconds = self._link.call(lambda client: client.time())
        ahead = self._caller.clock() - (seconds + microseconds / 1e6)
        # The cut-off of a first epoch allows for one second, whatever the leeway.
        allowed = max(CLOCKS_DIFFER_MS // 1000, self._wished.leeway_seconds)
        if abs(ahead) > allowed:
            raise ConfigurationError(
                f"This host's clock is {ahead:+.1f} s from Redis' clock, further than {allowed} s: set both by NTP."
            )


def _seen(text: bytes | None, *, new_epoch: bool) -> tuple[Head | None, str, list[str]]:
    """The head that stands, where this version can read it, its epoch, and the keys that only an older one names."""
    if text is None:
        return None, "", []
    words = [word.decode("utf-8", "replace") for word in text.split()]
    if words[:1] == ["1"]:
        if not new_epoch:
            raise ConfigurationError(OLDER)
        return None, words[1] if len(words) > 1 else "", keys_of_older(words)
    head = Head.parse(text)
    return head, head.epoch, []


def _of_another_meaning(word: str) -> ConfigurationError:
    """What is wrong with a kind that is declared already: it is unconditional for everybody or for nobody."""
    other = word.removesuffix("*") if word.endswith("*") else f"{word}*"
    return ConfigurationError(
        f"the deny-list declares {other!r} already, so {word!r} would give its revocations another meaning: "
        "take another name, or withdraw it first"
    )


def _told(settings: Lifetimes) -> str:
    return (
        f"longest token life {settings.max_token_seconds} s, leeway {settings.leeway_seconds} s, margin "
        f"{settings.margin_seconds} s, longest session life {settings.session_seconds} s"
    )


def _eviction_policy(client: "redis.Redis") -> str | None:
    try:
        policy = client.info("memory").get("maxmemory_policy")
    except redis.ConnectionError:
        raise
    except redis.ResponseError:
        # Forbidden by an ACL, or unknown to the server.
        return None
    return None if policy is None else str(policy)
