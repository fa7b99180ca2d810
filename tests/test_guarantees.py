"""What docs/guarantees.md promises, and what it does not: each sentence is a test, or more than one."""

import ast
import re
from collections.abc import Iterator

from tests.documents import GUARANTEES as PAGE
from tests.documents import ROOT

#: The tests of each sentence, by how it begins.
GUARANTEES: dict[str, tuple[str, ...]] = {
    "A strict request sent after a revocation was acknowledged": (
        "test_what_another_process_revoked_is_refused_by_the_next_request",
        "test_no_promise_is_broken",
    ),
    "Acknowledged means written by Redis": ("test_a_revocation_that_is_gone_is_not_acknowledged",),
    "A bounded request is refused if it is sent later": (
        "test_no_token_is_accepted_later_than_its_bound_after_its_revocation",
        "test_redis_a_worker_and_connections_fail_one_after_the_other_and_nothing_is_lost",
    ),
    "Where the receipt says `enforced`": (
        "test_after_an_epoch_opened_nothing_is_enforced_before_the_longest_lease",
        "test_signing_out_on_one_worker_is_known_to_all_and_the_receipt_says_so",
    ),
    "Where Redis has to be asked and cannot be": (
        "test_every_route_answers_as_the_table_says_and_works_again_afterwards",
    ),
    "Revoking, logging out, signing in and refreshing answer 503": (
        "test_every_route_answers_as_the_table_says_and_works_again_afterwards",
    ),
    "After a 503 the client can send": ("test_a_refresh_without_a_database_uses_nothing_up",),
    "A refresh that the service could not decide": ("test_a_refresh_that_cannot_be_decided_has_used_nothing_up",),
    "A change of an account whose 503 says that it is saved": (
        "test_nobody_has_to_ask_again",
        "test_what_is_owed_outlives_every_process_and_is_audited_as_it_was_meant",
        "test_whoever_signs_in_by_the_new_password_pays_first_and_stays_signed_in",
    ),
    "A revoked session, subject or client gets no new tokens": (
        "test_a_thousand_times_no_token_of_a_refresh_outlives_the_revocation_of_its_user",
        "test_a_revoked_session_is_not_refreshed",
    ),
    "Undoing a revocation brings back": ("test_undo_never_lifts_what_somebody_else_revoked",),
    "The sessions of an account that was disabled": (
        "test_a_session_ends_with_its_account_also_for_whoever_undoes_the_revocation",
    ),
    "An entry outlives every token it concerns": (
        "test_a_process_that_accepts_what_entries_do_not_outlive_takes_no_part",
        "test_an_entry_lives_until_the_last_token_it_concerns_is_dead",
    ),
    "A cut-off is later than every `iat`": (
        "test_an_epoch_begins_after_everything_that_its_noticer_has_seen",
        "test_what_was_seen_once_does_not_come_back",
    ),
    "A revoked key stays revoked until somebody undoes": (
        "test_a_key_that_is_known_stays_revoked_in_an_epoch_that_does_not_know_it",
        "test_what_was_seen_once_does_not_come_back",
    ),
    'No token of the service that is older than "log out everywhere"': (
        "test_signing_in_again_at_once_works_a_thousand_times_and_nothing_older_survives",
    ),
    "Whatever text a client sends as a token": ("test_no_other_way_of_sending_a_revoked_token_is_accepted",),
    "Another spelling of the same token is no bypass": ("test_no_other_way_of_writing_a_revoked_token_is_accepted",),
    "Parallel uses of one refresh token": ("test_fifty_refreshes_of_one_token_give_one_successor",),
    "A use after the grace period ends the session": (
        "test_after_the_grace_period_a_used_token_ends_the_session_and_its_access_tokens",
    ),
}


def _sentences() -> Iterator[str]:
    text = PAGE.read_text("utf-8")
    section = text[text.index("## What is guaranteed") : text.index("## What is not")]
    for bullet in re.findall(r"^- (.*)$", section, re.MULTILINE):
        yield from re.split(r"(?<=\.)\s+(?=[A-Z`*])", bullet)


def test_every_sentence_that_guarantees_something_is_a_test() -> None:
    sentences = list(_sentences())
    assert len(sentences) >= 15
    for sentence in sentences:
        assert any(sentence.startswith(beginning) for beginning in GUARANTEES), sentence
    for beginning in GUARANTEES:
        assert any(sentence.startswith(beginning) for sentence in sentences), beginning


def test_each_of_them_exists() -> None:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    trees = [ast.parse(file.read_text("utf-8")) for file in files]
    names = {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert {test for tests in GUARANTEES.values() for test in tests} <= names
