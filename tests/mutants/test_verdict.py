"""A mistake counts as killed only where an assertion noticed it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.documents import ROOT
from tests.mutants.verdict import is_assertion


def _assert() -> None:
    assert os.sep == "", "a path has no separator"


def _fail() -> None:
    pytest.fail("wrong")


def _raise_nothing() -> None:
    with pytest.raises(ValueError, match="wrong"):
        pass


@settings(max_examples=1)
@given(st.just(1))
def _example(number: int) -> None:
    assert number == 2


def _group() -> None:
    raise ExceptionGroup("of two examples", [ValueError(), AssertionError()])


def _missing_attribute() -> None:
    str(None.nothing)  # type: ignore[attr-defined]  # the mistake itself


def _another_exception() -> None:
    with pytest.raises(ValueError, match="wrong"):
        raise KeyError


def _time_has_passed() -> None:
    pytest.fail("Timeout (>1.0s) from pytest-timeout.")


def raised_by(run: Callable[[], None]) -> BaseException:
    try:
        run()
    except BaseException as error:  # noqa: BLE001 (outcomes of pytest are no Exception)
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("run", [_assert, _fail, _raise_nothing, _example, _group])
def test_an_expectation_that_does_not_come_true_is_an_assertion(run: Callable[[], None]) -> None:
    assert is_assertion(raised_by(run))


@pytest.mark.parametrize("run", [_missing_attribute, _another_exception, _time_has_passed])
def test_everything_else_is_not(run: Callable[[], None]) -> None:
    assert not is_assertion(raised_by(run))


@pytest.mark.parametrize(
    ("bodies", "fails", "verdict"),
    [
        (("None.nothing", "assert False", "None.nothing"), True, "assertion"),
        (("None.nothing", "pass"), True, "otherwise"),
        (("pass",), False, ""),
    ],
)
def test_a_run_ends_in_a_verdict(tmp_path: Path, bodies: tuple[str, ...], fails: bool, verdict: str) -> None:
    module, written = tmp_path / "test_made_up.py", tmp_path / "verdict"
    module.write_text("".join(f"def test_{number}(): {body}\n" for number, body in enumerate(bodies)))
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "tests.mutants.verdict"),
        *("-c", os.devnull, "--rootdir", str(tmp_path), str(module)),
    ]
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "VERDICT": str(written)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False, timeout=60)

    assert (done.returncode != 0) == fails
    assert (written.read_text() if written.exists() else "") == verdict
