"""Every metric of the service, once. The library's own stand in revocation/metrics.py."""

import functools
import os
import time

from flask import Flask, Request, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

REQUESTS = Counter("app_http_requests_total", "Answered requests.", ["method", "route", "status"])
SECONDS = Histogram(
    "app_http_request_duration_seconds",
    "Time from the first look at a request to its answer.",
    ["route"],
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
SIGN_INS = Counter("app_sign_ins_total", "Attempts to sign in.", ["outcome"])
REFRESHES = Counter("app_refreshes_total", "Uses of refresh tokens.", ["outcome"])

AUDIT_BEHIND = Gauge(
    "app_audit_behind_seconds",
    "How old the oldest revocation or undoing is that stands in the deny-list's log and not in the audit trail yet.",
    multiprocess_mode="livemax",
)

CHANGES_OWED = Gauge(
    "app_changes_owed",
    "Changes of accounts that are saved, and whose tokens are still to be taken back.",
    multiprocess_mode="livemax",
)

# A counter that first shows up at 1 has not increased, as far as an alarm can tell.
for _outcome in ("accepted", "reuse", "revoked", "gone", "unknown", "client"):
    REFRESHES.labels(_outcome)
for _outcome in ("accepted", "refused", "throttled"):
    SIGN_INS.labels(_outcome)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def init_app(app: Flask) -> None:
    """Count every request."""
    app.after_request(_count)


def expect_errors(app: Flask) -> None:
    """Have a counter of errors for every route and method that the application has by now, for the same reason."""
    for rule in app.url_map.iter_rules():
        for method in rule.methods or ():
            _requests(method, rule.rule, 500)
    for method in (*_METHODS, "other"):
        _requests(method, "unknown", 500)


def exposition() -> Response:
    """All processes' metrics in Prometheus' format."""
    registry = REGISTRY
    if _counts_together():
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library leaves it untyped
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def forget_process(pid: int) -> None:
    """Forget the gauges of a process that has ended; its counters stay."""
    if _counts_together():
        mark_process_dead(pid)  # type: ignore[no-untyped-call]  # the library leaves it untyped


def _counts_together() -> bool:
    """Whether prometheus_client counts for several processes: see app/metric_files.py."""
    return "PROMETHEUS_MULTIPROC_DIR" in os.environ


def _count(response: Response) -> Response:
    current: Request = request._get_current_object()  # type: ignore[attr-defined]  # werkzeug's way past its proxy
    route = current.url_rule.rule if current.url_rule else "unknown"
    method = current.method if current.method in _METHODS else "other"
    _requests(method, route, response.status_code).inc()
    now = time.perf_counter()
    _seconds(route).observe(now - g.get("started", now))
    return response


#: Children by their labels: looking one up in the metric costs as much as counting.
_requests = functools.cache(REQUESTS.labels)
_seconds = functools.cache(SECONDS.labels)
