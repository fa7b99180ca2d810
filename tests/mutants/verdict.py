"""Verdict: a plugin of pytest that says whether a failing assertion, or something else, ended a run.

It stops the run at the first failing assertion, and writes `assertion` or `otherwise` into the file that VERDICT names;
where no test fails, it writes nothing.
"""

import os
from pathlib import Path
from typing import Any

import pytest


def is_assertion(error: BaseException) -> bool:
    """Whether a test has failed because an expectation of it did not come true.

    That is what `assert` raises, and `pytest.fail`, which `pytest.raises` calls where nothing was raised. A limit of
    time that has passed is no expectation. Hypothesis gathers the failures of several examples in a group.
    """
    if isinstance(error, BaseExceptionGroup):
        return any(is_assertion(each) for each in error.exceptions)
    if isinstance(error, pytest.fail.Exception):
        return not str(error.msg).startswith("Timeout (>")
    return isinstance(error, AssertionError)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report: pytest.TestReport = yield
    if report.failed:
        by_assertion = call.excinfo is not None and is_assertion(call.excinfo.value)
        Path(os.environ["VERDICT"]).write_text("assertion" if by_assertion else "otherwise")
        if by_assertion:
            item.session.shouldfail = "a failing assertion"
    return report
