"""What TokenVerifier accepts, and the stable reason for which it refuses everything else."""

import inspect
import json
import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from revocation import (
    ClaimNames,
    Claims,
    ConfigurationError,
    ExpiredTokenError,
    Guard,
    Handle,
    InvalidTokenError,
    KeySet,
    MemoryDenylist,
    Refused,
    TokenVerifier,
)
from revocation.keys import AlgorithmName
from revocation.testing import Clock
from tests.support.tokens import AUDIENCE, ISSUER, Forge, decoded, encoded, key

VECTORS: list[dict[str, Any]] = json.loads((Path(__file__).parent / "vectors" / "tokens.json").read_text("utf-8"))

ALGORITHMS: tuple[AlgorithmName, ...] = ("ES256", "RS256", "EdDSA", "HS256")


def without(mapping: dict[str, Any], names: list[str]) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name not in names}


def token_of(forge: Forge, vector: dict[str, Any]) -> str:
    """The token a vector describes: changes to a good one, or its parts letter by letter. Signed with the right key."""
    header: Any = without({**forge.header(), **vector.get("header", {})}, vector.get("without_header", []))
    claims: Any = without({**forge.claims(), **vector.get("claims", {})}, vector.get("without", []))
    if "raw_header" in vector:
        header = vector["raw_header"].encode(vector.get("encoding_header", "utf-8"))
    if "raw_claims" in vector:
        claims = vector["raw_claims"].encode(vector.get("encoding", "utf-8"))
    return forge.token(claims, header)


def reason(verifier: TokenVerifier, token: str) -> str | None:
    """Why a token is refused; None where it is not."""
    try:
        verifier.verify(token)
    except InvalidTokenError as error:
        return error.reason
    return None


class Rotating:
    """A source of keys that finds the next ones when it is asked to look again, and may fail."""

    def __init__(self, keys: KeySet) -> None:
        self.next = self.keys = keys
        self.fails = ""

    def key_set(self) -> KeySet:
        if self.fails == "key_set":
            raise OSError("no such source")
        return self.keys

    def refreshed(self) -> KeySet:
        if self.fails == "refreshed":
            raise RuntimeError("no such source")
        self.keys = self.next
        return self.keys


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_a_token_is_judged_to_the_letter(vector: dict[str, Any]) -> None:
    forge = Forge(key("ES256"))

    assert reason(forge.verifier(), token_of(forge, vector)) == vector["reason"]


def test_names_of_vectors_are_unique() -> None:
    names = [vector["name"] for vector in VECTORS]

    assert len(names) == len(set(names))


# What comes out


def test_claims_say_what_stood_in_the_token() -> None:
    forge = Forge()
    claims = forge.claims(
        iat=forge.clock() - 0.25, nbf=int(forge.clock()), scope="me  reports:read", aud=["x", AUDIENCE]
    )

    verified = forge.verifier().verify(forge.token(claims))

    assert verified == Claims(
        issuer=ISSUER,
        subject="ada",
        token_id=claims["jti"],
        issued_at=claims["iat"],
        expires_at=claims["exp"],
        not_before=claims["nbf"],
        audience=("x", AUDIENCE),
        scope=frozenset({"me", "reports:read"}),
        session_id="session-1",
        client_id="first-party",
        key_id=forge.key.id,
        judged_at_ms=round(claims["iat"] * 1000) - 30_000,
        _raw=claims,
    )
    assert [(one.kind, one.value) for one in verified.handles] == [
        ("token", claims["jti"]),
        ("session", "session-1"),
        ("subject", "ada"),
        ("client", "first-party"),
        ("key", forge.key.id),
        ("issuer", ""),
    ]
    assert {one.issuer for one in verified.handles} == {ISSUER}


def test_a_key_with_two_ids_gives_a_handle_for_each() -> None:
    forge = Forge()
    keys = KeySet([replace(forge.key, id="first"), key("ES256", "other"), replace(forge.key, id="second")])

    verified = forge.verifier(keys).verify(forge.token(header=forge.header(kid="second")))

    assert verified.key_id == "second"
    assert verified.other_key_ids == ("first",)
    assert [one.value for one in verified.handles if one.kind == "key"] == ["second", "first"]


@pytest.mark.parametrize("cache_size", [0, 10])
def test_what_somebody_does_to_the_raw_claims_reaches_nobody_else(cache_size: int) -> None:
    forge = Forge()
    sent = forge.claims(roles=["reader"], realm={"name": "main", "groups": [{"id": 1, "of": []}]})
    token, verifier = forge.token(sent), forge.verifier(cache_size=cache_size)
    mine = verifier.verify(token).raw

    mine["roles"].append("admin")
    mine["realm"]["name"] = "other"
    mine["realm"]["groups"][0]["of"].append("everything")
    mine["realm"]["groups"].clear()
    mine["scope"] = "all"
    del mine["sub"]

    claims = verifier.verify(token)
    assert claims.raw == claims.raw == sent
    assert json.loads(json.dumps(claims.raw)) == sent
    assert type(claims.raw["roles"]) is list


def test_raw_claims_can_be_read_however_deep_they_are_and_with_a_full_stack() -> None:
    forge = Forge()
    claims = forge.verifier().verify(
        forge.token('{"x":' + "[" * 200 + "]" * 200 + f",{json.dumps(forge.claims())[1:]}")
    )

    def read_from(frames: int) -> Any:
        return read_from(frames - 1) if frames else claims.raw["x"]

    depth, inner = 0, read_from(sys.getrecursionlimit() - len(inspect.stack()) - 20)
    while inner:
        depth, inner = depth + 1, inner[0]
    assert depth == 199


def test_azp_names_the_client_where_client_id_does_not() -> None:
    forge = Forge()

    assert forge.verifier().verify(forge.token(forge.claims(client_id=None, azp="spa"))).client_id == "spa"
    assert forge.verifier().verify(forge.token(forge.claims(azp="spa"))).client_id == "first-party"


@pytest.mark.parametrize(("tolerance", "earlier_ms"), [(None, 30_000), (0, 0), (2.5, 2500), (0.0001, 1)])
def test_cutoffs_are_compared_with_iat_less_the_tolerance(tolerance: float | None, earlier_ms: int) -> None:
    forge = Forge()
    verifier = forge.verifier(iat_tolerance_seconds=tolerance)

    assert verifier.verify(forge.token()).judged_at_ms == round(forge.clock() * 1000) - earlier_ms


# Time


@pytest.mark.parametrize("leeway", [0, 1, 30, 300])
def test_a_token_is_good_until_its_exp_plus_leeway_and_not_a_moment_longer(leeway: int) -> None:
    clock = Clock()
    forge = Forge(clock=clock)
    verifier = forge.verifier(leeway_seconds=leeway)
    claims = forge.claims()
    token = forge.token(claims)

    for now, good in ((-0.001, True), (0, False), (0.001, False), (3600, False)):
        clock.now = claims["exp"] + leeway + now
        assert (reason(verifier, token) is None) == good
    with pytest.raises(ExpiredTokenError):
        verifier.verify(token)
    assert verifier.verify_ignoring_expiry(token).expires_at == claims["exp"]


def test_ignoring_expiry_ignores_nothing_else() -> None:
    clock = Clock()
    forge = Forge(clock=clock)
    verifier = forge.verifier()
    good = forge.claims()
    later = [good | {"aud": "x"}, good | {"iss": "x"}, good | {"iat": clock() + 60}, good | {"nbf": clock() + 60}]

    for claims in later:
        with pytest.raises(InvalidTokenError):
            verifier.verify_ignoring_expiry(forge.token(claims))
    with pytest.raises(InvalidTokenError):
        verifier.verify_ignoring_expiry(forge.token(good)[:-8] + "AAAAAAAA")


@pytest.mark.parametrize("claim", ["nbf", "iat"])
def test_a_token_is_not_good_before_its_time_less_the_leeway(claim: str) -> None:
    clock = Clock()
    forge = Forge(clock=clock)
    begin = int(clock()) + 100
    token = forge.token(forge.claims(**{claim: begin, "exp": begin + 900}))

    clock.now = begin - 30.001
    assert reason(forge.verifier(), token) is not None
    clock.now = begin - 30
    assert reason(forge.verifier(), token) is None


# Settings


def test_types_can_be_chosen() -> None:
    forge = Forge()
    verifier = forge.verifier(token_types=("JWT", "application/x+jwt"))

    judged = {typ: reason(verifier, forge.token(header=forge.header(typ=typ))) for typ in ("jwt", "X+jwt", "at+jwt")}

    assert judged == {"jwt": None, "X+jwt": None, "at+jwt": "type"}


def test_several_audiences_can_be_ours() -> None:
    forge = Forge()
    verifier = forge.verifier(audience=["a", "b"])

    judged = {aud: reason(verifier, forge.token(forge.claims(aud=aud))) for aud in ("a", "b", "c", "ab")}

    assert judged == {"a": None, "b": None, "c": "audience", "ab": "audience"}


def test_issuers_that_send_no_jti_can_be_accepted_but_a_bad_jti_cannot() -> None:
    forge = Forge()
    verifier = forge.verifier(require_jti=False)

    for none in (forge.claims(jti=None), {**forge.claims(), "jti": None}):
        claims = verifier.verify(forge.token(none))
        assert claims.token_id is None
        assert "token" not in [one.kind for one in claims.handles]
    for bad in ("", 7, "a\nb"):
        assert reason(verifier, forge.token({**forge.claims(), "jti": bad})) == "claim_jti"


def test_an_issuer_may_write_claims_under_other_names() -> None:
    forge = Forge()
    names = ClaimNames(
        token_id="uti", subject="oid", session_id="login", client_id=("appid", "cid"), scope=("scp", "roles")
    )
    verifier = forge.verifier(names=names)
    absent = dict.fromkeys(("jti", "sub", "sid", "client_id", "scope"))
    own = {"uti": "t", "oid": "u", "login": "s", "cid": "c", "scp": "read write", "roles": ["admin", "read"]}
    theirs = forge.claims(**absent, **own)

    claims = verifier.verify(forge.token(theirs))

    assert (claims.token_id, claims.subject, claims.session_id, claims.client_id) == ("t", "u", "s", "c")
    assert claims.scope == {"read", "write", "admin"}
    assert reason(verifier, forge.token({**theirs, "uti": None})) == "claim_uti"
    assert reason(verifier, forge.token(forge.claims())) == "missing_oid"
    # The names of the RFCs mean nothing here.
    assert verifier.verify(forge.token({**theirs, "scope": "everything", "sid": 7, "azp": "x"})) is not None
    Guard(verifier, MemoryDenylist(clock=forge.clock), clock=forge.clock).check(theirs)


@pytest.mark.parametrize(
    "wrong", [{"scope": "scp"}, {"client_id": "cid"}, {"token_id": ""}, {"subject": 7}, {"scope": ("scp", "")}]
)
def test_a_name_of_a_claim_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ClaimNames(**wrong)


def test_a_scope_may_be_a_list() -> None:
    forge = Forge()

    assert forge.verifier().verify(forge.token(forge.claims(scope=["me", "reports:read"]))).scope == {
        *("me", "reports:read")
    }
    assert forge.verifier().verify(forge.token({**forge.claims(), "scope": None})).scope == frozenset()


def test_optional_claims_that_are_null_are_as_good_as_missing() -> None:
    forge = Forge()
    empty = {"sid": None, "client_id": None, "azp": None, "scope": None, "nbf": None}

    claims = forge.verifier().verify(forge.token({**forge.claims(), **empty}))

    assert (claims.session_id, claims.client_id, claims.scope, claims.not_before) == (None, None, frozenset(), None)
    assert {one.kind for one in claims.handles} == {"token", "subject", "key", "issuer"}


def test_a_subject_may_be_a_whole_number_where_that_is_asked_for() -> None:
    forge = Forge()
    verifier = forge.verifier(integer_subject=True)

    judged = {
        repr(sub): reason(verifier, forge.token({**forge.claims(), "sub": sub}))
        for sub in (7, -7, 0, 10**300, "7", 7.0, True, None, [7], "")
    }

    assert {name for name, why in judged.items() if why is None} == {"7", "-7", "0", "'7'"}
    assert set(judged.values()) == {None, "claim_sub"}
    assert verifier.verify(forge.token(forge.claims(sub=7))).subject == "7"
    assert reason(forge.verifier(), forge.token(forge.claims(sub=7))) == "claim_sub"


def test_the_life_of_a_token_whose_exp_has_a_fraction_is_rounded_up_where_it_is_revoked() -> None:
    forge = Forge()
    claims = forge.verifier().verify(forge.token(forge.claims(exp=forge.clock() + 900.25)))
    denylist = MemoryDenylist(clock=forge.clock)
    denylist.revoke(Handle.token(claims))

    forge.clock.now = claims.expires_at + 30 + 60
    assert denylist.latest_cutoff(claims.handles) == math.inf
    assert reason(forge.verifier(), forge.token(claims.raw)) == "expired"


def test_without_an_audience_only_tokens_that_have_none_are_taken() -> None:
    forge = Forge()
    verifier = forge.verifier(audience=None)

    assert verifier.verify(forge.token(forge.claims(aud=None))).audience == ()
    assert reason(verifier, forge.token({**forge.claims(), "aud": None})) is None
    assert reason(verifier, forge.token({**forge.claims(), "aud": []})) is None
    # RFC 7519, section 4.1.3: whoever finds no audience of its own among those that are named refuses.
    assert reason(verifier, forge.token(forge.claims())) == "audience"
    assert reason(verifier, forge.token(forge.claims(aud=[""]))) == "audience"


def test_a_claim_may_have_to_have_a_value() -> None:
    forge = Forge()
    verifier = forge.verifier(required_claims={"token_use": "access", "groups": ("staff", "admins")})
    good = forge.claims(token_use="access", groups=["admins", "x"])

    judged = [
        reason(verifier, forge.token(claims))
        for claims in (
            good,
            good | {"groups": "staff"},
            good | {"token_use": "id"},
            good | {"token_use": "Access"},
            good | {"token_use": None},
            good | {"token_use": {"access": 1}},
            good | {"groups": ["x", 7, None]},
            good | {"groups": []},
            {name: value for name, value in good.items() if name != "token_use"},
        )
    ]

    assert judged == [None, None, *["claim_token_use"] * 4, *["claim_groups"] * 2, "claim_token_use"]


def test_a_header_without_a_type_is_taken_where_that_is_asked_for() -> None:
    forge = Forge()
    verifier = forge.verifier(token_types=("JWT", None))

    judged = [reason(verifier, forge.token(header=forge.header(typ=typ))) for typ in (None, "JWT", "at+jwt", "None")]

    assert judged == [None, None, "type", "type"]
    assert reason(verifier, forge.token(header={**forge.header(), "typ": None})) == "type"
    assert reason(forge.verifier(), forge.token(header=forge.header(typ=None))) == "type"


def test_an_issuer_that_writes_no_iss_can_be_accepted_but_another_one_cannot() -> None:
    forge = Forge()
    verifier = forge.verifier(require_iss=False)

    assert verifier.verify(forge.token(forge.claims(iss=None))).issuer == ISSUER
    assert reason(verifier, forge.token()) is None
    assert reason(verifier, forge.token(forge.claims(iss="https://other.example"))) == "issuer"
    assert reason(forge.verifier(), forge.token(forge.claims(iss=None))) == "missing_iss"


UNFIT: dict[str, list[Any]] = {
    "issuer": [[ISSUER], (), "", None, 7],
    "audience": ["", [], (), set(), [""], ["a", ""], [None], [7]],
    "token_types": ["JWT", (), []],
    "required_claims": [{"token_use": values} for values in ("", [], [""], [None])],
}


@pytest.mark.parametrize("wrong", [{name: value} for name, values in UNFIT.items() for value in values], ids=repr)
def test_a_verifier_that_could_only_refuse_is_not_made(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Forge().verifier(**wrong)


def test_the_longest_life_and_size_can_be_chosen() -> None:
    forge = Forge()
    token = forge.token()

    assert reason(forge.verifier(max_lifetime_seconds=900), token) is None
    assert reason(forge.verifier(max_lifetime_seconds=899), token) == "lifetime"
    assert reason(forge.verifier(max_token_bytes=len(token)), token) is None
    assert reason(forge.verifier(max_token_bytes=len(token) - 1), token) == "too_long"


def test_a_misspelt_option_is_an_error_and_not_a_warning() -> None:
    with pytest.raises(TypeError, match="isuer"):
        TokenVerifier(KeySet([key()]), isuer=ISSUER, audience=AUDIENCE)  # type: ignore[call-arg]  # that is the point
    with pytest.raises(TypeError, match="audience"):
        TokenVerifier(KeySet([key()]), issuer=ISSUER)  # type: ignore[call-arg]  # likewise


# Keys


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_verifies(algorithm: AlgorithmName) -> None:
    forge = Forge(key(algorithm))

    assert forge.verifier().verify(forge.token()).key_id == key(algorithm).id


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_key_is_found_by_its_id_among_others(algorithm: AlgorithmName) -> None:
    keys = KeySet([key(one, name) for one in ALGORITHMS for name in ("first", "second")])
    forge = Forge(key(algorithm, "second"))

    assert forge.verifier(keys).verify(forge.token()).key_id == forge.key.id


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_without_a_kid_any_key_of_the_algorithm_may_have_signed(algorithm: AlgorithmName) -> None:
    forges = [Forge(key(algorithm, name)) for name in ("first", "second")]
    every = [key(one) for one in ALGORITHMS]
    verifier = forges[0].verifier(KeySet([*every, forges[1].key]))

    # Both tokens have the same header.
    for forge in (*forges, *forges):
        assert verifier.verify(forge.token(header=forge.header(kid=None))).key_id == forge.key.id
    foreign = Forge(key(algorithm, "foreign"))
    assert reason(verifier, foreign.token(header=foreign.header(kid=None))) == "signature"
    none = KeySet([one for one in every if one != forges[0].key])
    assert reason(forges[0].verifier(none), forges[0].token(header=forges[0].header(kid=None))) == "unknown_key"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_key_does_not_verify_what_names_it(algorithm: AlgorithmName) -> None:
    trusted, foreign = key(algorithm), Forge(key(algorithm, "foreign"))
    forge = Forge(trusted)

    token = foreign.token(header=forge.header())

    assert reason(forge.verifier(), token) == "signature"


def test_without_a_kid_a_key_that_the_issuer_has_by_now_is_found() -> None:
    source = Rotating(KeySet([key("ES256", "old")]))
    old, new, foreign = Forge(key("ES256", "old")), Forge(key("ES256", "new")), Forge(key("ES256", "foreign"))
    verifier = TokenVerifier(source, issuer=ISSUER, audience=AUDIENCE, clock=new.clock)
    assert reason(verifier, old.token(header=old.header(kid=None))) is None

    source.next = KeySet([key("ES256", "new")])

    assert reason(verifier, foreign.token(header=foreign.header(kid=None))) == "signature"
    assert reason(verifier, new.token(header=new.header(kid=None))) is None
    assert reason(verifier, old.token(header=old.header(kid=None))) == "signature"


@pytest.mark.parametrize("straggles", [0, 1])
def test_what_a_straggler_knows_of_withdrawn_keys_is_not_taken_for_knowledge_of_the_new(straggles: int) -> None:
    old, new = (Forge(key("ES256", name)) for name in ("old", "new"))
    withdrawn, current = KeySet([old.key]), KeySet([new.key])
    header = old.token().split(".")[0]
    written: list[Any] = []

    class Raced(TokenVerifier):
        """Another thread has just written, or is about to, whenever this one reads."""

        reads = straggles

        @property
        def _headers(self) -> Any:
            self.reads += 1
            return (withdrawn, {header: (old.key,)}) if self.reads % 2 else (current, {})

        @_headers.setter
        def _headers(self, value: Any) -> None:
            written.append(value)

    verifier = Raced(current, issuer=ISSUER, audience=AUDIENCE, cache_size=0, clock=new.clock)
    for _ in range(4):
        assert reason(verifier, old.token()) == "unknown_key"
        assert reason(verifier, new.token()) is None
    assert written
    assert not [known for keys, known in written if keys is current and header in known]


@pytest.mark.parametrize("fails", ["key_set", "refreshed"])
def test_a_source_of_keys_that_raises_is_no_key_and_named_once(fails: str, caplog: pytest.LogCaptureFixture) -> None:
    source = Rotating(KeySet([key("ES256", "old")]))
    old, forge = Forge(key("ES256", "old")), Forge(key("ES256", "new"))
    verifier = TokenVerifier(source, issuer=ISSUER, audience=AUDIENCE, clock=forge.clock)
    guard = Guard(verifier, MemoryDenylist(clock=forge.clock), clock=forge.clock)

    for outage in range(1, 3):
        source.fails = fails
        for _ in range(3):
            decision = guard.decide(forge.token())
            assert isinstance(decision, Refused)
            assert isinstance(decision.error, InvalidTokenError)
            assert decision.error.reason == "unknown_key"
        if fails == "key_set":
            with pytest.raises(InvalidTokenError, match="cannot be read"):
                guard.check(old.claims(), key_id="some")
        source.fails = ""
        assert reason(verifier, forge.token()) == "unknown_key"
        guard.check(old.claims(), key_id="some")
        assert reason(verifier, old.token()) is None
        assert [record.levelname for record in caplog.records] == ["ERROR"] * outage


@pytest.mark.parametrize("named", ["EdDSA", "Ed25519"])
def test_ed25519_goes_by_both_its_names(named: str) -> None:
    forge = Forge(key("EdDSA"))

    for kid in (forge.key.id, None):
        token = forge.token(header=forge.header(alg=named, kid=kid))
        assert forge.verifier().verify(token).key_id == forge.key.id


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_every_flipped_letter_is_noticed(algorithm: AlgorithmName, place: int) -> None:
    forge = Forge(key(algorithm))
    parts = forge.token().split(".")
    verifier = forge.verifier()

    # The last letter of a part may carry bits that mean nothing; those are tried among the attacks.
    for position in range(0, len(parts[place]) - 1, 7):
        letter = "A" if parts[place][position] != "A" else "B"
        changed = parts.copy()
        changed[place] = parts[place][:position] + letter + parts[place][position + 1 :]
        assert reason(verifier, ".".join(changed)) is not None


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize(
    "written",
    [
        *(
            "{0}.{1}.{2}=",
            "{0}.{1}.{2}==",
            "{0}.{1}=.{2}",
            "{0}=.{1}.{2}",
            "{0}.{1}.{2}\n",
            " {0}.{1}.{2}",
            "{0}.{1}.{2} ",
        ),
        *("{0}.{1}.{2}.", ".{0}.{1}.{2}", "{0}.{1}", "{0}.{1}.", "{0}..{2}", ".{1}.{2}", "{0}.{1}.{2}.{2}.{2}"),
        *("{0}. {1}.{2}", "{0}.\r\n{1}.{2}", "{0}.{1}.+{2}", "{0}.{1}.{2}/", "\ufeff{0}.{1}.{2}", "{0}.{1}.{2}\0"),
        *("{0}\uff0e{1}\uff0e{2}", "{0}.{1}.%3D{2}", "Bearer {0}.{1}.{2}", '"{0}.{1}.{2}"'),
    ],
)
def test_a_token_is_three_parts_of_base64url_and_nothing_else(algorithm: AlgorithmName, written: str) -> None:
    """RFC 8725bis, section 3.14; RFC 7519, section 7.2."""
    forge = Forge(key(algorithm))
    token = forge.token()

    assert reason(forge.verifier(), token) is None
    assert reason(forge.verifier(), written.format(*token.split("."))) == "malformed"


# Any string


@given(st.text())
@example("")
@example("..")
@example("a.b.c")
@example("a.b.c.d.e")
@example("Bearer x")
@example("\ud800")
@example("eyJhbGciOiJub25lIn0.e30.")
@example('{"payload":"e30","signatures":[]}')
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    with pytest.raises(InvalidTokenError):
        Forge().verifier().verify(text)


@given(st.lists(st.binary(max_size=40), min_size=3, max_size=3), st.booleans())
def test_any_three_parts_are_refused(parts: list[bytes], padded: bool) -> None:
    token = ".".join(encoded(part) + ("=" if padded else "") for part in parts)

    with pytest.raises(InvalidTokenError):
        Forge().verifier().verify(token)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.integers(1_799_990_000, 1_800_001_000)
    | st.sampled_from(["ES256", "none", "HS256", "at+jwt", ISSUER, AUDIENCE, "ada", "", "\x00", "\ud800"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
HEADER_NAMES = st.sampled_from(["alg", "typ", "kid", "crit", "b64", "zip", "cty", "jku", "jwk", "x5u", "x5c", "x"])
CLAIM_NAMES = st.sampled_from(
    ["iss", "aud", "sub", "client_id", "azp", "iat", "exp", "nbf", "jti", "scope", "sid", "x", "\ud800"]
)


@given(
    st.dictionaries(HEADER_NAMES, JSON, max_size=3),
    st.dictionaries(CLAIM_NAMES, JSON, max_size=4),
    st.sets(CLAIM_NAMES | HEADER_NAMES, max_size=2),
    st.sampled_from(ALGORITHMS),
)
def test_whatever_the_right_key_signed_gives_claims_or_a_reason(
    header: dict[str, Any], claims: dict[str, Any], left_out: set[str], algorithm: AlgorithmName
) -> None:
    forge = Forge(key(algorithm))
    token = forge.token(
        without({**forge.claims(), **claims}, list(left_out)), without({**forge.header(), **header}, list(left_out))
    )

    refusal: InvalidTokenError | None = None
    try:
        verified = forge.verifier().verify(token)
    except InvalidTokenError as error:
        refusal = error
    if refusal is not None:
        assert refusal.reason
        assert str(refusal).isascii()
        return
    # What was accepted can be revoked, in every way.
    assert verified.token_id
    for handle in verified.handles:
        handle.name.encode("ascii")
        handle.value.encode()
    assert verified.expires_at - verified.issued_at <= 86_400


@given(st.binary(max_size=200), st.booleans())
def test_whatever_bytes_the_right_key_signed_give_claims_or_a_reason(data: bytes, as_header: bool) -> None:
    forge = Forge(key("HS256"))
    token = forge.token(header=data) if as_header else forge.token(data)

    with pytest.raises(InvalidTokenError):
        forge.verifier().verify(token)


@given(st.data())
def test_a_token_cut_and_pasted_anywhere_is_refused_or_means_the_same(data: st.DataObject) -> None:
    forge = Forge(key("EdDSA"))
    token = forge.token()
    start = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(start, len(token)))
    inserted = data.draw(st.text(alphabet="AZaz09-_.=+/ \n%", max_size=4))
    changed = token[:start] + inserted + token[end:]

    try:
        verified = forge.verifier().verify(changed)
    except InvalidTokenError:
        return
    assert verified.raw == json.loads(decoded(token.split(".")[1]))
