"""BriefTokens: tokens that live for 20 seconds, so that a visitor sees them die, and their entries with them."""

from dataclasses import replace
from typing import Any, Final

from app.demonstration.entries import Entry, entries_of
from app.settings import Settings
from app.stores import chosen
from revocation import (
    Claims,
    Decision,
    DenylistEmptyError,
    Guard,
    Handle,
    KeySource,
    RedisDenylist,
    RevocationSettings,
    TokenIssuer,
)

BRIEF_SECONDS: Final = 20


def brief_denylist_settings(settings: Settings) -> RevocationSettings:
    """Those of the deny-list of brief tokens, which stands beside the service's own."""
    return replace(
        chosen(settings),
        namespace=f"{settings.revocation.namespace}-demo"[-64:],
        leeway_seconds=0,
        margin_seconds=0,
        max_token_lifetime_seconds=BRIEF_SECONDS,
    )


def brief_denylist(settings: Settings) -> RedisDenylist:
    """The deny-list of brief tokens. It asks nothing yet."""
    return brief_denylist_settings(settings).denylist(longest_session_seconds=BRIEF_SECONDS)


class BriefTokens:
    """Mints, judges and revokes, with a deny-list of its own.

    That deny-list forgives no difference between clocks: it is asked by hosts that share the clock of its Redis. So its
    entries end in the very second in which their tokens do.
    """

    def __init__(self, keys: KeySource, settings: Settings) -> None:
        self._denylist = brief_denylist(settings)
        parties: Any = {"issuer": settings.issuer, "audience": settings.audience}
        self._issuer = TokenIssuer(keys, **parties)
        self._verifier = brief_denylist_settings(settings).verifier(keys, **parties, iat_tolerance_seconds=0)
        self._guard = Guard(self._verifier, self._denylist, max_staleness=0)

    def mint(self, subject: str) -> str:
        """A token of this user. DenylistUnavailableError also in the second in which the deny-list is made."""
        try:
            now_ms = self._denylist.now_ms()
        except DenylistEmptyError:
            self._denylist.open()
            now_ms = self._denylist.now_ms()
        return self._issuer.issue(subject, lifetime_seconds=BRIEF_SECONDS, issued_at=now_ms / 1000)

    def decide(self, token: str) -> Decision:
        """Whether it may be let in."""
        return self._guard.decide(token)

    def read(self, token: str) -> Claims:
        """What a token says that is good, or would be if it were not revoked. Raises InvalidTokenError."""
        return self._verifier.verify(token)

    def revoke(self, claims: Claims) -> None:
        """Take it back."""
        self._denylist.revoke(Handle.token(claims), reason="tried in the playground")

    def entry(self, claims: Claims) -> Entry:
        """Its entry, and for how long that stands."""
        [entry] = entries_of(self._denylist, [Handle.token(claims)])
        return entry
