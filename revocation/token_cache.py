"""TokenCache: claims of tokens whose signature was verified before."""

from revocation.claims import Claims
from revocation.keys import KeySet


class TokenCache:
    """Bounded, and for one key set only: new keys mean a new, empty cache.

    It saves the signature and the parsing, and nothing else: expiry and revocation are looked at every time. Two
    generations make it least-recently-used without a lock: what is asked for moves to the young one; when that is full
    it becomes the old one, and the old one goes.
    """

    def __init__(self, keys: KeySet, *, size: int) -> None:
        self.keys = keys
        self._half = max(1, size // 2)
        self._young: dict[bytes, Claims] = {}
        self._old: dict[bytes, Claims] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, digest: bytes) -> Claims | None:
        """The claims of the token with this SHA-256, if it was verified with these keys."""
        claims = self._young.get(digest)
        if claims is None:
            claims = self._old.get(digest)
            if claims is not None:
                self.put(digest, claims)
        return claims

    def put(self, digest: bytes, claims: Claims) -> None:
        """Remember claims that were verified with these keys."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[digest] = claims
