"""Serve one contestant: `LOADTEST_CONTESTANT=bounded python -m loadtest.serve serve`.

It is the service itself, by its own settings, with the routes of the contestant beside its own: the same gunicorn, JSON
logs, metrics and `Server-Timing` are around each of them.
"""

import ctypes
import os
import runpy
import signal
import sys
from typing import TYPE_CHECKING, Final, cast

import app

if TYPE_CHECKING:
    from flask import Flask

    from app.settings import Settings
    from loadtest.results import Contestant

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)

_create_app = app.create_app


def _with_contestant(settings: "Settings") -> "Flask":
    from loadtest import contestants, instruments

    made = _create_app(settings)
    contestants.add(made, cast("Contestant", os.environ["LOADTEST_CONTESTANT"]))
    instruments.add(made)
    return made


def main() -> None:
    """Serve until told to stop, or until whoever started this is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    app.create_app = _with_contestant
    runpy.run_module("app", run_name="__main__")


if __name__ == "__main__":
    main()
