"""Hostile JSON: whatever a token is made of, the answer is a refusal, and it comes soon."""

import time
from collections.abc import Callable

import pytest

from revocation import InvalidTokenError, TokenVerifier
from tests.support.tokens import Forge, encoded, key

GOOD = (
    '"iss":"https://auth.example","aud":"https://api.example","sub":"ada","iat":1800000000,"exp":1800000900,"jti":"a"'
)

#: Far more than any of these needs, and far less than an attack needs.
CPU_SECONDS = 1.0

DOCUMENTS: dict[str, str] = {
    "50,000 nested lists": '{"x":' + "[" * 50_000 + "]" * 50_000 + "," + GOOD + "}",
    "50,000 nested objects": '{"x":' * 50_000 + "1" + "}" * 50_000,
    "50,000 lists that never end": "[" * 50_000,
    "3,000 nested lists": '{"x":' + "[" * 3000 + "]" * 3000 + "," + GOOD + "}",
    "1,000 nested objects": '{"x":' * 990 + "1" + "}" * 990,
    "a megabyte of text": '{"x":"' + "a" * 1_000_000 + '",' + GOOD + "}",
    "a megabyte of white space": " " * 1_000_000 + "{" + GOOD + "}",
    "a megabyte of digits": '{"x":' + "9" * 1_000_000 + "," + GOOD + "}",
    "a megabyte of fraction": '{"x":0.' + "9" * 1_000_000 + "," + GOOD + "}",
    "a megabyte of exponent": '{"x":1e' + "9" * 1_000_000 + "," + GOOD + "}",
    "a megabyte of escapes": '{"x":"' + "\\u0061" * 160_000 + '",' + GOOD + "}",
    "a megabyte of names": "{" + ",".join(f'"{number}":0' for number in range(90_000)) + "," + GOOD + "}",
    "a megabyte of one name": "{" + ",".join('"jti":"a"' for _ in range(90_000)) + "," + GOOD + "}",
    "a megabyte of commas": "[" + "0," * 500_000 + "0]",
    "a whole number of 4,300 digits as exp": "{" + GOOD.replace("1800000900", "9" * 4300) + "}",
    "NaN": '{"exp":NaN,' + GOOD + "}",
    "minus Infinity": '{"x":-Infinity,' + GOOD + "}",
    "a lone surrogate": '{"sub":"\\ud800",' + GOOD.replace('"sub":"ada",', "") + "}",
    "a lone surrogate in a name deep inside": '{"x":[{"y":{"\\udfff":1}}],' + GOOD + "}",
    "the same claim twice": '{"jti":"b",' + GOOD + "}",
    "the same name twice deep inside": '{"x":[{"y":1,"y":1}],' + GOOD + "}",
    "a name twice by its escape": '{"\\u006ati":"b",' + GOOD + "}",
    "NUL": '{"sub":"a\\u0000b",' + GOOD.replace('"sub":"ada",', "") + "}",
    "half an escape": '{"x":"\\u00',
    "nothing": "",
    "white space": "   ",
    "two documents": "{" + GOOD + "}{" + GOOD + "}",
}

VERIFIERS: dict[str, Callable[[Forge], TokenVerifier]] = {
    "by default": lambda forge: forge.verifier(),
    "with tokens of any size": lambda forge: forge.verifier(max_token_bytes=10_000_000),
}

#: These are good tokens where somebody allows tokens of any size: unknown claims are ignored.
ONLY_LARGE = frozenset(
    {
        *("a megabyte of text", "a megabyte of white space", "a megabyte of fraction", "a megabyte of exponent"),
        *("a megabyte of escapes", "a megabyte of names"),
    }
)


def outcome(verifier: TokenVerifier, token: str) -> tuple[bool, float]:
    """Whether it was accepted, and the CPU time that took. Anything but a reasoned refusal is an error here."""
    refusal: InvalidTokenError | None = None
    started = time.process_time()
    try:
        verifier.verify(token)
    except InvalidTokenError as error:
        refusal = error
    spent = time.process_time() - started
    if refusal is not None:
        assert len(str(refusal)) < 200
        assert len(refusal.reason) < 40
    return refusal is None, spent


@pytest.mark.parametrize("size", VERIFIERS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_claims_are_refused_soon(name: str, size: str) -> None:
    forge = Forge(key("HS256"))
    verifier = VERIFIERS[size](forge)

    accepted, seconds = outcome(verifier, forge.token(DOCUMENTS[name]))

    assert accepted == (name in ONLY_LARGE and size != "by default")
    assert seconds < CPU_SECONDS


@pytest.mark.parametrize("size", VERIFIERS)
@pytest.mark.parametrize("name", DOCUMENTS)
def test_hostile_headers_are_refused_soon_though_nobody_signed_them(name: str, size: str) -> None:
    forge = Forge(key("HS256"))
    verifier = VERIFIERS[size](forge)
    as_header = DOCUMENTS[name].replace(GOOD, '"alg":"HS256","typ":"at+jwt","jti":"a"')

    accepted, seconds = outcome(verifier, f"{encoded(as_header)}.{encoded(forge.claims())}.{encoded(bytes(32))}")

    assert not accepted
    assert seconds < CPU_SECONDS


@pytest.mark.parametrize("depth", [10, 100, 500, *range(930, 1010, 4), 2000])
def test_nesting_of_any_depth_is_accepted_or_refused_and_breaks_nothing(depth: int) -> None:
    forge = Forge(key("HS256"))
    nested = "[" * depth + "]" * depth
    verifier = forge.verifier()

    outcome(verifier, forge.token('{"x":' + nested + "," + GOOD + "}"))
    outcome(verifier, forge.token(header=f'{{"alg":"HS256","typ":"at+jwt","x":{nested}}}'))
    outcome(verifier, forge.token('{"aud":' + nested + "," + GOOD.replace('"aud":"https://api.example",', "") + "}"))


def test_a_large_token_costs_nothing() -> None:
    forge = Forge(key("HS256"))
    token = forge.token({**forge.claims(), "x": "a" * 1_000_000})
    verifier = forge.verifier()

    spent = sum(outcome(verifier, token)[1] for _ in range(1000))

    assert spent < CPU_SECONDS


@pytest.mark.parametrize(
    "text",
    [
        *(
            "." * 1_000_000,
            "a" * 1_000_000,
            "a." * 500_000,
            "A.A.A" * 100_000,
            "a" * 8190 + ".",
            "=" * 8192,
            "\n" * 8192,
        ),
        *("." * 8192, "a." * 4096, "-" * 8192, "🧀" * 8192, "a" * 4000 + "." + "b" * 4000 + "." + "!"),
    ],
)
def test_text_of_any_shape_is_refused_soon(text: str) -> None:
    accepted, seconds = outcome(Forge().verifier(), text)

    assert not accepted
    assert seconds < CPU_SECONDS


@pytest.mark.parametrize("token", ["canary-canary-canary", "{good}x", "{good}.x", "x{good}"])
def test_no_error_repeats_the_token(token: str) -> None:
    forge = Forge(key("HS256"))
    sent = token.format(good=forge.token())

    with pytest.raises(InvalidTokenError) as caught:
        forge.verifier().verify(sent)
    error: BaseException | None = caught.value
    while error is not None:
        assert sent not in str(error)
        assert sent[-20:] not in str(error)
        error = error.__cause__
