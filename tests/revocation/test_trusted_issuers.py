"""TrustedIssuers: whose token it is chooses who judges it, and nothing else."""

import json
import math
from typing import Any

import pytest

from revocation import (
    Accepted,
    ClaimNames,
    ConfigurationError,
    Guard,
    Handle,
    InvalidTokenError,
    KeySet,
    MemoryDenylist,
    Refused,
    RevokedTokenError,
    TokenVerifier,
    TrustedIssuers,
)
from revocation.keys import Key
from revocation.testing import Clock
from tests.support.tokens import AUDIENCE, ISSUER, Forge, encoded, key

OTHER = "https://other.example"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ours(clock: Clock) -> Forge:
    return Forge(key("ES256"), clock=clock)


class OtherForge(Forge):
    """Another issuer, with other keys, another audience, another type and other names."""

    def header(self, **members: Any) -> dict[str, Any]:
        return super().header(**{"typ": "JWT", **members})

    def claims(self, **claims: Any) -> dict[str, Any]:
        absent = {"scope": None, "jti": None, "client_id": None}
        own = {"iss": OTHER, "aud": "other-api", "scp": ["read"], "uti": f"t-{len(claims)}", "cid": "app"}
        return super().claims(**{**absent, **own, **claims})


@pytest.fixture
def theirs(clock: Clock) -> OtherForge:
    return OtherForge(key("EdDSA", "theirs"), clock=clock)


def verifier_of_theirs(theirs: Forge, **options: Any) -> TokenVerifier:
    names = ClaimNames(token_id="uti", client_id=("cid",), scope=("scp",))
    chosen = {"issuer": OTHER, "audience": "other-api", "token_types": ("JWT",), "names": names, **options}
    return theirs.verifier(**chosen)


@pytest.fixture
def trusted(ours: Forge, theirs: Forge) -> TrustedIssuers:
    return TrustedIssuers([ours.verifier(), verifier_of_theirs(theirs)])


def reason(trusted: TrustedIssuers, token: str) -> str | None:
    try:
        trusted.verify(token)
    except InvalidTokenError as error:
        return error.reason
    return None


def test_each_issuer_has_its_own_keys_audience_types_and_names(
    trusted: TrustedIssuers, ours: Forge, theirs: Forge
) -> None:
    for _ in range(2):
        assert trusted.verify(ours.token()).issuer == ISSUER
        claims = trusted.verify(theirs.token())
        assert (claims.issuer, claims.client_id, claims.scope) == (OTHER, "app", frozenset({"read"}))

    # Nothing of one issuer counts for the other.
    assert reason(trusted, ours.token(ours.claims(iss=OTHER))) == "type"
    assert reason(trusted, theirs.token(theirs.claims(iss=ISSUER))) == "type"
    assert reason(trusted, ours.token(ours.claims(iss=OTHER), ours.header(typ="JWT"))) == "unknown_key"
    assert reason(trusted, ours.token(ours.claims(aud="other-api"))) == "audience"
    assert reason(trusted, theirs.token(theirs.claims(aud=AUDIENCE))) == "audience"


def test_the_issuer_of_a_token_decides_nothing(trusted: TrustedIssuers, ours: Forge) -> None:
    foreign = Forge(key("ES256", "foreign"), clock=ours.clock)
    for iss in (ISSUER, OTHER):
        for kid in (ours.key.id, None):
            header = ours.header(kid=kid, typ="at+jwt" if iss == ISSUER else "JWT")
            assert reason(trusted, foreign.token(foreign.claims(iss=iss), header)) in ("signature", "unknown_key")


@pytest.mark.parametrize(
    "iss", ["https://nobody.example", "", ISSUER + "/", ISSUER.upper(), None, 7, [ISSUER], {"iss": ISSUER}, True]
)
def test_a_token_of_nobody_is_refused(trusted: TrustedIssuers, ours: Forge, iss: Any) -> None:
    assert reason(trusted, ours.token({**ours.claims(), "iss": iss})) == "issuer"
    assert reason(trusted, ours.token(ours.claims(iss=None))) == "issuer"


@pytest.mark.parametrize("text", ["", "a.b", "..", "a.b.c", "\ud800", "x" * 8193, f"{encoded({})}.{encoded([])}.AAAA"])
def test_what_is_no_token_is_refused_as_by_one_verifier(trusted: TrustedIssuers, ours: Forge, text: str) -> None:
    with pytest.raises(InvalidTokenError) as alone:
        ours.verifier().verify(text)
    assert reason(trusted, text) in (alone.value.reason, "issuer", "malformed")
    with pytest.raises(InvalidTokenError):
        trusted.verify_ignoring_expiry(text)


def test_time_and_caches_are_those_of_the_verifiers(trusted: TrustedIssuers, ours: Forge, clock: Clock) -> None:
    token = ours.token()
    for _ in range(3):
        trusted.verify(token)
    assert (trusted.cache_hits, trusted.cache_misses) == (2, 1)
    clock.advance(2000)
    assert reason(trusted, token) == "expired"
    assert trusted.verify_ignoring_expiry(token).issuer == ISSUER


def test_a_token_is_parsed_once(trusted: TrustedIssuers, ours: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    token, loads = ours.token(), json.loads
    parsed: list[Any] = []

    def counted(text: Any, **options: Any) -> Any:
        parsed.append(text)
        return loads(text, **options)

    monkeypatch.setattr(json, "loads", counted)
    trusted.verify(token)
    assert len(parsed) == 2  # the header, and the claims
    trusted.verify(token)
    assert len(parsed) == 2


def test_a_token_without_iss_is_judged_by_the_verifier_that_takes_such(ours: Forge, theirs: Forge) -> None:
    trusted = TrustedIssuers([ours.verifier(), verifier_of_theirs(theirs, require_iss=False)])

    assert trusted.verify(theirs.token(theirs.claims(iss=None))).issuer == OTHER
    assert trusted.verify(theirs.token()).issuer == OTHER
    assert trusted.verify(ours.token()).issuer == ISSUER
    assert reason(trusted, ours.token(ours.claims(iss=None))) == "type"


def test_a_guard_revokes_within_the_issuer(trusted: TrustedIssuers, ours: Forge, theirs: Forge, clock: Clock) -> None:
    denylist = MemoryDenylist(clock=clock)
    guard = Guard(trusted, denylist, max_staleness=0, clock=clock)
    mine, other = ours.token(), theirs.token()
    denylist.revoke(Handle("subject", "ada", issuer=OTHER))

    assert isinstance(guard.decide(mine), Accepted)
    decision = guard.decide(other)
    assert isinstance(decision, Refused)
    assert isinstance(decision.error, RevokedTokenError)
    # Claims that somebody else verified are read under the names of their issuer.
    guard.check(ours.claims(sub="bob"))
    with pytest.raises(RevokedTokenError):
        guard.check(theirs.claims())
    with pytest.raises(InvalidTokenError, match="not trusted"):
        guard.check(ours.claims(iss="https://nobody.example"))


def test_the_ids_of_a_key_are_those_of_its_issuer(ours: Forge, theirs: Forge, clock: Clock) -> None:
    twin = Key("twin", ours.key.algorithm, ours.key.verifying)
    trusted = TrustedIssuers([ours.verifier(KeySet([ours.key, twin])), verifier_of_theirs(theirs)])

    assert trusted.other_key_ids(ISSUER, "twin") == (ours.key.id,)
    assert trusted.other_key_ids(OTHER, "twin") == ()
    assert trusted.other_key_ids("https://nobody.example", "twin") == ()


def test_what_cannot_be_told_apart_is_refused_when_it_is_made(ours: Forge, theirs: Forge) -> None:
    without = [ours.verifier(require_iss=False), verifier_of_theirs(theirs, require_iss=False)]
    for verifiers in ([], [ours.verifier(), ours.verifier(audience="x")], without):
        with pytest.raises(ConfigurationError):
            TrustedIssuers(verifiers)


def test_a_guard_needs_no_verifier_to_forgive_more_than_the_denylist(ours: Forge, theirs: Forge) -> None:
    lenient = TrustedIssuers([ours.verifier(leeway_seconds=30), verifier_of_theirs(theirs, leeway_seconds=31)])
    with pytest.raises(ConfigurationError, match="leeway"):
        Guard(lenient, MemoryDenylist(), max_staleness=math.inf)
