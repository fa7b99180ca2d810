"""TokenVerifier: checks signature, type and claims in one call that nobody can do by half.

PyJWT's algorithms do the cryptography. CompactJws parses the token, once, and this module decides about everything that
PyJWT leaves open: the `typ`, duplicate claims, empty ids, padding, tokens of a megabyte.
"""

import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final

from revocation.claims import ClaimNames, Claims
from revocation.compact_jws import CompactJws
from revocation.defaults import LEEWAY_SECONDS, TOKEN_SECONDS
from revocation.errors import ConfigurationError, ExpiredTokenError, InvalidTokenError
from revocation.keys import ALGORITHMS, Key, KeySet, KeySource
from revocation.keys_pending import KeysPendingError
from revocation.token_cache import TokenCache, digest_of

_log = logging.getLogger(__name__)

#: How many headers a verifier knows at a time: an issuer's tokens have one for each key and type.
_MAX_HEADERS: Final = 64

#: Header members that change the meaning of a token. The verifier refuses them, because it would misread the token
#: without them (RFC 7515, section 4.1.11). It ignores `jku`, `jwk`, `x5u` and `x5c`, and never follows them.
_REFUSED_HEADERS = ("crit", "b64", "zip", "cty")

#: Newer names of algorithms, and the older names of the same algorithms (RFC 9864).
_SAME_ALGORITHM = {"Ed25519": "EdDSA"}


def too_long(max_token_bytes: int) -> InvalidTokenError:
    """The error of a token that is longer than a verifier reads."""
    return InvalidTokenError("too_long", f"The token has more than {max_token_bytes} bytes.")


class TokenVerifier:
    """Turns a token into Claims, or raises InvalidTokenError with a stable `reason`.

    `audience` is yours, or several of yours. It is None only for issuers that write no `aud`: then nothing in the token
    says for whom it is, so a token that was made for any other API of the issuer is accepted as well, unless
    `required_claims` tells them apart; tokens that do have an `aud` are refused. A `token_types` of None stands for a
    header without `typ`, and `require_iss=False` takes tokens without `iss` for the issuer's. `required_claims` are
    claims that must have this value, or one of these; of a list, one member.

    `iat_tolerance_seconds` is how far a token's `iat` may lie ahead of Redis' clock; by default one leeway. Set it to 0
    only for tokens whose `iat` is the time of Redis (`RedisDenylist.now_ms`): a cut-off separates those to the
    millisecond. The verifier keeps the claims of up to `cache_size` tokens (0: none), and so verifies the signature of
    a token only once. Raises ConfigurationError for an issuer or an audience that no token could have.
    """

    def __init__(
        self,
        keys: KeySource,
        *,
        issuer: str,
        audience: str | Sequence[str] | None,
        leeway_seconds: int = LEEWAY_SECONDS,
        max_lifetime_seconds: int = TOKEN_SECONDS,
        max_token_bytes: int = 8192,
        token_types: Sequence[str | None] = ("at+jwt",),
        required_claims: Mapping[str, str | Collection[str]] | None = None,
        names: ClaimNames | None = None,
        require_iss: bool = True,
        require_jti: bool = True,
        integer_subject: bool = False,
        iat_tolerance_seconds: float | None = None,
        cache_size: int = 10_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.issuer = _checked_issuer(issuer)
        self.leeway_seconds = leeway_seconds
        self.max_lifetime_seconds = max_lifetime_seconds
        self.max_token_bytes = max_token_bytes
        self.require_iss = require_iss
        self._keys = keys
        self._audience = None if audience is None else _one_or_several(audience, "audience")
        if isinstance(token_types, str) or not token_types:
            raise ConfigurationError(f"token_types is a sequence of types, such as ('at+jwt',), not {token_types!r}")
        self._types = frozenset(name if name is None else _media_type(name) for name in token_types)
        self._required = {
            name: _one_or_several(values, f"required claim {name!r}")
            for name, values in (required_claims or {}).items()
        }
        self._names = names or ClaimNames()
        self._require_jti = require_jti
        self._integer_subject = integer_subject
        self._iat_tolerance_seconds = leeway_seconds if iat_tolerance_seconds is None else iat_tolerance_seconds
        self._clock = clock
        self._cache_size = cache_size
        #: What is known of tokens, and the keys that verified them.
        self._cache: tuple[KeySet, TokenCache[Claims]] | None = None
        #: How many tokens the cache held, and how many it did not.
        self.cache_hits = 0
        self.cache_misses = 0
        #: For one set of keys: the keys that a header, in its encoded form, may mean, of which one verified a token.
        self._headers: tuple[KeySet | None, dict[str, tuple[Key, ...]]] = (None, {})
        #: The methods of the source that raised when they were called last.
        self._failing: set[str] = set()

    def verify(self, token: str | CompactJws) -> Claims:
        """The claims of a token that is good now; the verifier does not look at revocations.

        Raises ExpiredTokenError, or InvalidTokenError with the reason.
        """
        claims = self.verify_ignoring_expiry(token)
        if self._clock() >= claims.expires_at + self.leeway_seconds:
            raise ExpiredTokenError
        return claims

    def verify_ignoring_expiry(self, token: str | CompactJws) -> Claims:
        """The claims of a token that is or was good: use them to revoke the token, never to let it in."""
        claims = self._authentic(token)
        now = self._clock()
        if claims.not_before is not None and now < claims.not_before - self.leeway_seconds:
            raise InvalidTokenError("not_yet_valid", "The token is not valid yet.")
        if claims.issued_at > now + self.leeway_seconds:
            raise InvalidTokenError("issued_in_future", "The token says it was issued in the future.")
        return claims

    def read(self, mapping: Mapping[str, Any], *, iat_tolerance_seconds: float) -> Claims:
        """The claims that somebody else verified, under the names of this issuer. Raises InvalidTokenError."""
        return self._read(mapping, require_iss=False, iat_tolerance_seconds=iat_tolerance_seconds)

    def other_key_ids(self, issuer: str, key_id: str) -> tuple[str, ...]:
        """The other ids under which the issuer publishes the same key: revoking one of them revokes the key.

        Raises InvalidTokenError where the keys cannot be read, as those of an issuer that has not answered yet. A key
        that the issuer does not publish, as far as anybody can read, has no other ids.
        """
        if issuer != self.issuer:
            return ()
        keys = self._trusted(self._keys.key_set)
        if keys.find(key_id) is None:
            keys = self._trusted(self._keys.refreshed)
        if not len(keys):
            raise InvalidTokenError("unknown_key", "The keys among which the token's key has its ids cannot be read.")
        return keys.other_ids(key_id)

    def _authentic(self, token: str | CompactJws) -> Claims:
        """The claims of a token after every check that does not depend on time, from the cache where it has them."""
        text = token if isinstance(token, str) else token.text
        if len(text) > self.max_token_bytes:
            raise too_long(self.max_token_bytes)
        # As `_trusted` does; a call of it would be a twentieth of what a token costs that was verified before.
        try:
            keys = self._keys.key_set()
        except KeysPendingError:
            raise
        except Exception as error:  # anybody may write a source, and raise anything in it
            raise self._without_keys("key_set", error) from error
        if self._failing:
            self._failing.discard("key_set")
        if not self._cache_size:
            return self._verified(token, keys)[0]
        held = self._cache
        if held is None or held[0] is not keys:
            held = self._cache = (keys, TokenCache(size=self._cache_size))
        cache = held[1]
        digest = digest_of(text)
        claims = cache.get(digest)
        if claims is None:
            self.cache_misses += 1
            claims, verified_with = self._verified(token, keys)
            if verified_with is keys:
                cache.put(digest, claims)
        else:
            self.cache_hits += 1
        return claims

    def _verified(self, token: str | CompactJws, keys: KeySet) -> tuple[Claims, KeySet]:
        """The claims, and the keys that verified them: newer keys, where the given ones lack the token's key."""
        jws = CompactJws(token) if isinstance(token, str) else token
        key, keys = self._signer(jws, keys)
        claims = self._read(
            jws.claims(),
            key_id=key.id,
            other_key_ids=keys.other_ids(key.id),
            require_iss=self.require_iss,
            iat_tolerance_seconds=self._iat_tolerance_seconds,
        )
        self._check_issuer(claims)
        self._check_audience(claims)
        if self._required:
            self._check_required(jws.claims())
        self._check_lifetime(claims)
        return claims, keys

    def _read(
        self,
        mapping: Mapping[str, Any],
        *,
        key_id: str | None = None,
        other_key_ids: tuple[str, ...] = (),
        require_iss: bool,
        iat_tolerance_seconds: float,
    ) -> Claims:
        return Claims.from_mapping(
            mapping,
            issuer=None if require_iss else self.issuer,
            key_id=key_id,
            other_key_ids=other_key_ids,
            names=self._names,
            require_jti=self._require_jti,
            integer_subject=self._integer_subject,
            iat_tolerance_seconds=iat_tolerance_seconds,
        )

    def _trusted(self, look: Callable[[], KeySet]) -> KeySet:
        """The keys as a method of the source gives them. Raises InvalidTokenError where it raises anything."""
        try:
            keys = look()
        except KeysPendingError:
            raise
        except Exception as error:  # anybody may write a source, and raise anything in it
            raise self._without_keys(look.__name__, error) from error
        self._failing.discard(look.__name__)
        return keys

    def _without_keys(self, method: str, error: Exception) -> InvalidTokenError:
        """What a token is refused with while the source of keys fails: that is no failure of the application."""
        if method not in self._failing:
            self._failing.add(method)
            _log.error("The keys of %s cannot be read: tokens that need them are refused.", self.issuer, exc_info=error)
        return InvalidTokenError("unknown_key", "The keys that could verify the token cannot be read.")

    def _signer(self, jws: CompactJws, keys: KeySet) -> tuple[Key, KeySet]:
        """The key that signed the token, and the set that it is in."""
        known = self._headers_under(keys)
        candidates = known.get(jws.header_text)
        if candidates is None:
            candidates, keys = self._candidates(self._checked_header(jws), keys)
        key = _that_verifies(jws, candidates)
        if key is None and jws.header().get("kid") is None:
            # The issuer may have another key by now, and its tokens do not say so.
            newer = self._trusted(self._keys.refreshed)
            if newer is not keys:
                candidates, keys = self._candidates(self._checked_header(jws), newer)
                key = _that_verifies(jws, candidates)
        if key is None:
            raise InvalidTokenError("signature", "The token's signature does not verify.")
        if jws.header_text not in known:
            self._know(jws.header_text, candidates, keys)
        return key, keys

    def _know(self, header: str, candidates: tuple[Key, ...], keys: KeySet) -> None:
        """Remember a header of a token that verified: nobody without a key can add one."""
        known = self._headers_under(keys)
        self._headers = (keys, {**(known if len(known) < _MAX_HEADERS else {}), header: candidates})

    def _headers_under(self, keys: KeySet) -> Mapping[str, tuple[Key, ...]]:
        # The pair is read once: another thread, which began with other keys, may change it at any moment.
        held, known = self._headers
        return known if held is keys else {}

    def _checked_header(self, jws: CompactJws) -> dict[str, Any]:
        header = jws.header()
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
        if type_ is None:
            accepted = None in self._types and "typ" not in header
        else:
            accepted = isinstance(type_, str) and _media_type(type_) in self._types
        if not accepted:
            raise InvalidTokenError("type", "The token's type is not accepted here.")

    def _candidates(self, header: dict[str, Any], keys: KeySet) -> tuple[tuple[Key, ...], KeySet]:
        """The trusted keys that the header may mean; the algorithm comes from the key (RFC 8725, section 3.1)."""
        algorithm, key_id = header.get("alg"), header.get("kid")
        if not isinstance(algorithm, str) or not (key_id is None or isinstance(key_id, str)):
            raise InvalidTokenError("header", "The token's header has no algorithm, or a key id that is no string.")
        known_name = _SAME_ALGORITHM.get(algorithm, algorithm)
        found = keys.candidates(key_id, known_name)
        if not found:
            keys = self._trusted(self._keys.refreshed)
            found = keys.candidates(key_id, known_name)
        if not found:
            raise InvalidTokenError("unknown_key", "The key that signed the token is not trusted here.")
        if any(key.algorithm != known_name for key in found):
            raise InvalidTokenError("algorithm", "The token's key is for another algorithm.")
        return found, keys

    def _check_issuer(self, claims: Claims) -> None:
        """Refuse tokens of other issuers; the names must agree to the letter (RFC 9068, section 4)."""
        if claims.issuer != self.issuer:
            raise InvalidTokenError("issuer", "The token comes from another issuer.")

    def _check_audience(self, claims: Claims) -> None:
        """Refuse tokens for other audiences (RFC 7519, section 4.1.3)."""
        if self._audience is None:
            if claims.audience:
                raise InvalidTokenError("audience", "The token is for an audience, and this verifier has none.")
        elif self._audience.isdisjoint(claims.audience):
            raise InvalidTokenError("audience", "The token is for another audience.")

    def _check_required(self, claims: Mapping[str, Any]) -> None:
        for name, allowed in self._required.items():
            value = claims.get(name)
            values = value if isinstance(value, list) else [value]
            if not any(isinstance(one, str) and one in allowed for one in values):
                raise InvalidTokenError(
                    f"claim_{name}", f"The claim {name!r} does not have the value that it must have."
                )

    def _check_lifetime(self, claims: Claims) -> None:
        """Refuse tokens that live too long: a deny-list entry would end before they do."""
        if not 0 < claims.expires_at - claims.issued_at <= self.max_lifetime_seconds:
            raise InvalidTokenError(
                "lifetime",
                f"The token lives longer than {self.max_lifetime_seconds} seconds, or ends before it begins.",
            )


def _that_verifies(jws: CompactJws, candidates: tuple[Key, ...]) -> Key | None:
    signed, signature = jws.signed(), jws.signature()
    for key in candidates:
        if ALGORITHMS[key.algorithm].verify(signed, key.prepared, signature):
            return key
    return None


def _media_type(name: str) -> str:
    """A `typ` without "/" is short for application/ (RFC 7515, section 4.1.9)."""
    return name.lower().removeprefix("application/")


def _checked_issuer(issuer: str) -> str:
    if not isinstance(issuer, str) or not issuer:
        raise ConfigurationError(
            f"the issuer is one string that is not empty, not {issuer!r}: for several, make a verifier for each, and "
            "give the guard TrustedIssuers of them"
        )
    return issuer


def _one_or_several(values: str | Collection[str], what: str) -> frozenset[str]:
    """The values as a set. Raises ConfigurationError for what no token could have, so that none is refused for it."""
    several = [values] if isinstance(values, str) else list(values)
    if not several or not all(isinstance(value, str) and value for value in several):
        raise ConfigurationError(f"the {what} is a string that is not empty, or several of them, not {values!r}")
    return frozenset(several)
