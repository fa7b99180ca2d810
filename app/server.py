"""Server: gunicorn, set up for this service."""

import ctypes
import gc
import signal
import socket
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication

import app.routes  # noqa: F401  # workers share what is imported before the fork
from app import create_app, logs, metrics
from app.arbiter import Arbiter
from app.readiness import is_draining
from app.service import Service
from app.settings import Settings
from app.startup import open_epoch
from app.worker import REQUEST_SECONDS

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)

#: How much of an answer the kernel takes for a client that reads slowly, so that no thread waits for it (socket(7)).
_SEND_BYTES: Final = 256 * 1024


class Server(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """Serves until it is told to stop. Workers build their own app, after the fork."""

    def __init__(self, settings: Settings, *, on_listening: Callable[[], None] = lambda: None) -> None:
        self._settings = settings
        self._service: Service | None = None
        self._on_listening = on_listening
        super().__init__()

    def load_config(self) -> None:
        for name, value in _options(self._settings).items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        logs.spare_what_nobody_reads()
        app = create_app(self._settings)
        # The follower has its lease before the first request, so every revocation waits for it, and it is warm.
        service: Service = app.extensions["service"]
        if self._settings.revocation.redis_url == "memory":
            # The parent opened a Redis in its own memory, and this worker has another.
            open_epoch(service.stores, self._settings)
        self._service = service
        service.guard.start()
        service.audit_copier.start()
        service.debt_payer.start()
        _keep()
        return app

    def run(self) -> None:
        Arbiter(self, drain_seconds=self._settings.drain_seconds).run()

    def listens(self) -> None:
        """Say that the address is this server's own."""
        self._on_listening()

    def forget(self) -> None:
        """Stop the follower of a worker that leaves, so that no revocation waits for it, and its other threads."""
        if self._service is not None:
            self._service.guard.stop()
            self._service.audit_copier.stop()
            self._service.debt_payer.stop()


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "bind": settings.bind,
        "workers": settings.workers,
        # The default is gthread: the follower's thread gets its turn while a request computes, which it does not under
        # gevent.
        "worker_class": "app.worker.Worker" if settings.worker_class == "gthread" else settings.worker_class,
        "threads": settings.threads,
        # Since 25.1 gunicorn opens a socket by default, through which this user id may reload and stop the server.
        "control_socket_disable": True,
        # The slowest answer is a password hash that waits in a queue; a person waits longer than that, but not longer
        # than this.
        "timeout": 30,
        "graceful_timeout": 10,
        "keepalive": 5,
        # A proxy that asks `/verify` sends the path that it asks about, in the path or in a header. A token has up to
        # 8192 bytes, and its header a name. What is longer gunicorn refuses in HTML.
        "limit_request_line": 8190,
        "limit_request_field_size": 65_536,
        "worker_tmp_dir": None,
        "when_ready": _on_listening,
        "logconfig_dict": logs.CONFIG,
        "accesslog": None,
        "post_fork": _on_worker_forked,
        "pre_request": _on_request,
        "worker_exit": _on_worker_leaving,
        "child_exit": _on_worker_gone,
        "proc_name": "revocation",
    }


def _keep() -> None:
    """Let the garbage collector leave alone what this process has made so far, which lives as long as the process.

    A full collection would look at 150,000 objects while a request waits, and the end of the process at all of them
    again: a second of computing in every worker that stops.
    """
    gc.collect()
    gc.freeze()
    gc.enable()


def _on_listening(server: Any) -> None:
    _keep()
    # Accepted sockets inherit the limits, so a client that stops in the middle of a request or of an answer gives its
    # thread back.
    limit = struct.pack("ll", int(REQUEST_SECONDS), 0)
    for listener in server.LISTENERS:
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        listener.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
    server.app.listens()


def _on_worker_forked(_server: Any, _worker: Any) -> None:
    # The workers of a killed master must not hold its port: `sync` workers would notice its death only after 15 s.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _on_request(_worker: Any, request: Any) -> None:
    # The client's next request then goes to a server that stays.
    if is_draining():
        request.force_close()


def _on_worker_leaving(_server: Any, worker: Any) -> None:
    worker.app.forget()


def _on_worker_gone(_server: Any, worker: Any) -> None:
    metrics.forget_process(worker.pid)
