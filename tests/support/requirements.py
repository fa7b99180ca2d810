"""Requirements: what a test needs beyond the environment that `make install` makes."""

import os

import pytest


def require(present: object, reason: str) -> None:
    """Skip the test where an optional part is missing; fail it in CI, which must have everything."""
    if not present:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI must have everything: {reason}")
        pytest.skip(reason)
