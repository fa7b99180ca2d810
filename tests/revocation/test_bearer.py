"""Bearer: where a request carries its token, and what the answers have in common in every framework."""

import logging

import pytest

from revocation import DenylistUnavailableError, ExpiredTokenError, MissingTokenError, Refused
from revocation.bearer import Bearer, holds_token, server_timing, token_in


@pytest.mark.parametrize("encoded", ["access_token=x", "a=1&access_token", "access%5Ftoken=", "%61ccess_token=1&b=2"])
def test_a_token_is_found_in_a_query_however_its_name_is_written(encoded: str) -> None:
    assert holds_token(encoded)


@pytest.mark.parametrize(
    "encoded", ["", "a=access_token", "access_token2=x", "access+token=x", "%zz", "a%3Daccess_token"]
)
def test_what_only_looks_like_a_token_is_none(encoded: str) -> None:
    assert not holds_token(encoded)


def test_a_header_without_a_bearer_token_is_missing_and_not_bad() -> None:
    assert token_in("bEARER  x ") == "x"
    for header in ("", "Bearer", "Bearer  ", "Basic eA=="):
        with pytest.raises(MissingTokenError):
            token_in(header)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0, "0.000"),
        (1.4e-6, "0.001"),
        (1.6e-6, "0.002"),
        (0.0009994, "0.999"),
        (0.0009996, "1.000"),
        (12.3456789, "12345.679"),
    ],
)
def test_server_timing_tells_milliseconds_to_the_microsecond(seconds: float, told: str) -> None:
    decision = Refused(ExpiredTokenError(), None, "redis", seconds, 2 * seconds)
    timing = server_timing(decision)
    assert timing.startswith(f"verify;dur={told}, revocation;dur=")
    assert timing.endswith(';desc="redis"')


def test_the_log_says_why_requests_are_answered_with_503_and_says_each_reason_once(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("revocation.bearer.time.monotonic", lambda: now)
    bearer = Bearer()
    with caplog.at_level(logging.WARNING, "revocation"):
        for seconds in range(20, 40):
            bearer.answer(DenylistUnavailableError(f"The clocks differ by {seconds} s."))
            bearer.answer(DenylistUnavailableError("Every connection to Redis is in use."))
            bearer.answer(ExpiredTokenError())
        now += 61
        bearer.answer(DenylistUnavailableError("The clocks differ by 7 s."))

    assert [record.getMessage() for record in caplog.records] == [
        "Requests are answered with 503: The clocks differ by 20 s.",
        "Requests are answered with 503: Every connection to Redis is in use.",
        "Requests are answered with 503: The clocks differ by 7 s.",
    ]


def test_reasons_without_end_take_no_memory() -> None:
    bearer = Bearer()
    for number in range(1000):
        bearer.answer(DenylistUnavailableError("no " + "x" * number))

    assert len(bearer._outages._told) <= 32
