"""TrustedIssuers: the tokens of several issuers, each judged by a verifier of its own."""

from collections.abc import Iterable, Mapping
from typing import Any

from revocation.claims import Claims
from revocation.compact_jws import CompactJws
from revocation.errors import ConfigurationError, InvalidTokenError
from revocation.token_cache import TokenCache, digest_of
from revocation.verifier import TokenVerifier, too_long


class TrustedIssuers:
    """Several verifiers, one for each issuer, that a guard takes in the place of one.

    The `iss` of a token chooses the verifier, and decides nothing: nobody has verified it then. That verifier has keys,
    audience, types and names of claims of its own, and checks all of them, the `iss` included. A token without `iss` is
    judged by the verifier that was made with `require_iss=False`. Raises ConfigurationError for two verifiers of one
    issuer, or two that take tokens without `iss`.
    """

    def __init__(self, verifiers: Iterable[TokenVerifier], *, cache_size: int = 10_000) -> None:
        self._by_issuer: dict[object, TokenVerifier] = {}
        for verifier in verifiers:
            names = [verifier.issuer] if verifier.require_iss else [verifier.issuer, None]
            for name in names:
                if name in self._by_issuer:
                    raise ConfigurationError(
                        f"two verifiers are for the issuer {name!r}"
                        if name
                        else "two verifiers take tokens without iss"
                    )
                self._by_issuer[name] = verifier
        if not self._by_issuer:
            raise ConfigurationError("give TrustedIssuers a verifier for each issuer")
        each = self._by_issuer.values()
        self.leeway_seconds = max(verifier.leeway_seconds for verifier in each)
        self._max_token_bytes = max(verifier.max_token_bytes for verifier in each)
        #: The verifier of each token that was verified.
        self._chosen: TokenCache[TokenVerifier] = TokenCache(size=cache_size)

    @property
    def cache_hits(self) -> int:
        """How many tokens the caches of the verifiers held."""
        return sum(verifier.cache_hits for verifier in {*self._by_issuer.values()})

    @property
    def cache_misses(self) -> int:
        """How many they did not hold."""
        return sum(verifier.cache_misses for verifier in {*self._by_issuer.values()})

    def verify(self, token: str) -> Claims:
        """The claims of a token that is good now, by the verifier of its issuer. Raises as TokenVerifier does."""
        if len(token) > self._max_token_bytes:
            raise too_long(self._max_token_bytes)
        digest = digest_of(token)
        verifier = self._chosen.get(digest)
        if verifier is not None:
            return verifier.verify(token)
        jws = CompactJws(token)
        verifier = self._of(jws.claims())
        claims = verifier.verify(jws)
        self._chosen.put(digest, verifier)
        return claims

    def verify_ignoring_expiry(self, token: str) -> Claims:
        """The claims of a token that is or was good: use them to revoke the token, never to let it in."""
        if len(token) > self._max_token_bytes:
            raise too_long(self._max_token_bytes)
        jws = CompactJws(token)
        return self._of(jws.claims()).verify_ignoring_expiry(jws)

    def read(self, mapping: Mapping[str, Any], *, iat_tolerance_seconds: float) -> Claims:
        """The claims that somebody else verified, under the names of their issuer. Raises InvalidTokenError."""
        return self._of(mapping).read(mapping, iat_tolerance_seconds=iat_tolerance_seconds)

    def other_key_ids(self, issuer: str, key_id: str) -> tuple[str, ...]:
        """The other ids under which the issuer publishes the same key; none for an issuer that is not trusted."""
        verifier = self._by_issuer.get(issuer)
        return () if verifier is None else verifier.other_key_ids(issuer, key_id)

    def _of(self, claims: Mapping[str, Any]) -> TokenVerifier:
        issuer = claims.get("iss")
        verifier = self._by_issuer.get(issuer) if issuer is None or isinstance(issuer, str) else None
        if verifier is None:
            raise InvalidTokenError("issuer", "The token comes from an issuer that is not trusted here.")
        return verifier
