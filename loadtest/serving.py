"""Serving: gunicorn around the app of a contestant, as it is published, with threads."""

import ctypes
import gc
import multiprocessing
import os
import signal
import sys
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final

from flask import Flask
from gunicorn.app.base import BaseApplication

from loadtest.contestants import Setup, app

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)

_OPTIONS: Final = {
    "worker_class": "gthread",
    "threads": 8,
    "preload_app": True,
    # Connections are kept for as long as a run takes.
    "keepalive": 600,
    "control_socket_disable": True,
    "graceful_timeout": 1,
}

#: It imports once what all contestants need, and each of them is a fork of it: dozens start in seconds.
_CONTEXT: Final = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def start(name: str, setup: Setup, *, port: int, workers: int, log: Path) -> BaseProcess:
    """Start a contestant in a process of its own, which ends on SIGTERM and with this process."""
    process = _CONTEXT.Process(target=_serve, args=(name, setup, port, workers, str(log)), daemon=False)
    process.start()
    return process


class _Gunicorn(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    def __init__(self, served: Flask, options: dict[str, Any]) -> None:
        self._served, self._chosen = served, options
        super().__init__()

    def load_config(self) -> None:
        for name, value in self._chosen.items():
            self.cfg.set(name, value)

    def load(self) -> Flask:
        return self._served


def _serve(name: str, setup: Setup, port: int, workers: int, log: str) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    # Ctrl-C at the terminal is for whoever started this one.
    os.setsid()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    served = app(name, setup)
    # A worker would copy the memory of all that it shares with the others at its first full collection, in some turn.
    gc.collect()
    gc.freeze()
    _Gunicorn(served, {**_OPTIONS, "bind": f"127.0.0.1:{port}", "workers": workers}).run()
