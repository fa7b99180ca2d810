"""KeySet: which keys are let in, what they are called, and what of them is published."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed448, ed25519, rsa, x25519

from revocation import ConfigurationError, Key, KeySet
from revocation.keys import AlgorithmName, thumbprint
from tests.support.tokens import Forge, key, pem, private_key, public_pem

ASYMMETRIC: tuple[AlgorithmName, ...] = ("ES256", "RS256", "EdDSA")

#: RFC 7638, section 3.1: a key and its thumbprint.
RFC_7638_KEY = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
    "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu"
    "6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awa"
    "pJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}

#: RFC 8037, appendix A.3: the same of an Ed25519 key.
RFC_8037_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def jwk(of: Key, **members: Any) -> dict[str, Any]:
    """The public JWK of a key, with changes; None takes a member out."""
    return {name: value for name, value in {**of.public_jwk(), **members}.items() if value is not None}


# Names


def test_a_thumbprint_is_that_of_the_rfc() -> None:
    assert thumbprint(RFC_7638_KEY) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert thumbprint(RFC_8037_KEY) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_key_is_called_by_its_thumbprint(algorithm: AlgorithmName) -> None:
    made = key(algorithm)
    document = jwk(made)

    assert made.id == document["kid"] == thumbprint(document)
    assert Key.from_pem(public_pem(made.verifying)).id == made.id


# PEM


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_key_has_the_algorithm_of_its_type(algorithm: AlgorithmName) -> None:
    private = Key.from_pem(pem(private_key(algorithm)))
    public = Key.from_pem(public_pem(private_key(algorithm).public_key()))

    assert (private.algorithm, public.algorithm) == (algorithm, algorithm)
    assert private.signing is not None
    assert public.signing is None


def test_older_forms_of_pem_are_read() -> None:
    made = private_key("RS256")
    old = made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )

    assert Key.from_pem(old).id == key("RS256").id


UNFIT: dict[str, Any] = {
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "RSA of 1024 bits": lambda: rsa.generate_private_key(65537, 1024),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "X25519": x25519.X25519PrivateKey.generate,
    "DSA": lambda: dsa.generate_private_key(1024),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_key_of_another_kind_is_refused(name: str) -> None:
    made = UNFIT[name]()

    for text in (pem(made), public_pem(made.public_key())):
        with pytest.raises(ConfigurationError, match="P-256"):
            Key.from_pem(text)


def test_what_is_no_plain_pem_key_is_refused() -> None:
    encrypted = private_key("ES256").private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"pass")
    )
    der = private_key("ES256").private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    cut = pem(private_key("ES256"))[:-40]

    for text in (
        encrypted,
        der,
        cut,
        b"",
        b"ssh-ed25519 AAAA",
        b"-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    ):
        with pytest.raises(ConfigurationError, match="PEM"):
            Key.from_pem(text)


@pytest.mark.parametrize("secret", [b"", b"secret", b"x" * 31])
def test_a_short_secret_is_refused(secret: bytes) -> None:
    with pytest.raises(ConfigurationError, match="32"):
        Key.from_secret(secret)


def test_a_key_never_shows_its_secrets() -> None:
    for algorithm in (*ASYMMETRIC, "HS256"):
        made = key(algorithm)
        assert repr(made) == f"Key(id={made.id!r}, algorithm={algorithm!r}, signs_from=0.0)"


# Sets


def test_two_keys_of_one_id_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two keys"):
        KeySet([key("ES256"), key("ES256")])


def test_the_newest_key_that_signs_already_signs() -> None:
    def made(name: str, signs_from: float) -> Key:
        return Key.from_pem(pem(private_key("ES256", name)), signs_from=signs_from)

    old, current, coming = made("old", 0), made("current", 1000), made("coming", 2000)
    keys = KeySet([coming, old, current])

    assert [keys.signing_key(now=now) for now in (0, 999.9, 1000, 1999, 2000, 10**10)] == [
        *(old, old, current, current, coming, coming)
    ]
    with pytest.raises(ConfigurationError, match="no key signs"):
        KeySet([coming]).signing_key(now=1999)
    with pytest.raises(ConfigurationError, match="no key signs"):
        KeySet([Key.from_pem(public_pem(old.verifying))]).signing_key()


def test_only_public_parts_are_published() -> None:
    keys = KeySet([key(algorithm) for algorithm in (*ASYMMETRIC, "HS256")])

    document = keys.public_jwks()

    assert {one["alg"] for one in document["keys"]} == set(ASYMMETRIC)
    for one in document["keys"]:
        assert one["use"] == "sig"
        assert not one.keys() & {"d", "p", "q", "dp", "dq", "qi", "oth", "k"}
    json.dumps(document)
    with pytest.raises(ConfigurationError, match="never published"):
        key("HS256").public_jwk()


def test_what_is_published_verifies() -> None:
    own = KeySet([key(algorithm) for algorithm in ASYMMETRIC])

    foreign = KeySet.from_jwks(json.loads(json.dumps(own.public_jwks())))

    for algorithm in ASYMMETRIC:
        forge = Forge(key(algorithm))
        assert forge.verifier(foreign).verify(forge.token()).key_id == forge.key.id


# Directories


def test_a_directory_is_read_whole(tmp_path: Path) -> None:
    (tmp_path / "a.pem").write_bytes(pem(private_key("ES256")))
    (tmp_path / "20300101T000000Z-b.pem").write_bytes(pem(private_key("RS256")))
    (tmp_path / "c.pem").write_bytes(public_pem(private_key("EdDSA").public_key()))
    (tmp_path / "d.secret").write_bytes(base64.urlsafe_b64encode(private_key("HS256")).rstrip(b"=") + b"\n")
    (tmp_path / "notes.txt").write_text("not a key")

    keys = {one.id: one for one in KeySet.from_pem_dir(tmp_path)}

    assert set(keys) == {key("ES256").id, key("RS256").id, key("EdDSA").id, key("HS256").id}
    assert keys[key("RS256").id].signs_from == 1_893_456_000
    assert keys[key("ES256").id].signs_from == 0
    assert keys[key("HS256").id].signing == private_key("HS256")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *(("broken.pem", b"no key"), ("empty.pem", b""), ("short.secret", b"aGVsbG8"), ("bad.secret", b"\xff\xfe")),
        ("20301301T000000Z-x.pem", pem(private_key("ES256"))),
    ],
)
def test_a_file_that_is_no_key_is_named(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / "good.pem").write_bytes(pem(private_key("ES256", "good")))
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ConfigurationError, match=name):
        KeySet.from_pem_dir(tmp_path)


def test_a_directory_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ConfigurationError, match="key in"):
            KeySet.from_pem_dir(directory)
    (tmp_path / "folder.pem").mkdir()
    with pytest.raises(ConfigurationError, match=r"folder\.pem"):
        KeySet.from_pem_dir(tmp_path)


# JWKS documents of others


def test_keys_that_do_not_concern_us_are_left_out_and_named(caplog: pytest.LogCaptureFixture) -> None:
    good = jwk(key("ES256"))
    other = private_key("ES256", "other")
    p384 = jwt.algorithms.ECAlgorithm.to_jwk(ec.generate_private_key(ec.SECP384R1()).public_key(), as_dict=True)
    weak = jwt.algorithms.RSAAlgorithm.to_jwk(rsa.generate_private_key(65537, 1024).public_key(), as_dict=True)
    x = jwk(Key.from_pem(pem(other)))
    listed = [
        good,
        x | {"use": "enc"},
        x | {"kid": "enc-only", "key_ops": ["encrypt"]},
        x | {"kid": "ops-no-list", "key_ops": "verify"},
        x | {"kid": "es384-named", "alg": "ES384"},
        x | {"kid": "hs256-named", "alg": "HS256"},
        x | {"kid": "none-named", "alg": "none"},
        jwk(key("RS256"), alg="PS256", kid="ps256-named"),
        jwk(key("RS256"), alg="RSA-OAEP", use="enc", kid="enc"),
        {**p384, "kid": "p384", "use": "sig", "alg": "ES384"},
        {**weak, "kid": "weak", "key_ops": None},
        {"kty": "unheard-of", "kid": "new"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "off-curve"},
        {"kty": "RSA", "kid": "no-members"},
        {"kid": "no-type"},
        {"kty": 7},
        {"kty": "OKP", "crv": "Ed448", "x": "AAAA", "kid": "ed448"},
        {},
        # No handle could carry these, and a key that signs must be revocable.
        x | {"kid": "k" * 300},
        x | {"kid": "two\nlines"},
        # Not fit to be published.
        *(x | {"kid": f"private-{member}", member: "AAAA"} for member in ("d", "p", "q", "dp", "dq", "qi", "oth")),
        {"kty": "oct", "k": "A" * 43, "kid": "shared"},
        # One name cannot mean two keys.
        {**x, "kid": good["kid"]},
        jwk(key("RS256"), kid=good["kid"]),
        "no object",
        None,
    ]

    assert [one.id for one in KeySet.from_jwks({"keys": listed})] == [good["kid"]]

    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == len(listed) - 1
    for line, left_out in zip(lines, listed[1:], strict=True):
        kid = left_out.get("kid") if isinstance(left_out, dict) else None
        assert ascii(kid)[:100] in line
        assert "\n" not in line
        assert "AAAA" not in line


@pytest.mark.parametrize("empty", [{}, {"use": None, "alg": None, "kid": None, "key_ops": None}], ids=["none", "null"])
def test_a_key_needs_neither_use_nor_alg_nor_kid(empty: dict[str, None], caplog: pytest.LogCaptureFixture) -> None:
    bare = [{**jwk(key(algorithm), use=None, alg=None, kid=None), **empty} for algorithm in ASYMMETRIC]

    keys = KeySet.from_jwks({"keys": bare})

    assert [(one.id, one.algorithm) for one in keys] == [(key(name).id, name) for name in ASYMMETRIC]
    assert caplog.records == []


def test_an_ed25519_key_goes_by_both_its_names() -> None:
    [found] = KeySet.from_jwks({"keys": [jwk(key("EdDSA"), alg="Ed25519")]})

    assert found.algorithm == "EdDSA"


def test_keys_keep_the_names_others_gave_them() -> None:
    [found] = KeySet.from_jwks({"keys": [jwk(key("ES256"), kid="theirs")]})
    forge = Forge(key("ES256"))

    token = forge.token(header=forge.header(kid="theirs"))

    assert found.id == "theirs"
    assert forge.verifier(KeySet([found])).verify(token).key_id == "theirs"


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_the_same_key_under_several_ids_is_one_key(algorithm: AlgorithmName) -> None:
    own, other = key(algorithm), key(algorithm, "other")
    listed = [jwk(own, kid="first"), jwk(other), jwk(own, kid="second"), jwk(own, kid=None)]

    keys = KeySet.from_jwks({"keys": listed})

    assert keys.other_ids("first") == ("second", own.id)
    assert keys.other_ids("second") == ("first", own.id)
    assert keys.other_ids(own.id) == ("first", "second")
    assert keys.other_ids(other.id) == ()
    assert keys.other_ids("unknown") == ()


def test_the_same_shared_secret_under_two_ids_is_one_key() -> None:
    keys = KeySet([replace(key("HS256"), id="first"), replace(key("HS256"), id="second")])

    assert keys.other_ids("first") == ("second",)


def test_a_thumbprint_that_nobody_publishes_as_an_id_is_none() -> None:
    keys = KeySet.from_jwks({"keys": [jwk(key("ES256"), kid="theirs")]})

    assert keys.other_ids("theirs") == ()


def test_a_key_that_is_listed_twice_is_one_key(caplog: pytest.LogCaptureFixture) -> None:
    twice = [jwk(key("ES256")), jwk(key("RS256")), jwk(key("ES256"))]

    assert [one.id for one in KeySet.from_jwks({"keys": twice})] == [key("ES256").id, key("RS256").id]
    assert caplog.records == []


def test_a_document_without_a_key_that_could_be_used_is_refused_with_the_reasons() -> None:
    listed = [{"kty": "oct", "k": "A" * 43, "kid": "x"}, jwk(key("ES256"), kid="y", use="enc")]

    with pytest.raises(ConfigurationError, match=r"no key[^\0]*'x'[^\0]*shared[^\0]*'y'[^\0]*not for signatures"):
        KeySet.from_jwks({"keys": listed})


@pytest.mark.parametrize(
    "document", [{}, {"keys": None}, {"keys": {}}, {"keys": []}, {"keys": ["x"]}, {"keys": [None]}]
)
def test_what_is_no_jwks_document_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="JWKS"):
        KeySet.from_jwks(document)


def test_no_algorithm_is_known_beyond_four() -> None:
    from revocation.keys import ALGORITHMS

    assert set(ALGORITHMS) == {"ES256", "RS256", "EdDSA", "HS256"}
    assert isinstance(key("EdDSA").verifying, ed25519.Ed25519PublicKey)
