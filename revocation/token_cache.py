"""TokenCache: what is known of the tokens whose signature a verifier has verified."""

import hashlib
from typing import Generic, TypeVar

T = TypeVar("T")


def digest_of(token: str) -> bytes:
    """What stands for a token in a cache, so that no token stays in memory.

    BLAKE2b is as hard to find collisions in as SHA-256, and takes a third of the time that OpenSSL needs to begin one.
    """
    return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=32).digest()


class TokenCache(Generic[T]):
    """A cache of bounded size, by the digest of the token.

    A hit saves the signature and the parsing, and nothing else: the verifier and the guard check expiry and revocation
    every time. Two generations replace the least recently used tokens without a lock: a hit moves to the young
    generation; once that is full, it becomes the old generation, and the cache drops the previous old one.
    """

    def __init__(self, *, size: int) -> None:
        self._half = max(1, size // 2)
        self._young: dict[bytes, T] = {}
        self._old: dict[bytes, T] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> T | None:
        """What is known of the token with this digest, or None where the cache does not hold it."""
        known = self._young.get(digest)
        if known is None:
            known = self._old.get(digest)
            if known is not None:
                self.put(digest, known)
        return known

    def put(self, digest: bytes, known: T) -> None:
        """Keep what somebody has verified."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[digest] = known
