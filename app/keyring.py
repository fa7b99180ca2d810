"""Keyring: makes, rotates and withdraws the service's signing keys, which are files in one directory."""

import base64
import contextlib
import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Final, Literal

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from revocation import ConfigurationError, Key, KeyDirectory, KeySet
from revocation.keys import AlgorithmName, key_files

#: How long consumers may keep the JWKS document, in seconds (`Cache-Control: max-age`).
JWKS_MAX_AGE_SECONDS: Final = 300

#: How long a rotated key is published before it signs: nobody meets it unknown, also with clocks 30 s apart.
PUBLISH_SECONDS: Final = 2 * JWKS_MAX_AGE_SECONDS

_REFRESH_SECRET = "refresh.hmac"

#: What a key does now: it signs, it will, or the tokens that it signed are accepted.
KeyState = Literal["signs", "next", "verifies"]


class Keyring:
    """The key files of the service. Its methods are safe in several processes and on several hosts at once."""

    def __init__(self, directory: Path, *, algorithm: AlgorithmName) -> None:
        self._directory = directory
        self._algorithm = algorithm

    def ensure(self) -> None:
        """Make what is missing: the directory, a key that signs with the algorithm set, the refresh secret."""
        with self._locked():
            if self._signing_key() is None:
                self._write(signs_from=int(time.time()))
            secret = self._directory / _REFRESH_SECRET
            if not secret.exists():
                _create(secret, base64.urlsafe_b64encode(secrets.token_bytes(32)))

    def source(self) -> KeyDirectory:
        """The keys, read from their files."""
        return KeyDirectory(self._directory)

    def states(self) -> list[tuple[Key, KeyState]]:
        """Every key with what it does now, in the order in which they sign."""
        keys = self.source().key_set()
        signing = keys.signing_key()

        def state(key: Key) -> KeyState:
            if key.id == signing.id:
                return "signs"
            return "verifies" if key.signs_from <= signing.signs_from else "next"

        return [(key, state(key)) for key in sorted(keys, key=lambda key: key.signs_from)]

    def refresh_secret(self) -> bytes:
        """The secret from which refresh tokens are derived."""
        return base64.urlsafe_b64decode((self._directory / _REFRESH_SECRET).read_bytes())

    def rotate(self, *, publish_seconds: int = PUBLISH_SECONDS, keep_seconds: int) -> Key:
        """Publish a new key that signs from `publish_seconds` on.

        Keys whose successor has been signing for longer than `keep_seconds`, so that none of their tokens lives, go.
        """
        with self._locked():
            self._prune(keep_seconds)
            return self._write(signs_from=int(time.time()) + publish_seconds)

    def withdraw(self, key_id: str) -> bool:
        """Take a key out and sign with a new one at once; False where there is no such key."""
        with self._locked():
            files = {key.id: file for file, key in self._files()}
            if key_id not in files:
                return False
            signing = self._signing_key()
            if signing is None or signing.id == key_id:
                self._write(signs_from=int(time.time()))
            files[key_id].unlink()
            return True

    def _files(self) -> list[tuple[Path, Key]]:
        return [(file, Key.from_file(file)) for file in key_files(self._directory)]

    def _signing_key(self) -> Key | None:
        """The key that signs now, if it is of the algorithm set."""
        # An unreadable file is an error and no reason to make another key, so `_files` may raise here.
        keys = KeySet(key for _, key in self._files())
        with contextlib.suppress(ConfigurationError):
            key = keys.signing_key()
            return key if key.algorithm == self._algorithm else None
        return None

    def _prune(self, keep_seconds: int) -> None:
        files = sorted(self._files(), key=lambda pair: pair[1].signs_from)
        for (file, _), (_, successor) in pairwise(files):
            if successor.signs_from + keep_seconds < time.time():
                file.unlink()

    def _write(self, *, signs_from: int) -> Key:
        prefix = datetime.fromtimestamp(signs_from, UTC).strftime("%Y%m%dT%H%M%SZ")
        if self._algorithm == "HS256":
            secret = secrets.token_bytes(32)
            key, text, suffix = (
                Key.from_secret(secret, signs_from=signs_from),
                base64.urlsafe_b64encode(secret),
                "secret",
            )
        else:
            text = _generate(self._algorithm)
            key, suffix = Key.from_pem(text, signs_from=signs_from), "pem"
        _create(self._directory / f"{prefix}-{key.id}.{suffix}", text)
        return key

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self._directory / "keys.lock").open("w") as lock:
            fcntl.lockf(lock, fcntl.LOCK_EX)
            yield


def _generate(algorithm: AlgorithmName) -> bytes:
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
    if algorithm == "ES256":
        key = ec.generate_private_key(ec.SECP256R1())
    elif algorithm == "RS256":
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    else:
        key = ed25519.Ed25519PrivateKey.generate()
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _create(path: Path, text: bytes) -> None:
    """Write a file that only the owner may read, whole or not at all: a reader never sees half a key."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    # A process that was killed here may have left the file; in a container the next process has the same id.
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
