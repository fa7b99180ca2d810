"""KeySet: the keys a verifier trusts and an issuer signs with. One key, one algorithm."""

import base64
import contextlib
import hashlib
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, Protocol, cast, get_args

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, get_default_algorithms

from revocation.errors import ConfigurationError
from revocation.handles import Handle

AlgorithmName = Literal["ES256", "RS256", "EdDSA", "HS256"]

#: Every algorithm there is. Which one a key verifies is a property of the key, never of the token (RFC 8725, 3.1).
ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    name: algorithm for name, algorithm in get_default_algorithms().items() if name in get_args(AlgorithmName)
}

_MIN_SECRET_BYTES = 32
_MIN_RSA_BITS = 2048

#: Members a thumbprint is made of, by key type (RFC 7638, section 3.2; RFC 8037, section 2).
_THUMBPRINT_MEMBERS = {
    "EC": ("crv", "kty", "x", "y"),
    "RSA": ("e", "kty", "n"),
    "OKP": ("crv", "kty", "x"),
    "oct": ("k", "kty"),
}

_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})

#: A key file may begin with the instant from which its key signs: 20261231T235959Z-name.pem
_SIGNS_FROM = re.compile(r"(\d{8}T\d{6}Z)-")


@dataclass(frozen=True)
class Key:
    """One key and the one algorithm it is for (RFC 8725, section 3.1)."""

    #: What tokens call it (`kid`), and what a revocation of kind `key` names.
    id: str
    algorithm: AlgorithmName
    verifying: Any = field(repr=False)
    #: The private part; None where this process may only verify.
    signing: Any = field(default=None, repr=False)
    #: From when on it may sign, in seconds since the epoch: it is published before.
    signs_from: float = 0.0

    def __post_init__(self) -> None:
        try:
            # Whatever it signs must be revocable by it.
            Handle("key", self.id, issuer="any")
        except ValueError as error:
            raise ConfigurationError(f"a key cannot have this id: {error}") from error

    @classmethod
    def from_secret(cls, secret: bytes, *, signs_from: float = 0.0) -> "Key":
        """An HS256 key. Raises ConfigurationError below 32 bytes: no words, no passwords (RFC 8725, section 3.5)."""
        if len(secret) < _MIN_SECRET_BYTES:
            raise ConfigurationError(
                f"an HS256 secret has at least {_MIN_SECRET_BYTES} random bytes, not {len(secret)}"
            )
        return cls(thumbprint(_jwk("HS256", secret)), "HS256", secret, secret, signs_from)

    @classmethod
    def from_pem(cls, pem: bytes, *, signs_from: float = 0.0) -> "Key":
        """A private or public PEM key, its algorithm by its type. Raises ConfigurationError for any other."""
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
        """The key in a `*.pem` or `*.secret` file. Raises ConfigurationError that names the file."""
        starts = _SIGNS_FROM.match(file.name)
        try:
            instant = datetime.strptime(starts[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp() if starts else 0.0
            if file.suffix == ".secret":
                return cls.from_secret(base64.urlsafe_b64decode(file.read_bytes().strip() + b"=="), signs_from=instant)
            return cls.from_pem(file.read_bytes(), signs_from=instant)
        except (ConfigurationError, ValueError, OSError) as error:
            raise ConfigurationError(f"{file}: {error}") from error

    def public_jwk(self) -> dict[str, str]:
        """The key as others may see it (RFC 7517). Raises ConfigurationError for a shared secret."""
        if self.algorithm == "HS256":
            raise ConfigurationError("a shared secret is never published")
        return {**_jwk(self.algorithm, self.verifying), "kid": self.id, "use": "sig", "alg": self.algorithm}


class KeySource(Protocol):
    """Where a verifier or an issuer finds the keys of the moment."""

    def key_set(self) -> "KeySet":
        """The keys to use now."""

    def refreshed(self) -> "KeySet":
        """The same, read again where that is due: a token names a key that is not there."""


class KeySet:
    """An unchanging set of keys. New keys make a new set."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._keys: dict[str, Key] = {}
        for key in keys:
            if key.id in self._keys:
                raise ConfigurationError(f"two keys with the id {key.id!r}")
            self._keys[key.id] = key

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys.values())

    def __len__(self) -> int:
        return len(self._keys)

    def key_set(self) -> "KeySet":
        """Itself: a set is its own source."""
        return self

    def refreshed(self) -> "KeySet":
        """Itself: there is nothing to read again."""
        return self

    def find(self, key_id: str | None, algorithm: str) -> Key | None:
        """The key a token's header points at; without a `kid`, the only key of that algorithm.

        The header is a hint. It can select among the keys that are trusted anyway and never add one.
        """
        if key_id is not None:
            return self._keys.get(key_id)
        of_algorithm = [key for key in self._keys.values() if key.algorithm == algorithm]
        return of_algorithm[0] if len(of_algorithm) == 1 else None

    def signing_key(self, *, now: float | None = None) -> Key:
        """The newest key that signs already. Raises ConfigurationError where none does."""
        instant = time.time() if now is None else now
        able = [key for key in self._keys.values() if key.signing is not None and key.signs_from <= instant]
        if not able:
            raise ConfigurationError("no key signs: the key set has no private key that is valid yet")
        return max(able, key=lambda key: (key.signs_from, key.id))

    def public_jwks(self) -> dict[str, Any]:
        """The JWKS document that others verify with (RFC 7517, section 5). Shared secrets stay out of it."""
        return {"keys": [key.public_jwk() for key in self._keys.values() if key.algorithm != "HS256"]}

    @classmethod
    def from_pem_dir(cls, directory: str | Path) -> "KeySet":
        """Every `*.pem` key, and every `*.secret` (base64url, for HS256), of a directory, read once.

        A file name may begin with the instant from which its key signs (`20261231T235959Z-...`). Raises
        ConfigurationError that names the file, for keys that cannot be used, and where there are none.
        """
        files = key_files(Path(directory))
        if not files:
            raise ConfigurationError(f"no *.pem or *.secret key in {directory}")
        return cls(Key.from_file(file) for file in files)

    @classmethod
    def from_jwks(cls, document: Mapping[str, Any]) -> "KeySet":
        """The signature keys of a JWKS document of some other issuer (RFC 7517, section 5).

        Keys of unknown types, for encryption, of other algorithms or with an unusable id are left out, as the RFC
        asks. Raises ConfigurationError for private members, and where no key is left.
        """
        listed = document.get("keys")
        if not isinstance(listed, list):
            raise ConfigurationError("a JWKS document is an object with a list 'keys'")
        keys = [key for key in (_from_jwk(jwk) for jwk in listed) if key is not None]
        if not keys:
            raise ConfigurationError("no key in this JWKS document verifies ES256, RS256 or EdDSA signatures")
        return cls(keys)


def key_files(directory: Path) -> list[Path]:
    """The files of a directory that hold keys."""
    return sorted([*directory.glob("*.pem"), *directory.glob("*.secret")])


def thumbprint(jwk: Mapping[str, str]) -> str:
    """The RFC 7638 thumbprint of a JWK, SHA-256, base64url."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    canonical = json.dumps(members, separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


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


def _from_jwk(jwk: object) -> Key | None:
    if not isinstance(jwk, Mapping):
        raise ConfigurationError("a JWKS document lists objects")
    if _PRIVATE_MEMBERS & jwk.keys():
        raise ConfigurationError("this JWKS document holds private or shared keys; it is not fit to be published")
    operations = jwk.get("key_ops", ["verify"])
    if jwk.get("use", "sig") != "sig" or not isinstance(operations, list) or "verify" not in operations:
        return None
    try:
        # Without its `alg`, of which PyJWT knows fewer names, and which is compared below.
        public = jwt.PyJWK({name: value for name, value in jwk.items() if name != "alg"}).key
        algorithm = _algorithm_for(public)
    except (jwt.PyJWTError, ConfigurationError, ValueError, TypeError, AttributeError):
        return None
    named = jwk.get("alg", algorithm)
    if named != algorithm and (named, algorithm) != ("Ed25519", "EdDSA"):
        return None
    id_ = jwk.get("kid")
    named_by = id_ if isinstance(id_, str) and id_ else thumbprint(cast("Mapping[str, str]", jwk))
    with contextlib.suppress(ConfigurationError):
        return Key(named_by, algorithm, public)
    return None
