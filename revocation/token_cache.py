"""TokenCache: the claims of tokens whose signature a verifier has verified."""

from revocation.claims import Claims
from revocation.keys import KeySet


class TokenCache:
    """A cache of bounded size for one key set; a verifier with new keys starts a new, empty cache.

    A hit saves the signature and the parsing, and nothing else: the verifier and the guard check expiry and revocation
    every time. Two generations replace the least recently used tokens without a lock: a hit moves to the young
    generation; once that is full, it becomes the old generation, and the cache drops the previous old one.
    """

    def __init__(self, keys: KeySet, *, size: int) -> None:
        self.keys = keys
        self._half = max(1, size // 2)
        self._young: dict[bytes, Claims] = {}
        self._old: dict[bytes, Claims] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> Claims | None:
        """The claims of the token with this SHA-256, or None where the cache does not hold them."""
        claims = self._young.get(digest)
        if claims is None:
            claims = self._old.get(digest)
            if claims is not None:
                self.put(digest, claims)
        return claims

    def put(self, digest: bytes, claims: Claims) -> None:
        """Keep claims that a verifier has verified with the keys of this cache."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[digest] = claims
