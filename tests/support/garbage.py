"""Garbage: for tests of what must not wait for Python to collect it."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Within this block objects that know each other stay."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()
