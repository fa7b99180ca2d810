"""TokenVerifier: checks signature, type and claims in one call that nobody can do by half.

PyJWT's algorithms do the cryptography. This module parses the token, once, and decides about everything that PyJWT
leaves open: the `typ`, duplicate claims, empty ids, padding, tokens of a megabyte.
"""

import hashlib
import json
import re
import time
from binascii import a2b_base64
from collections.abc import Callable, Sequence
from typing import Any, Final

from revocation.claims import Claims
from revocation.errors import ExpiredTokenError, InvalidTokenError
from revocation.keys import ALGORITHMS, Key, KeySet, KeySource
from revocation.token_cache import TokenCache

#: Three parts of base64url and nothing else: no padding, no white space, no JWE, no JSON (RFC 8725bis, section 3.14).
_COMPACT_JWS = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")

#: The last characters of a part that leave no bit over, by what its length leaves when divided by four. Any other one
#: would be a second spelling of the same bytes; a part that leaves one character is no base64 at all.
_LAST_CHARACTERS: Final = {1: frozenset(""), 2: frozenset("AQgw"), 3: frozenset("AEIMQUYcgkosw048")}

#: How many headers a verifier knows at a time: an issuer's tokens have one for each key and type.
_MAX_HEADERS: Final = 64

#: Header members that change the meaning of a token. The verifier refuses them, because it would misread the token
#: without them (RFC 7515, section 4.1.11). It ignores `jku`, `jwk`, `x5u` and `x5c`, and never follows them.
_REFUSED_HEADERS = ("crit", "b64", "zip", "cty")

#: Newer names of algorithms, and the older names of the same algorithms (RFC 9864).
_SAME_ALGORITHM = {"Ed25519": "EdDSA"}


class TokenVerifier:
    """Turns a token into Claims, or raises InvalidTokenError with a stable `reason`.

    `iat_tolerance_seconds` is how far a token's `iat` may lie ahead of Redis' clock; by default one leeway. Set it to 0
    only for tokens whose `iat` is the time of Redis (`RedisDenylist.now_ms`): a cut-off separates those to the
    millisecond. The verifier keeps the claims of up to `cache_size` tokens (0: none), and so verifies the signature of
    a token only once.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str | Sequence[str],
        leeway_seconds: int = 30,
        max_lifetime_seconds: int = 86_400,
        max_token_bytes: int = 8192,
        token_types: Sequence[str] = ("at+jwt",),
        require_jti: bool = True,
        iat_tolerance_seconds: float | None = None,
        cache_size: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = issuer
        self.leeway_seconds = leeway_seconds
        self.max_lifetime_seconds = max_lifetime_seconds
        self._keys = keys
        self._audience = frozenset([audience] if isinstance(audience, str) else audience)
        self._max_token_bytes = max_token_bytes
        self._types = frozenset(_media_type(name) for name in token_types)
        self._require_jti = require_jti
        self._iat_tolerance_seconds = leeway_seconds if iat_tolerance_seconds is None else iat_tolerance_seconds
        self._clock = clock
        self._cache_size = cache_size
        self._cache: TokenCache | None = None
        #: How many tokens the cache held, and how many it did not.
        self.cache_hits = 0
        self.cache_misses = 0
        #: The key of each header, in its encoded form, with which a signature verified, for one set of keys.
        self._headers: tuple[KeySet | None, dict[str, Key]] = (None, {})

    def verify(self, token: str) -> Claims:
        """The claims of a token that is good now; the verifier does not look at revocations.

        Raises ExpiredTokenError, or InvalidTokenError with the reason.
        """
        claims = self.verify_ignoring_expiry(token)
        if self._clock() >= claims.expires_at + self.leeway_seconds:
            raise ExpiredTokenError
        return claims

    def verify_ignoring_expiry(self, token: str) -> Claims:
        """The claims of a token that is or was good: use them to revoke the token, never to let it in."""
        claims = self._authentic(token)
        now = self._clock()
        if claims.not_before is not None and now < claims.not_before - self.leeway_seconds:
            raise InvalidTokenError("not_yet_valid", "The token is not valid yet.")
        if claims.issued_at > now + self.leeway_seconds:
            raise InvalidTokenError("issued_in_future", "The token says it was issued in the future.")
        return claims

    def other_key_ids(self, key_id: str) -> tuple[str, ...]:
        """The other ids under which the issuer publishes the same key: revoking one of them revokes the key."""
        return self._keys.key_set().other_ids(key_id)

    def _authentic(self, token: str) -> Claims:
        """The claims of a token after every check that does not depend on time, from the cache where it has them."""
        if len(token) > self._max_token_bytes:
            raise InvalidTokenError("too_long", f"The token has more than {self._max_token_bytes} bytes.")
        if not self._cache_size:
            return self._verified(token, self._keys.key_set())[0]
        keys = self._keys.key_set()
        cache = self._cache
        if cache is None or cache.keys is not keys:
            cache = self._cache = TokenCache(keys, size=self._cache_size)
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        claims = cache.get(digest)
        if claims is None:
            self.cache_misses += 1
            claims, verified_with = self._verified(token, keys)
            if verified_with is keys:
                cache.put(digest, claims)
        else:
            self.cache_hits += 1
        return claims

    def _verified(self, token: str, keys: KeySet) -> tuple[Claims, KeySet]:
        """The claims, and the keys that verified them: newer keys, where the given ones lack the token's key."""
        parts = _COMPACT_JWS.fullmatch(token)
        if parts is None:
            raise InvalidTokenError("malformed", "The token is not three parts of base64url.")
        header, body, signature = parts.groups()
        known = self._headers[1] if self._headers[0] is keys else {}
        key = known.get(header)
        if key is None:
            key, keys = self._key_for(self._checked_header(header), keys)
        signed = token[: parts.end(2)].encode("ascii")
        if not ALGORITHMS[key.algorithm].verify(signed, key.prepared, _decoded(signature)):
            raise InvalidTokenError("signature", "The token's signature does not verify.")
        claims = Claims.from_mapping(
            _strict_object(_decoded(body), "claims"),
            key_id=key.id,
            other_key_ids=keys.other_ids(key.id),
            require_jti=self._require_jti,
            iat_tolerance_seconds=self._iat_tolerance_seconds,
        )
        self._check_issuer(claims)
        self._check_audience(claims)
        self._check_lifetime(claims)
        if header not in known:
            self._know(header, key, keys)
        return claims, keys

    def _know(self, header: str, key: Key, keys: KeySet) -> None:
        """Remember a header of a token that verified: nobody without a key can add one."""
        known = self._headers[1] if self._headers[0] is keys and len(self._headers[1]) < _MAX_HEADERS else {}
        self._headers = (keys, {**known, header: key})

    def _checked_header(self, part: str) -> dict[str, Any]:
        header = _strict_object(_decoded(part), "header")
        for name in _REFUSED_HEADERS:
            if name in header:
                raise InvalidTokenError(
                    "header", f"The token's header has {name!r}, which this verifier does not support."
                )
        self._check_type(header)
        return header

    def _check_type(self, header: dict[str, Any]) -> None:
        """Refuse tokens of other types (RFC 9068, section 4; RFC 8725, section 3.11)."""
        type_ = header.get("typ")
        if not isinstance(type_, str) or _media_type(type_) not in self._types:
            raise InvalidTokenError("type", "The token's type is not accepted here.")

    def _key_for(self, header: dict[str, Any], keys: KeySet) -> tuple[Key, KeySet]:
        """The trusted key that the header names; the algorithm comes from the key (RFC 8725, section 3.1)."""
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
            raise InvalidTokenError("header", "The token's header has no algorithm, or a key id that is no string.")
        known_name = _SAME_ALGORITHM.get(algorithm, algorithm)
        key = keys.find(key_id, known_name)
        if key is None:
            keys = self._keys.refreshed()
            key = keys.find(key_id, known_name)
        if key is None:
            raise InvalidTokenError("unknown_key", "The key that signed the token is not trusted here.")
        if key.algorithm != known_name:
            raise InvalidTokenError("algorithm", "The token's key is for another algorithm.")
        return key, keys

    def _check_issuer(self, claims: Claims) -> None:
        """Refuse tokens of other issuers; the names must agree to the letter (RFC 9068, section 4)."""
        if claims.issuer != self.issuer:
            raise InvalidTokenError("issuer", "The token comes from another issuer.")

    def _check_audience(self, claims: Claims) -> None:
        """Refuse tokens for other audiences (RFC 7519, section 4.1.3)."""
        if self._audience.isdisjoint(claims.audience):
            raise InvalidTokenError("audience", "The token is for another audience.")

    def _check_lifetime(self, claims: Claims) -> None:
        """Refuse tokens that live too long: a deny-list entry would end before they do."""
        if not 0 < claims.expires_at - claims.issued_at <= self.max_lifetime_seconds:
            raise InvalidTokenError(
                "lifetime",
                f"The token lives longer than {self.max_lifetime_seconds} seconds, or ends before it begins.",
            )


def _media_type(name: str) -> str:
    """A `typ` without "/" is short for application/ (RFC 7515, section 4.1.9)."""
    return name.lower().removeprefix("application/")


def _decoded(part: str) -> bytes:
    """The bytes of base64url without padding; each has one spelling (RFC 7515, section 2; RFC 4648, section 3.5)."""
    rest = len(part) % 4
    if rest and part[-1] not in _LAST_CHARACTERS[rest]:
        raise InvalidTokenError("malformed", "The token is not base64url.")
    return a2b_base64(part.replace("-", "+").replace("_", "/") + "==")


def _strict_object(data: bytes, part: str) -> dict[str, Any]:
    """A JSON object in UTF-8 without duplicate names, NaN or lone surrogates (RFC 7519, section 4; RFC 8725, 3.7)."""
    try:
        parsed = json.loads(data.decode("utf-8"), object_pairs_hook=_without_duplicates, parse_constant=_no_constant)
        if b"\\u" in data:
            json.dumps(parsed, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise InvalidTokenError("malformed", f"The token's {part} cannot be read as one clean JSON object.") from error
    if not isinstance(parsed, dict):
        raise InvalidTokenError("malformed", f"The token's {part} must be a JSON object.")
    return parsed


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate name")
    return members


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
