"""TokenIssuer: signs access tokens that TokenVerifier accepts."""

import math
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import jwt

from revocation.keys import KeySource

#: What a token says of itself (RFC 7519, section 4.1; RFC 9068, section 2.2; our milliseconds), by which it is judged
#: and revoked: only the issuer's own arguments set it.
_RESERVED: Final = frozenset(
    ("iss", "sub", "aud", "exp", "nbf", "iat", "iat_ms", "jti", "client_id", "azp", "scope", "scp", "sid")
)


class TokenIssuer:
    """Signs at+jwt access tokens (RFC 9068) with the newest key of a set whose time to sign has come."""

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str | Sequence[str],
        client_id: str = "first-party",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience if isinstance(audience, str) else list(audience)
        self._client_id = client_id
        self._clock = clock

    def issue(
        self,
        subject: str,
        *,
        scope: str | Iterable[str] = "",
        session: str | None = None,
        lifetime_seconds: int = 900,
        claims: Mapping[str, Any] | None = None,
        issued_at: float | None = None,
        client_id: str | None = None,
    ) -> str:
        """A signed token with a `jti` of 128 random bits.

        Where the verifier's tolerance is 0, pass the time of Redis (`RedisDenylist.now_ms() / 1000`) as `issued_at`.
        The `iat` is whole seconds, and its milliseconds stand in `iat_ms`; the `exp` is a whole second, so that the
        token lives at most `lifetime_seconds`. `claims` are claims of one's own, such as roles. Raises ValueError where
        they name what the token says of itself, and ConfigurationError where no key may sign.
        """
        reserved = sorted(_RESERVED.intersection(claims or ()))
        if reserved:
            raise ValueError(f"claims of one's own cannot be {', '.join(reserved)}: the issuer writes these")
        instant = self._clock() if issued_at is None else issued_at
        instant_ms = round(instant * 1000)
        written = {
            **(claims or {}),
            "iss": self._issuer,
            "aud": self._audience,
            "sub": subject,
            "client_id": client_id or self._client_id,
            # Other libraries compare the `iat` with whole seconds; the cut-offs of our own deny-list do not.
            "iat": instant_ms // 1000,
            "iat_ms": instant_ms,
            "exp": math.floor(instant) + lifetime_seconds,
            "jti": secrets.token_urlsafe(16),
        }
        words = scope if isinstance(scope, str) else " ".join(sorted(scope))
        if words:
            written["scope"] = words
        if session is not None:
            written["sid"] = session
        key = self._keys.key_set().signing_key(now=self._clock())
        return jwt.encode(written, key.signing, algorithm=key.algorithm, headers={"typ": "at+jwt", "kid": key.id})
