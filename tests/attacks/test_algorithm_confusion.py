"""Algorithm confusion: a public key is no secret, `none` is no signature, and spelling is no way around."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization

from revocation import InvalidTokenError, Key, KeySet
from revocation.keys import AlgorithmName
from tests.support.tokens import Forge, encoded, key, public_pem

ASYMMETRIC: tuple[AlgorithmName, ...] = ("ES256", "RS256", "EdDSA")

HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}

SPELLINGS = ("{}", " {}", "{} ", "\t{}", "{}\n", "{}\0", "\ufeff{}", "{}\u200b")


def spelt(name: str) -> Iterator[str]:
    """A name in every case, and with white space and the like around it."""
    for written in {name, name.lower(), name.upper(), name.title(), name.swapcase()}:
        for spelling in SPELLINGS:
            yield spelling.format(written)


def as_secrets(public: Key) -> Iterator[bytes]:
    """Everything that a careless verifier could take for the HMAC secret, all of it public."""
    pem = public_pem(public.verifying)
    der = public.verifying.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    yield from (
        pem,
        pem.strip(),
        pem.replace(b"\n", b"\r\n"),
        pem.replace(b"\n", b""),
        b"\xef\xbb\xbf" + pem,
        pem + b"\n",
    )
    yield from (der, base64.b64encode(der), base64.urlsafe_b64encode(der), der.hex().encode())
    jwk = public.public_jwk()
    for document in (
        jwk,
        {name: value for name, value in jwk.items() if name not in ("kid", "use", "alg")},
        {"keys": [jwk]},
    ):
        yield json.dumps(document).encode()
        yield json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
    for member in ("x", "y", "n", "e", "kid"):
        if member in jwk:
            yield jwk[member].encode()
            yield base64.urlsafe_b64decode(jwk[member] + "==")
    if public.algorithm == "RS256":
        yield public.verifying.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)
    if public.algorithm == "EdDSA":
        yield public.verifying.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    if public.algorithm == "ES256":
        for form in (serialization.PublicFormat.UncompressedPoint, serialization.PublicFormat.CompressedPoint):
            yield public.verifying.public_bytes(serialization.Encoding.X962, form)
    yield from (b"", b"\0", b"null", b"None", b"secret")


def hmac_token(forge: Forge, header: dict[str, Any], secret: bytes, algorithm: str) -> str:
    message = f"{encoded(header)}.{encoded(forge.claims())}"
    return f"{message}.{encoded(hmac.new(secret, message.encode(), HASHES[algorithm]).digest())}"


def key_sets(trusted: Key) -> list[KeySet]:
    """The key alone, and beside a shared secret."""
    return [KeySet([trusted]), KeySet([trusted, key("HS256")])]


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
@pytest.mark.parametrize("hashed", HASHES)
def test_a_public_key_is_never_taken_for_a_shared_secret(algorithm: AlgorithmName, hashed: str) -> None:
    forge = Forge(key(algorithm))
    verifiers = [forge.verifier(keys) for keys in key_sets(forge.key)]
    tried = 0
    for secret in as_secrets(forge.key):
        for kid in (forge.key.id, None, key("HS256").id):
            for alg in (hashed, algorithm):
                token = hmac_token(forge, forge.header(alg=alg, kid=kid), secret, hashed)
                for verifier in verifiers:
                    with pytest.raises(InvalidTokenError):
                        verifier.verify(token)
                    tried += 1
    assert tried > 200


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_a_public_key_is_no_shared_secret_however_the_algorithm_is_spelt(algorithm: AlgorithmName) -> None:
    forge = Forge(key(algorithm))
    secret = public_pem(forge.key.verifying)
    for name in HASHES:
        for alg in spelt(name):
            token = hmac_token(forge, forge.header(alg=alg), secret, name)
            for keys in key_sets(forge.key):
                with pytest.raises(InvalidTokenError):
                    forge.verifier(keys).verify(token)


@pytest.mark.parametrize("algorithm", [*ASYMMETRIC, "HS256"])
def test_none_is_no_signature_however_it_is_spelt(algorithm: AlgorithmName) -> None:
    forge = Forge(key(algorithm))
    good = forge.token().split(".")
    for alg in [*spelt("none"), "", "null", "no", "plain"]:
        for kid in (forge.key.id, None, ""):
            head = encoded({"alg": alg, "typ": "at+jwt", **({} if kid is None else {"kid": kid})})
            for signature in ("", ".", ".AA", "." + good[2]):
                with pytest.raises(InvalidTokenError):
                    forge.verifier().verify(f"{head}.{good[1]}{signature}")


@pytest.mark.parametrize("algorithm", [*ASYMMETRIC, "HS256"])
def test_a_signature_is_never_left_out(algorithm: AlgorithmName) -> None:
    forge = Forge(key(algorithm))
    head, body, signature = forge.token().split(".")
    for end in (
        "",
        ".",
        ".=",
        "..",
        ".A",
        ".AA",
        "." + "A" * len(signature),
        "." + signature[:-4],
        "." + signature * 2,
    ):
        with pytest.raises(InvalidTokenError):
            forge.verifier().verify(f"{head}.{body}{end}")


@pytest.mark.parametrize("algorithm", ASYMMETRIC)
def test_signatures_of_all_zeros_and_of_the_group_order_are_refused(algorithm: AlgorithmName) -> None:
    """For ECDSA (r, s) = (0, 0) verified in Java 15 to 18 whatever was signed."""
    forge = Forge(key(algorithm))
    head, body, _ = forge.token().split(".")
    order = (0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551).to_bytes(32, "big")
    zero, one = bytes(32), bytes(31) + b"\x01"
    size = len(base64.urlsafe_b64decode(forge.token().split(".")[2] + "=="))
    for signature in (
        bytes(size),
        b"\xff" * size,
        zero + zero,
        order + order,
        order + one,
        one + order,
        zero + one,
        b"0\x00",
    ):
        with pytest.raises(InvalidTokenError):
            forge.verifier().verify(f"{head}.{body}.{encoded(signature)}")


@pytest.mark.parametrize("signed", [*ASYMMETRIC, "HS256"])
@pytest.mark.parametrize("named", [*ASYMMETRIC, "HS256"])
def test_a_key_signs_with_its_own_algorithm_only(signed: AlgorithmName, named: AlgorithmName) -> None:
    every = KeySet([key(algorithm) for algorithm in (*ASYMMETRIC, "HS256")])
    forge = Forge(key(signed))
    verifier = forge.verifier(every)

    for kid in [one.id for one in every]:
        token = forge.token(header=forge.header(alg=named, kid=kid))
        if kid == forge.key.id and signed == named:
            assert verifier.verify(token).key_id == kid
        else:
            with pytest.raises(InvalidTokenError):
                verifier.verify(token)


@pytest.mark.parametrize(
    "alg", ["PS256", "RS384", "RS512", "ES384", "ES512", "ES256K", "RSA1_5", "A128KW", "dir", "Ed448"]
)
def test_an_algorithm_of_the_same_family_is_another_algorithm(alg: str) -> None:
    for algorithm in ASYMMETRIC:
        forge = Forge(key(algorithm))
        with pytest.raises(InvalidTokenError):
            forge.verifier().verify(forge.token(header=forge.header(alg=alg)))


def test_an_encrypted_token_is_refused() -> None:
    forge = Forge()
    parts = [
        encoded(forge.header(alg="dir", enc="A256GCM")),
        "",
        encoded(bytes(12)),
        encoded(forge.claims()),
        encoded(bytes(16)),
    ]
    with pytest.raises(InvalidTokenError):
        forge.verifier().verify(".".join(parts))


def test_json_serializations_are_refused() -> None:
    forge = Forge()
    head, body, signature = forge.token().split(".")
    flattened = {"protected": head, "payload": body, "signature": signature}
    for document in (flattened, {"payload": body, "signatures": [flattened]}, [head, body, signature]):
        with pytest.raises(InvalidTokenError):
            forge.verifier().verify(json.dumps(document))
