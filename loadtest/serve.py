"""Serve one contestant: `LOADTEST_CONTESTANT=bounded python -m loadtest.serve serve`.

It is the service itself, by its own settings, with the routes of the contestant beside its own: the same gunicorn, JSON
logs, metrics and `Server-Timing` are around each of them.
"""

import ctypes
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, cast

import app.greenlets  # noqa: F401  # gevent patches only what nobody has imported yet
from app.commands.serve import run
from app.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

    from loadtest.results import Contestant

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def _extend(app: "Flask") -> None:
    # Imported here, in the worker: prometheus_client must not be imported before the service has set it up.
    from loadtest import routes

    routes.add(app, contestant=cast("Contestant", os.environ["LOADTEST_CONTESTANT"]))


def main() -> None:
    """Serve until told to stop, or until the process that started this is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    run(Settings.from_mapping(os.environ), extend=_extend)


if __name__ == "__main__":
    main()
