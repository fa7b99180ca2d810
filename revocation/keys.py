"""KeySet: the keys that a verifier trusts and an issuer signs with. Each key serves one algorithm."""

import base64
import hashlib
import json
import logging
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal, Protocol, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, get_default_algorithms

from revocation.errors import ConfigurationError
from revocation.handles import Handle

_log = logging.getLogger(__name__)

AlgorithmName = Literal["ES256", "RS256", "EdDSA", "HS256"]

#: All supported algorithms. The key decides which of them verifies a token; the token never does (RFC 8725, 3.1).
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    name: algorithm for name, algorithm in get_default_algorithms().items() if name in get_args(AlgorithmName)
}

_MIN_SECRET_BYTES = 32
_MIN_RSA_BITS = 2048
_SHOWN_CHARACTERS = 100

#: The members that make up a thumbprint, by key type (RFC 7638, section 3.2; RFC 8037, section 2).
_THUMBPRINT_MEMBERS = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
    "oct": ("k", "kty"),
}

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

#: The name of a key file may begin with the instant from which its key signs: 20261231T235959Z-name.pem
_SIGNS_FROM = re.compile(r"(\d{8}T\d{6}Z)-")


@dataclass(frozen=True)
class Key:
    """One key and the one algorithm that it serves (RFC 8725, section 3.1)."""

    #: The name of the key in a token's header (`kid`) and in a revocation of kind `key`.
    id: str
    algorithm: AlgorithmName
    verifying: Any = field(repr=False)
    #: The private part; None where this process may only verify.
    signing: Any = field(default=None, repr=False)
    #: The instant from which the key may sign, in seconds since the Unix epoch; its public part is published before.
    signs_from: float = 0.0

    def __post_init__(self) -> None:
        try:
            # A revocation of this key must be able to name it.
            Handle("key", self.id, issuer="any")
        except ValueError as error:
            raise ConfigurationError(f"a key cannot have this id: {error}") from error

    @classmethod
    def from_secret(cls, secret: bytes, *, signs_from: float = 0.0) -> "Key":
        """An HS256 key of at least 32 random bytes, never a password (RFC 8725, section 3.5).

        Raises ConfigurationError for a shorter secret.
        """
        if len(secret) < _MIN_SECRET_BYTES:
            raise ConfigurationError(
                f"an HS256 secret has at least {_MIN_SECRET_BYTES} random bytes, not {len(secret)}"
            )
        return cls(thumbprint(_jwk("HS256", secret)), "HS256", secret, secret, signs_from)

    @classmethod
    def from_pem(cls, pem: bytes, *, signs_from: float = 0.0) -> "Key":
        """A private or public PEM key; its type decides the algorithm. Raises ConfigurationError for other types."""
        private: Any = None
        try:
            if b"PRIVATE KEY" in pem:
                private = serialization.load_pem_private_key(pem, password=None)
                public: Any = private.public_key()
            else:
                public = serialization.load_pem_public_key(pem)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise ConfigurationError(f"not an unencrypted PEM key: {error}") from error
        algorithm = _algorithm_for(public)
        return cls(thumbprint(_jwk(algorithm, public)), algorithm, public, private, signs_from)

    @classmethod
    def from_file(cls, file: Path) -> "Key":
        """The key in a `*.pem` or `*.secret` file. Raises ConfigurationError that names an unusable file."""
        stamp = _SIGNS_FROM.match(file.name)
        try:
            instant = datetime.strptime(stamp[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() if stamp else 0.0
            if file.suffix == ".secret":
                return cls.from_secret(base64.urlsafe_b64decode(file.read_bytes().strip() + b"=="), signs_from=instant)
            return cls.from_pem(file.read_bytes(), signs_from=instant)
        except (ConfigurationError, ValueError, OSError) as error:
            raise ConfigurationError(f"{file}: {error}") from error

    @cached_property
    def prepared(self) -> Any:
        """The verifying part, as PyJWT's algorithm takes it."""
        return ALGORITHMS[self.algorithm].prepare_key(self.verifying)

    def public_jwk(self) -> dict[str, str]:
        """The public part of the key (RFC 7517). Raises ConfigurationError for a shared secret."""
        if self.algorithm == "HS256":
            raise ConfigurationError("a shared secret is never published: an HS256 key has no public part")
        return {**_jwk(self.algorithm, self.verifying), "kid": self.id, "use": "sig", "alg": self.algorithm}


class KeySource(Protocol):
    """A source from which a verifier or an issuer takes its current keys."""

    def key_set(self) -> "KeySet":
        """The keys to use now."""

    def refreshed(self) -> "KeySet":
        """The keys after another look at the source, because a token names a key that the source did not have."""


class KeySet:
    """A set of keys that never changes; new keys are a new set."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys: dict[str, Key] = {}
        for key in keys:
            if key.id in self._keys:
                raise ConfigurationError(f"two keys with the id {key.id!r}")
            self._keys[key.id] = key
        self._other_ids = _other_ids(self._keys.values())

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def key_set(self) -> "KeySet":
        """This set: it is its own source."""
        return self

    def refreshed(self) -> "KeySet":
        """This set: it has nothing to read again."""
        return self

    def find(self, key_id: str) -> Key | None:
        """The key with this id."""
        return self._keys.get(key_id)

    def candidates(self, key_id: str | None, algorithm: str) -> tuple[Key, ...]:
        """The key that a token's header names; without a `kid`, every key of that algorithm.

        The header is a hint: it selects some of the trusted keys, and never adds a key.
        """
        if key_id is None:
            return tuple(key for key in self._keys.values() if key.algorithm == algorithm)
        key = self._keys.get(key_id)
        return () if key is None else (key,)

    def other_ids(self, key_id: str) -> tuple[str, ...]:
        """The other ids under which this set holds the same key material; none for an id that it does not hold."""
        return self._other_ids.get(key_id, ())

    def signing_key(self, *, now: float | None = None) -> Key:
        """The newest private key whose time to sign has come. Raises ConfigurationError where there is none."""
        instant = time.time() if now is None else now
        ready = [key for key in self._keys.values() if key.signing is not None and key.signs_from <= instant]
        if not ready:
            raise ConfigurationError("no key signs: the key set has no private key that is valid yet")
        return max(ready, key=lambda key: (key.signs_from, key.id))

    def public_jwks(self) -> dict[str, Any]:
        """The JWKS document with which others verify (RFC 7517, section 5). It holds no shared secret."""
        return {"keys": [key.public_jwk() for key in self._keys.values() if key.algorithm != "HS256"]}

    @classmethod
    def from_pem_dir(cls, directory: str | Path) -> "KeySet":
        """The keys in the `*.pem` and `*.secret` (base64url, for HS256) files of a directory, read once.

        A file name may begin with the instant from which its key signs (`20261231T235959Z-...`). Raises
        ConfigurationError that names an unusable file, and where the directory holds no key.
        """
        files = key_files(Path(directory))
        if not files:
            raise ConfigurationError(f"no *.pem or *.secret key in {directory}")
        return cls(Key.from_file(file) for file in files)

    @classmethod
    def from_jwks(cls, document: object) -> "KeySet":
        """The signature keys of a JWKS document of some other issuer (RFC 7517, section 5).

        The set leaves out every key that it cannot use (of another type, algorithm or curve, for encryption, private or
        shared, with the `kid` of a key before it or with one that no revocation could name), and the log names it.
        Raises ConfigurationError where no key is left.
        """
        keys, left_out = read_jwks(document)
        for sentence in left_out:
            _log.warning("%s", sentence)
        return cls(keys)


def read_jwks(document: object) -> tuple[list[Key], list[str]]:
    """The usable keys of a JWKS document, and a sentence about each key that is left out.

    Raises ConfigurationError where no key is left.
    """
    listed = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(listed, list):
        raise ConfigurationError("a JWKS document is an object with a list 'keys'")
    keys: dict[str, Key] = {}
    left_out = []
    for jwk in listed:
        try:
            key = _from_jwk(jwk)
            known = keys.setdefault(key.id, key)
            if _material(known) != _material(key):
                raise ConfigurationError("a key before it has the same kid")
        except ConfigurationError as error:
            kid = jwk.get("kid") if isinstance(jwk, Mapping) else None
            left_out.append(f"The key with the kid {_shown(kid)} is left out: {error}.")
    if not keys:
        reasons = "".join(f"\n  {sentence}" for sentence in left_out)
        raise ConfigurationError(
            f"no key in this JWKS document verifies ES256, RS256 or EdDSA signatures{reasons and ':' + reasons}"
        )
    return list(keys.values()), left_out


def key_files(directory: Path) -> list[Path]:
    """The files of a directory that hold keys."""
    return sorted([*directory.glob("*.pem"), *directory.glob("*.secret")])


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The RFC 7638 thumbprint of a JWK, SHA-256, base64url."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


def _other_ids(keys: Iterable[Key]) -> dict[str, tuple[str, ...]]:
    """For each id of a key that goes by several: the other ones."""
    ids: dict[str, list[str]] = {}
    for key in keys:
        ids.setdefault(_material(key), []).append(key.id)
    shared = [same for same in ids.values() if len(same) > 1]
    return {key_id: tuple(other for other in same if other != key_id) for same in shared for key_id in same}


def _jwk(algorithm: str, key: Any) -> dict[str, str]:
    jwk = ALGORITHMS[algorithm].to_jwk(key, as_dict=True)
    return {name: value for name, value in jwk.items() if name != "key_ops"}


def _algorithm_for(public: Any) -> AlgorithmName:
    match public:
        case ec.EllipticCurvePublicKey() if isinstance(public.curve, ec.SECP256R1):
            return "ES256"
        case rsa.RSAPublicKey() if public.key_size >= _MIN_RSA_BITS:
            return "RS256"
        case ed25519.Ed25519PublicKey():
            return "EdDSA"
    raise ConfigurationError("a key is P-256 (ES256), RSA of at least 2048 bits (RS256) or Ed25519 (EdDSA)")


def _from_jwk(jwk: object) -> Key:
    """The key of one member of a JWKS document. Raises ConfigurationError with the reason why it cannot be used."""
    if not isinstance(jwk, Mapping):
        raise ConfigurationError("it is not an object")
    if _PRIVATE_MEMBERS & jwk.keys():
        raise ConfigurationError("it is private or shared, and not fit to be published")
    use, operations, declared = jwk.get("use"), jwk.get("key_ops"), jwk.get("alg")
    may_verify = operations is None or (isinstance(operations, list) and "verify" in operations)
    if use not in (None, "sig") or not may_verify:
        raise ConfigurationError("it is not for signatures")
    try:
        # PyJWT knows fewer names of algorithms than there are, so this code drops `alg` here and compares it below.
        public = jwt.PyJWK({name: value for name, value in jwk.items() if name != "alg"}).key
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
        raise ConfigurationError("it cannot be read, or its type is unknown") from error
    algorithm = _algorithm_for(public)
    if declared not in (None, algorithm) and (declared, algorithm) != ("Ed25519", "EdDSA"):
        raise ConfigurationError(f"it is for the algorithm {_shown(declared)}")
    kid = jwk.get("kid")
    key_id = kid if isinstance(kid, str) and kid else thumbprint(_jwk(algorithm, public))
    return Key(key_id, algorithm, public)


def _material(key: Key) -> str:
    return thumbprint(_jwk(key.algorithm, key.verifying))


def _shown(value: object) -> str:
    """Somebody else's word, in one short line of ASCII."""
    return ascii(value)[:_SHOWN_CHARACTERS]
