"""The metrics of the library, for Prometheus. This module needs the extra `prometheus`.

It imports prometheus_client, which decides at its import whether it counts for one process or for several
(PROMETHEUS_MULTIPROC_DIR).
"""

import functools
import itertools
import time
from typing import Final, get_args

from revocation.denylist import Receipt
from revocation.errors import DenylistUnavailableError
from revocation.extras import extra
from revocation.guard import Accepted, Decision, Guard, Source
from revocation.handles import KINDS

with extra("prometheus", brings="prometheus_client", needed_by="revocation.metrics"):
    from prometheus_client import Counter, Gauge

#: What becomes of a token; what is none of the others is invalid.
_OUTCOMES: Final = ("accepted", "revoked", "expired", "invalid", "unavailable")

DECISIONS = Counter(
    "revocation_decisions_total",
    "Decisions about tokens, by outcome and by the source of the answer.",
    ["outcome", "source"],
)
REVOCATIONS = Counter("revocation_revocations_total", "Acknowledged revocations, by kind of handle.", ["kind"])
UNDONE = Counter("revocation_undone_total", "Revocations that somebody undid.")
DENYLIST_AVAILABLE = Gauge(
    "revocation_denylist_available",
    "Whether the deny-list answered this process's last question (the best of all processes).",
    multiprocess_mode="livemax",
)
FOLLOWER_ENTRIES = Gauge(
    "revocation_follower_entries",
    "Entries that the follower holds in memory (the most of all processes).",
    multiprocess_mode="livemax",
)
LOG_ENTRIES = Counter(
    "revocation_follower_log_entries_total", "Log entries that followers read, by outcome.", ["outcome"]
)
AMNESIA = Counter("revocation_amnesia_total", "Times that a follower noticed that Redis had lost revocations.")
EPOCHS = Counter(
    "revocation_epochs_total",
    "Times that a follower found a new epoch, which another process or an operator had opened.",
)
FALLBACKS = Counter(
    "revocation_fallbacks_total", "Bounded decisions that asked Redis, because the follower was too old."
)
TOKEN_CACHE = Counter("revocation_token_cache_total", "Looks into the verified-token cache.", ["outcome"])


@functools.cache
def follower_synced() -> Gauge:
    """The gauge of a process that follows.

    This function makes it late: made at the import, a server's parent would report 0, the oldest of all, for ever.
    """
    return Gauge(
        "revocation_follower_synced_timestamp_seconds",
        "The instant up to which this process knows the deny-list (Unix time; the oldest of all processes; 0 until the "
        "follower has caught up for the first time). The age of the follower is time() minus this.",
        multiprocess_mode="livemin",
    )


class FollowerMetrics:
    """Copies the counts of a guard's follower and token cache into the metrics after every beat, never in a request."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._copied: dict[str, int] = {}
        if guard.follower is not None:
            follower_synced()
            guard.follower.on_beat = self.copy

    def copy(self) -> None:
        """Set the gauges, and add the increase since the last copy to the counters."""
        follower, verifier = self._guard.follower, self._guard.verifier
        if follower is None:
            return
        state = follower.state
        DENYLIST_AVAILABLE.set(1 if state.is_connected else 0)
        follower_synced().set(max(0.0, time.time() - state.age_seconds))
        FOLLOWER_ENTRIES.set(state.entries)
        LOG_ENTRIES.labels("applied").inc(self._new("applied", state.applied))
        LOG_ENTRIES.labels("junk").inc(self._new("junk", state.junk))
        LOG_ENTRIES.labels("break").inc(self._new("breaks", state.breaks))
        AMNESIA.inc(self._new("amnesia", state.amnesia))
        EPOCHS.inc(self._new("epochs", state.epochs))
        if verifier is not None:
            TOKEN_CACHE.labels("hit").inc(self._new("hits", verifier.cache_hits))
            TOKEN_CACHE.labels("miss").inc(self._new("misses", verifier.cache_misses))

    def _new(self, name: str, total: int) -> int:
        before, self._copied[name] = self._copied.get(name, 0), total
        return total - before


# Every counter exists from the start: an alarm sees no increase in a counter that first appears at 1.
for _kind in KINDS:
    REVOCATIONS.labels(_kind)
for _outcome in ("applied", "junk", "break"):
    LOG_ENTRIES.labels(_outcome)
for _outcome in ("hit", "miss"):
    TOKEN_CACHE.labels(_outcome)
for _outcome, _source in itertools.product(_OUTCOMES, get_args(Source)):
    DECISIONS.labels(_outcome, _source)


def count(receipt: Receipt) -> None:
    """Count the revocations that a receipt acknowledges; call it after `revoke`."""
    for revocation in receipt.revocations:
        REVOCATIONS.labels(revocation.handle.kind).inc()


def observe(decision: Decision) -> None:
    """Count a decision; give this to a Guard as its `on_decision`."""
    if isinstance(decision, Accepted):
        outcome, unavailable = "accepted", False
    else:
        unavailable = isinstance(decision.error, DenylistUnavailableError)
        reason = "unavailable" if isinstance(decision.error, DenylistUnavailableError) else decision.error.reason
        outcome = reason if reason in _OUTCOMES else "invalid"
    _decided(outcome, decision.source).inc()
    if decision.is_fallback:
        FALLBACKS.inc()
    # A decision from memory says nothing about Redis; the follower reports on Redis after every beat.
    if unavailable or decision.source == "redis":
        DENYLIST_AVAILABLE.set(0 if unavailable else 1)


#: The counters by their labels: prometheus_client takes as long to find a counter as to increase it.
_decided = functools.cache(DECISIONS.labels)
