"""Server: gunicorn, set up for this service."""

import ctypes
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication
from prometheus_client import multiprocess

from app import create_app, logs
from app.readiness import watch_sigterm
from app.service import Service
from app.settings import Settings
from app.startup import open_epoch
from revocation import Guard

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)

#: How long a worker waits for the next bytes of a request that has begun.
_READ_SECONDS: Final = 10


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Serves until it is told to stop. Workers build their own app, after the fork."""

    def __init__(self, settings: Settings, *, extend: Callable[[Flask], None] | None = None) -> None:
        self._settings = settings
        self._extend = extend
        self._guard: Guard | None = None
        super().__init__()

    def load_config(self) -> None:
        for name, value in _options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        logs.spare_what_nobody_reads()
        app = create_app(self._settings, extend=self._extend)
        # Known to those who revoke from the first moment on, and warm before the first request.
        service: Service = app.extensions["service"]
        if self._settings.revocation.redis_url == "memory":
            # What the parent opened was its own.
            open_epoch(service.stores)
        self._guard = service.guard
        self._guard.start()
        return app

    def forget(self) -> None:
        """The worker goes: nobody needs to wait for its follower."""
        if self._guard is not None:
            self._guard.stop()


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "bind": settings.bind,
        "workers": settings.workers,
        # gthread by default: nothing is patched, and the follower's thread gets its turn while a request computes;
        # under gevent it does not.
        "worker_class": settings.worker_class,
        "threads": settings.threads,
        # On by default since 25.1: reload and shutdown for anyone with this user id.
        "control_socket_disable": True,
        # Well above the slowest answer there is (a password hash in a queue), well below a human's patience.
        "timeout": 30,
        "graceful_timeout": 10,
        "keepalive": 5,
        # A token has up to 8192 bytes, and its header a name; gunicorn's 8190 would refuse it in HTML.
        "limit_request_field_size": 12_288,
        "worker_tmp_dir": None,
        "when_ready": _on_listening,
        "logconfig_dict": logs.CONFIG,
        "accesslog": None,
        "post_fork": _on_worker_forked,
        "post_worker_init": _on_worker_ready,
        "worker_exit": _on_worker_leaving,
        "child_exit": _on_worker_gone,
        "proc_name": "revocation",
    }


def _on_listening(server: Any) -> None:
    # Accepted sockets inherit it: a client that stops in the middle of a request gives its thread back.
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", _READ_SECONDS, 0))


def _on_worker_forked(_server: Any, _worker: Any) -> None:
    # A killed master must not leave workers behind that hold its port: `sync` ones would look up after 15 s.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _on_worker_ready(_worker: Any) -> None:
    watch_sigterm()


def _on_worker_leaving(_server: Any, worker: Any) -> None:
    worker.app.forget()


def _on_worker_gone(_server: Any, worker: Any) -> None:
    # Its gauges must not speak for it any more; its counters stay.
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]  # the library leaves it untyped
