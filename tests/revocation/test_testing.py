"""Sandbox: what users test their own apps with."""

import doctest
from collections.abc import Callable

import pytest

import revocation.testing
from revocation import (
    DenylistEmptyError,
    DenylistUnavailableError,
    ExpiredTokenError,
    Handle,
    InvalidTokenError,
    Lifetimes,
    RevokedTokenError,
)
from revocation.testing import Clock, Sandbox


def test_the_example_runs() -> None:
    assert doctest.testmod(revocation.testing) == (0, doctest.testmod(revocation.testing).attempted)
    assert doctest.testmod(revocation.testing).attempted >= 5


def test_a_token_is_minted_for_a_subject_a_scope_and_a_session() -> None:
    sandbox = Sandbox(issuer="https://a.example", audience="https://b.example")

    claims = sandbox.guard.authenticate(sandbox.mint("bob", scope="me admin", session="s-1", lifetime_seconds=60))

    assert (claims.issuer, claims.audience) == ("https://a.example", ("https://b.example",))
    assert (claims.subject, claims.scope, claims.session_id) == ("bob", frozenset({"me", "admin"}), "s-1")
    assert claims.expires_at - claims.issued_at == 60


def test_one_token_or_everything_under_a_handle_is_revoked() -> None:
    sandbox = Sandbox()
    one, other = sandbox.mint(session="s-1"), sandbox.mint(session="s-1")

    sandbox.revoke(one)
    with pytest.raises(RevokedTokenError):
        sandbox.guard.authenticate(one)
    sandbox.guard.authenticate(other)

    sandbox.revoke(Handle.session(sandbox.claims(other)), reason="stolen")
    with pytest.raises(RevokedTokenError):
        sandbox.guard.authenticate(other)
    assert [one.reason for one in sandbox.denylist.page().revocations] == ["stolen", "test"]


def test_signing_in_again_after_everything_of_a_user_was_revoked_works() -> None:
    sandbox = Sandbox()
    old = sandbox.mint("ada")
    sandbox.revoke(Handle.subject(sandbox.claims(old)))
    sandbox.clock.advance(0.001)

    sandbox.guard.authenticate(sandbox.mint("ada"))
    with pytest.raises(RevokedTokenError):
        sandbox.guard.authenticate(old)


def test_an_expired_token_can_still_be_read_and_revoked() -> None:
    sandbox = Sandbox()
    token = sandbox.mint(lifetime_seconds=60)
    sandbox.clock.advance(61 + 30)

    with pytest.raises(ExpiredTokenError):
        sandbox.guard.authenticate(token)
    assert sandbox.revoke(token).revocation is not None
    sandbox.clock.advance(60)
    assert sandbox.revoke(token).revocation is None


def test_redis_is_down_within_the_block_and_for_every_question() -> None:
    sandbox = Sandbox()
    token = sandbox.mint()
    revocation = sandbox.revoke(sandbox.mint()).revocations[0]

    with sandbox.redis_down():
        for ask in (
            lambda: sandbox.guard.authenticate(token, max_staleness=0),
            lambda: sandbox.revoke(token),
            lambda: sandbox.denylist.undo(revocation.id),
            lambda: sandbox.denylist.find(revocation.id),
            sandbox.denylist.page,
            sandbox.denylist.now_ms,
        ):
            with pytest.raises(DenylistUnavailableError):
                ask()
        assert sandbox.guard.authenticate(token, max_staleness=float("inf"))
        # A bound rides the outage out for as long as it is.
        sandbox.clock.advance(59)
        assert sandbox.guard.authenticate(token, max_staleness=60)
        sandbox.clock.advance(1)
        with pytest.raises(DenylistUnavailableError):
            sandbox.guard.authenticate(token, max_staleness=60)
    sandbox.guard.authenticate(token)


def test_whatever_would_ask_redis_is_unavailable_while_it_is_down_also_where_nothing_is_held() -> None:
    sandbox = Sandbox(handles={"org": "org_id"})
    asked, org = sandbox.denylist, Handle("org", "acme", issuer="https://auth.example")
    questions: dict[str, Callable[[], object]] = {
        "changes": asked.changes,
        "find": lambda: asked.find("0-1-00000000"),
        "is_unconditional": lambda: asked.is_unconditional("org"),
        "kinds": asked.kinds,
        "latest_cutoff": lambda: asked.latest_cutoff([]),
        "latest_cutoffs": lambda: asked.latest_cutoffs([]),
        "now_ms": asked.now_ms,
        "of_handle": lambda: asked.of_handle(org),
        "open": lambda: asked.open(accept_existing=True),
        "page": asked.page,
        "revoke": lambda: asked.revoke(org),
        "revoke_many": lambda: asked.revoke_many([]),
        "undo": lambda: asked.undo("0-1-00000000"),
    }
    # These are the test's own, or ask nobody in any deny-list.
    unasked = {"copy", "down", "flush", "follow", "handle_kinds", "lifetimes"}
    assert {name for name in dir(asked) if not name.startswith("_")} == questions.keys() | unasked

    for is_lost in (False, True):
        if is_lost:
            sandbox.flush()
        with sandbox.redis_down():
            for question in questions.values():
                with pytest.raises(DenylistUnavailableError) as refused:
                    question()
                assert not isinstance(refused.value, DenylistEmptyError)
    # Nobody opened it meanwhile.
    with pytest.raises(DenylistEmptyError):
        asked.changes()


def test_redis_is_back_also_after_an_error_in_the_block() -> None:
    sandbox = Sandbox()

    with pytest.raises(KeyError), sandbox.redis_down():
        raise KeyError("x")
    sandbox.guard.authenticate(sandbox.mint())


def test_a_flush_loses_everything_and_opening_again_accepts_nothing_from_before() -> None:
    sandbox = Sandbox()
    token = sandbox.mint()
    sandbox.flush()

    with pytest.raises(DenylistEmptyError):
        sandbox.guard.authenticate(token)
    sandbox.denylist.open()
    with pytest.raises(RevokedTokenError):
        sandbox.guard.authenticate(token)
    sandbox.clock.advance(1)
    sandbox.guard.authenticate(sandbox.mint())


def test_two_sandboxes_trust_each_other_in_nothing() -> None:
    with pytest.raises(InvalidTokenError):
        Sandbox().guard.authenticate(Sandbox().mint())


def test_lifetimes_can_be_chosen() -> None:
    sandbox = Sandbox(lifetimes=Lifetimes(max_token_seconds=60, leeway_seconds=0))

    token = sandbox.mint(lifetime_seconds=60)
    sandbox.guard.authenticate(token)
    with pytest.raises(InvalidTokenError, match="longer than 60"):
        sandbox.guard.authenticate(sandbox.mint(lifetime_seconds=61))
    sandbox.clock.advance(60)
    with pytest.raises(ExpiredTokenError):
        sandbox.guard.authenticate(token)


def test_the_clock_stands_still_until_it_is_told_otherwise() -> None:
    clock = Clock(10)

    assert [clock(), clock()] == [10, 10]
    clock.advance(2.5)
    assert clock() == 12.5
