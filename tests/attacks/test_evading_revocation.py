"""A revoked token stays revoked, however it is written, presented or named."""

import math
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from revocation import (
    Guard,
    Handle,
    InvalidTokenError,
    KeySet,
    MemoryDenylist,
    RedisDenylist,
    RevokedTokenError,
    connect,
)
from revocation.denylist import is_revoked
from revocation.flask import BearerAuth
from revocation.handles import Kind
from revocation.keys import AlgorithmName
from revocation.testing import Clock
from tests.support.denylists import opened
from tests.support.servers import Server
from tests.support.tokens import ISSUER, Forge, claims_of, decoded, encoded, key

#: The order of the group of P-256: (r, s) and (r, n - s) are both signatures of the same message.
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def twin(token: str) -> str:
    """The other valid ES256 signature of the same token."""
    message, _, signature = token.rpartition(".")
    raw = decoded(signature)
    s = ORDER - int.from_bytes(raw[32:], "big")
    return f"{message}.{encoded(raw[:32] + s.to_bytes(32, 'big'))}"


def other_tails(part: str) -> Iterator[str]:
    """The same bytes in base64 whose last letter carries other bits that mean nothing."""
    for letter in ALPHABET:
        if letter != part[-1] and decoded(part[:-1] + letter) == decoded(part):
            yield part[:-1] + letter


def variants(token: str, algorithm: str) -> Iterator[str]:
    """Every way of writing a token that somebody might accept as the same."""
    head, body, signature = token.split(".")
    yield token
    yield from (
        f"{token}{end}" for end in ("=", "==", "===", "\n", "\r\n", " ", "\t", ".", "\0", "#", "?", "%3D", "A", "AA")
    )
    yield from (f"{start}{token}" for start in (" ", "\n", "\ufeff", "Bearer ", "."))
    yield from (f"{head}=.{body}.{signature}", f"{head}.{body}=.{signature}", f"{head}==.{body}==.{signature}==")
    yield from (f"{head}.{body}.{tail}" for tail in other_tails(signature))
    yield from (f"{tail}.{body}.{signature}" for tail in other_tails(head))
    yield from (f"{head}.{tail}.{signature}" for tail in other_tails(body))
    yield from (token.replace("-", "+").replace("_", "/"), token.swapcase(), token.upper())
    yield from (f"{head[:10]} {head[10:]}.{body}.{signature}", f"{head}.{body[:8]}\n{body[8:]}.{signature}")
    if algorithm == "ES256":
        yield twin(token)
        yield from (f"{head}.{body}.{tail}" for tail in other_tails(twin(token).rpartition(".")[2]))
        raw = decoded(signature)
        der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
        yield f"{head}.{body}.{encoded(der)}"
        yield f"{head}.{body}.{encoded(bytes(1) + raw[:32] + bytes(1) + raw[32:])}"


def accepted(guard: Guard, token: str) -> bool:
    try:
        guard.authenticate(token)
    except InvalidTokenError:
        return False
    return True


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA", "HS256"])
@pytest.mark.parametrize("kind", ["token", "session", "subject", "client", "key", "issuer"])
def test_no_other_way_of_writing_a_revoked_token_is_accepted(algorithm: AlgorithmName, kind: Kind) -> None:
    forge = Forge(key(algorithm))
    denylist = MemoryDenylist(clock=forge.clock)
    guard = Guard(forge.verifier(), denylist, clock=forge.clock)
    token = forge.token()
    claims = guard.authenticate(token)
    written = list(dict.fromkeys(variants(token, algorithm)))
    accepted_before = [one for one in written if accepted(guard, one)]

    denylist.revoke(next(one for one in claims.handles if one.kind == kind))

    # Another text may be good as long as the token is: that is why revocations name claims and not strings.
    assert set(accepted_before) >= ({token, twin(token)} if algorithm == "ES256" else {token})
    assert [one for one in written if accepted(guard, one)] == []
    for one in accepted_before:
        with pytest.raises(RevokedTokenError):
            guard.authenticate(one)


@pytest.mark.parametrize("revoked", ["first", "second"])
def test_a_revoked_key_cannot_be_used_under_its_other_id(any_server: Server, namespace: str, revoked: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    forge = Forge(key("ES256"), clock=Clock(denylist.now_ms() / 1000))
    document = {"keys": [{**forge.key.public_jwk(), "kid": kid} for kid in ("first", "second")]}
    guard = Guard(forge.verifier(KeySet.from_jwks(document)), denylist, max_staleness=0, clock=forge.clock)
    tokens = [forge.token(header=forge.header(kid=kid)) for kid in ("first", "second")]
    assert [accepted(guard, token) for token in tokens] == [True, True]

    denylist.revoke(Handle("key", revoked, issuer=ISSUER))

    assert [accepted(guard, token) for token in tokens] == [False, False]


def test_revoking_the_twin_revokes_the_token(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    forge = Forge(key("ES256"), clock=Clock(denylist.now_ms() / 1000))
    guard = Guard(forge.verifier(), denylist, max_staleness=0, clock=forge.clock)
    token = forge.token()

    denylist.revoke(Handle.token(guard.authenticate(twin(token))))

    for one in (token, twin(token)):
        with pytest.raises(RevokedTokenError):
            guard.authenticate(one)


@pytest.mark.parametrize(
    "scheme", ["Bearer", "bearer", "BEARER", "bEARER", "Bearer ", "Bearer  ", "Basic", "Token", "DPoP", "JWT"]
)
def test_no_other_way_of_sending_a_revoked_token_is_accepted(scheme: str) -> None:
    forge = Forge(key("ES256"))
    denylist = MemoryDenylist(clock=forge.clock)
    guard = Guard(forge.verifier(), denylist, clock=forge.clock)
    app = Flask("made")
    auth = BearerAuth(guard)
    auth.init_app(app)
    app.route("/", methods=["GET", "HEAD", "POST"])(auth.required()(lambda: "ok"))
    client = app.test_client()
    token = forge.token()
    assert client.get("/", headers={"Authorization": f"Bearer {token}"}).status_code == 200
    denylist.revoke(Handle.token(guard.authenticate(token)))

    for written in variants(token, "ES256"):
        environ = {"HTTP_AUTHORIZATION": f"{scheme} {written}".encode().decode("latin-1")}
        for method in ("GET", "HEAD", "POST"):
            assert client.open("/", method=method, environ_overrides=environ).status_code == 401
    assert client.get(f"/?access_token={token}").status_code == 401


def test_the_same_id_of_two_issuers_is_two_tokens(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    clock = Clock(denylist.now_ms() / 1000)
    ours, theirs = Forge(key("ES256", "ours"), clock=clock), Forge(key("ES256", "theirs"), clock=clock)
    guards = [
        Guard(ours.verifier(), denylist, clock=clock),
        Guard(theirs.verifier(issuer="https://other.example"), denylist, clock=clock),
    ]
    tokens = [ours.token(ours.claims(jti="same")), theirs.token(theirs.claims(jti="same", iss="https://other.example"))]
    claims = [guard.authenticate(token) for guard, token in zip(guards, tokens, strict=True)]

    denylist.revoke(Handle.token(claims[0]))

    with pytest.raises(RevokedTokenError):
        guards[0].authenticate(tokens[0], max_staleness=0)
    assert guards[1].authenticate(tokens[1], max_staleness=0) == claims[1]
    denylist.revoke(Handle("issuer", issuer="https://auth.example"))
    assert guards[1].authenticate(tokens[1], max_staleness=0) == claims[1]


@pytest.mark.parametrize(
    ("revoked", "others"),
    [
        (("a:b", "c"), [("a", "b:c"), ("a:b:c", "c"), ("a", "b"), ("a:b", "b:c")]),
        (("a", "b"), [("a", "b:"), ("a", ":b"), ("a:", "b"), ("a", "B"), ("A", "b"), ("a ", "b"), ("a", " b")]),
        (("~", "x"), [("~~", "x"), ("x", "~"), ("~x", "~")]),
        (("x", "a" * 64), [("x", "a" * 65), ("x", "a" * 63)]),
    ],
)
def test_no_two_names_run_into_each_other(
    any_server: Server, namespace: str, revoked: tuple[str, str], others: list[tuple[str, str]]
) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)

    denylist.revoke(Handle("token", revoked[1], issuer=revoked[0]))

    assert denylist.latest_cutoff([Handle("token", revoked[1], issuer=revoked[0])]) == math.inf
    for issuer, value in others:
        assert denylist.latest_cutoff([Handle("token", value, issuer=issuer)]) == 0


def test_the_hash_of_a_name_is_another_name(any_server: Server, namespace: str) -> None:
    """Who knows that `a:b` is stored as a hash cannot choose that hash as a name and meet its entry."""
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    hashed = Handle("subject", "a:b", issuer=ISSUER)
    part = hashed.name.rpartition(":")[2]

    denylist.revoke(hashed)

    for impostor in (part, part[1:], f"~{part}"):
        assert denylist.latest_cutoff([Handle("subject", impostor, issuer=ISSUER)]) == 0


# Cut-offs

CONDITIONAL: tuple[Kind, ...] = ("subject", "client", "issuer")


@given(st.lists(st.tuples(st.sampled_from(CONDITIONAL), st.integers(-100, 0)), max_size=8), st.integers(-110, 10))
def test_cutoffs_are_never_set_off_against_each_other(cutoffs: list[tuple[Kind, int]], issued: int) -> None:
    """A narrow handle with an early cut-off does not outrank a wide one with a late one, nor the other way round."""
    clock = Clock(1_800_000_000.1)
    denylist = MemoryDenylist(clock=clock)
    now = denylist.now_ms()
    claims = claims_of(issued_at_ms=now + issued)
    for kind, offset in cutoffs:
        handle = next(one for one in claims.handles if one.kind == kind)
        denylist.revoke(handle, issued_before_ms=now + offset)

    revoked = is_revoked(claims, denylist.latest_cutoff(claims.handles))

    assert revoked == any(offset > issued for _, offset in cutoffs)


def test_a_cutoff_in_the_past_takes_nothing_back_that_came_later(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    now = denylist.now_ms()
    old, young = claims_of(issued_at_ms=now - 60_000), claims_of(issued_at_ms=now - 59_000)
    for handle in (Handle.subject(old), Handle.client(old), Handle("issuer", issuer=ISSUER)):
        denylist.revoke(handle, issued_before_ms=now - 59_000)
        denylist.revoke(handle, issued_before_ms=0)

    assert is_revoked(old, denylist.latest_cutoff(old.handles))
    assert not is_revoked(young, denylist.latest_cutoff(young.handles))


def test_a_cutoff_far_ahead_would_lock_everybody_out_and_is_refused(any_server: Server, namespace: str) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    young = claims_of(issued_at_ms=denylist.now_ms())
    with pytest.raises(ValueError, match="later than now"):
        denylist.revoke(Handle("issuer", issuer=ISSUER), issued_before_ms=denylist.now_ms() + 3_600_000)
    assert not is_revoked(young, denylist.latest_cutoff(young.handles))


@pytest.mark.parametrize("cutoff", [-1, 10**13, 2**53, 2**64, 10**400])
def test_a_cutoff_that_is_no_instant_is_refused_before_it_reaches_anything(
    any_server: Server, namespace: str, cutoff: int
) -> None:
    denylist = opened(connect(any_server.url, timeout_seconds=5), namespace)

    with pytest.raises(ValueError, match="instant"):
        denylist.revoke(Handle("issuer", issuer=ISSUER), issued_before_ms=cutoff)
    assert denylist.page().revocations == ()


def test_signing_in_again_at_once_works_a_thousand_times_and_nothing_older_survives(
    any_server: Server, namespace: str
) -> None:
    """Issue, revoke everything of the user, issue: within the same second, and often within the same millisecond."""
    denylist: RedisDenylist = opened(connect(any_server.url, timeout_seconds=5), namespace)
    subject = Handle("subject", "ada", issuer=ISSUER)
    for _ in range(1000):
        old = claims_of(issued_at_ms=denylist.now_ms())
        denylist.revoke(subject)
        assert is_revoked(old, denylist.latest_cutoff(old.handles))
        cutoff = denylist.latest_cutoff([subject])
        while (now := denylist.now_ms()) < cutoff:
            assert is_revoked(claims_of(issued_at_ms=now), cutoff)
        fresh = claims_of(issued_at_ms=now)
        assert not is_revoked(fresh, denylist.latest_cutoff(fresh.handles))
