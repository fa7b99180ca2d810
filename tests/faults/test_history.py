"""The checker judges by the history alone, and bites."""

import math

import pytest

from tests.faults.history import EVERYTHING, Fault, History, Issue, Request, Revoke, Verdict, check


def judged(*events: Issue | Revoke | Request | Fault) -> Verdict:
    history = History()
    for event in events:
        history.add(event)
    return check(history, recovery_seconds=2.0)


TOKEN = Issue("t", frozenset({"token:t", "subject:ada", EVERYTHING}), invoked=1.0, ended=1.1)
REVOKED = Revoke("token:t", unconditional=True, invoked=5.0, ended=5.1, outcome="ok")


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_an_acceptance_later_than_the_bound_is_a_violation(bound: float) -> None:
    late = Request("t", bound, sent=5.11 + bound, ended=9.0, status=200)
    assert judged(TOKEN, REVOKED, late).violations == [late]


@pytest.mark.parametrize("bound", [0.0, 1.0])
def test_an_acceptance_within_the_bound_is_none(bound: float) -> None:
    in_time = Request("t", bound, sent=5.09 + bound, ended=9.0, status=204)
    assert not judged(TOKEN, REVOKED, in_time).violations


def test_an_acceptance_after_a_receipt_that_calls_it_enforced_is_a_violation_also_within_the_bound() -> None:
    enforced = Revoke("token:t", unconditional=True, invoked=5.0, ended=5.1, outcome="ok", enforced=True)
    within = Request("t", 1.0, sent=5.11, ended=5.2, status=200)
    assert judged(TOKEN, enforced, within).violations == [within]
    assert not judged(TOKEN, enforced, Request("t", math.inf, sent=9, ended=9.1, status=200)).violations


def test_a_refresh_after_the_session_was_taken_back_is_a_violation() -> None:
    session = Issue("refresh:s", frozenset({"session:s", "subject:ada", EVERYTHING}), invoked=1.0, ended=1.1)
    revoked = Revoke("session:s", unconditional=True, invoked=5.0, ended=5.1, outcome="ok")
    early, late = (Request("refresh:s", 0.0, sent=at, ended=at + 1, status=200, refreshes=True) for at in (5.05, 5.2))
    verdict = judged(session, revoked, early, late)
    assert verdict.violations == [late]
    assert verdict.figures["refreshed"] == 2


def test_a_stateless_route_may_accept_for_ever() -> None:
    assert not judged(TOKEN, REVOKED, Request("t", math.inf, sent=99, ended=99.1, status=200)).violations


@pytest.mark.parametrize("outcome", ["fail", "unknown"])
def test_only_what_was_acknowledged_binds(outcome: str) -> None:
    revoke = Revoke("token:t", True, 5.0, 5.1, outcome)  # type: ignore[arg-type]  # two of the three
    assert not judged(TOKEN, revoke, Request("t", 0.0, sent=9, ended=9.1, status=200)).violations


def test_a_cutoff_covers_what_was_issued_before_it_was_asked_for() -> None:
    cutoff = Revoke("subject:ada", unconditional=False, invoked=5.0, ended=5.1, outcome="ok")
    late = Request("t", 0.0, sent=9.0, ended=9.1, status=200)
    assert judged(TOKEN, cutoff, late).violations == [late]


def test_what_is_issued_while_a_cutoff_is_taken_may_go_either_way() -> None:
    cutoff = Revoke("subject:ada", unconditional=False, invoked=1.05, ended=1.2, outcome="ok")
    for status in (200, 401):
        verdict = judged(TOKEN, cutoff, Request("t", 0.0, sent=9.0, ended=9.1, status=status))
        assert not verdict.violations
        assert not verdict.false_refusals


def test_what_is_issued_after_a_cutoff_must_be_accepted() -> None:
    cutoff = Revoke("subject:ada", unconditional=False, invoked=0.5, ended=0.9, outcome="ok")
    refused = Request("t", 0.0, sent=9.0, ended=9.1, status=401)
    assert judged(TOKEN, cutoff, refused).false_refusals == [refused]


def test_a_new_epoch_is_a_revocation_of_everything() -> None:
    epoch = Revoke(EVERYTHING, unconditional=False, invoked=3.0, ended=3.5, outcome="ok")
    late = Request("t", 1.0, sent=4.6, ended=4.7, status=200)
    assert judged(TOKEN, epoch, late).violations == [late]


def test_a_503_is_for_faults_and_the_time_to_recover() -> None:
    fault = Fault("stopped", began=3.0, healed=4.0)
    early, during, after = (Request("t", 0.0, sent=at, ended=at, status=503) for at in (2.0, 5.9, 6.1))
    assert judged(TOKEN, fault, early, during, after).needless_503 == [early, after]


@pytest.mark.parametrize("status", [500, 502, 404, 400])
def test_other_answers_are_unexpected_also_while_something_is_broken(status: int) -> None:
    strange = Request("t", 0.0, sent=3.5, ended=3.6, status=status)
    assert judged(TOKEN, Fault("stopped", 3.0, 4.0), strange).unexpected == [strange]


def test_no_answer_is_unexpected_while_nothing_is_broken() -> None:
    silent = Request("t", 0.0, sent=13.5, ended=13.6, status=0)
    assert judged(TOKEN, Fault("stopped", 3.0, 4.0), silent).unexpected == [silent]
