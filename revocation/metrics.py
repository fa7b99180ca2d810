"""Every metric of the library, once (Prometheus). Needs the extra `prometheus`.

Importing this imports prometheus_client, which decides then whether it counts for one process or for several
(PROMETHEUS_MULTIPROC_DIR).
"""

import functools
import time

from prometheus_client import Counter, Gauge

from revocation.denylist import Receipt
from revocation.errors import DenylistUnavailableError
from revocation.guard import Accepted, Decision, Guard
from revocation.handles import KINDS

DECISIONS = Counter(
    "revocation_decisions_total", "Decisions about tokens, by outcome and by who was asked.", ["outcome", "source"]
)
REVOCATIONS = Counter("revocation_revocations_total", "Acknowledged revocations, by kind of handle.", ["kind"])
UNDONE = Counter("revocation_undone_total", "Revocations that were taken back.")
DENYLIST_AVAILABLE = Gauge(
    "revocation_denylist_available",
    "Whether this process's last question to the deny-list was answered (the best of all processes).",
    multiprocess_mode="livemax",
)
FOLLOWER_ENTRIES = Gauge(
    "revocation_follower_entries", "Entries held in memory (the most of all processes).", multiprocess_mode="livemax"
)
LOG_ENTRIES = Counter(
    "revocation_follower_log_entries_total", "Log entries that were read, by what became of them.", ["outcome"]
)
AMNESIA = Counter("revocation_amnesia_total", "Times that a follower noticed that Redis had lost revocations.")
EPOCHS = Counter(
    "revocation_epochs_total",
    "Times that a follower found a new epoch, opened by somebody else: Redis had lost revocations, or was told to.",
)
FALLBACKS = Counter(
    "revocation_fallbacks_total", "Bounded decisions for which Redis was asked, because the follower was too old."
)
TOKEN_CACHE = Counter("revocation_token_cache_total", "Looks into the verified-token cache.", ["outcome"])


@functools.cache
def follower_synced() -> Gauge:
    """Made where a follower is, and not at the import: a server's parent would say 0, the oldest of all, for ever."""
    return Gauge(
        "revocation_follower_synced_timestamp_seconds",
        "As of when this process knows the deny-list (Unix time; the oldest of all processes; 0 until it has caught up "
        "for the first time). Its age is time() - this.",
        multiprocess_mode="livemin",
    )


class FollowerMetrics:
    """Carries what a guard's follower and token cache count into the metrics: after every beat, off every request."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._told: dict[str, int] = {}
        if guard.follower is not None:
            follower_synced()
            guard.follower.on_beat = self.tell

    def tell(self) -> None:
        """Set the gauges, and add to the counters what is new."""
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
        before, self._told[name] = self._told.get(name, 0), total
        return total - before


# A counter that first shows up at 1 has not increased, as far as an alarm can tell.
for _kind in KINDS:
    REVOCATIONS.labels(_kind)


def count(receipt: Receipt) -> None:
    """Count what a receipt acknowledges: call it after `revoke`."""
    for revocation in receipt.revocations:
        REVOCATIONS.labels(revocation.handle.kind).inc()


def observe(decision: Decision) -> None:
    """Count a decision; a Guard calls this as its `on_decision`."""
    if isinstance(decision, Accepted):
        outcome, unavailable = "accepted", False
    else:
        unavailable = isinstance(decision.error, DenylistUnavailableError)
        reason = "unavailable" if isinstance(decision.error, DenylistUnavailableError) else decision.error.reason
        outcome = reason if reason in ("expired", "revoked", "unavailable") else "invalid"
    _decided(outcome, decision.source).inc()
    if decision.is_fallback:
        FALLBACKS.inc()
    # Only what Redis was asked for says something about it; a follower says it after every beat.
    if unavailable or decision.source == "redis":
        DENYLIST_AVAILABLE.set(0 if unavailable else 1)


#: Children by their labels: looking one up in the metric costs as much as counting.
_decided = functools.cache(DECISIONS.labels)
