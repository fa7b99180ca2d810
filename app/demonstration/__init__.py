"""Demonstration: what the playground shows with, on the embedded store only."""

from dataclasses import dataclass
from typing import Self

from app.demonstration.account import PASSWORD, USERNAME, close_account, open_account
from app.demonstration.brief_tokens import BRIEF_SECONDS, BriefTokens, brief_denylist
from app.demonstration.entries import entries_of
from app.demonstration.outage import Outage
from app.demonstration.server_sessions import ServerSessions
from app.settings import Settings
from app.stores import Stores
from revocation import KeySource, TokenVerifier

__all__ = [
    "BRIEF_SECONDS",
    "PASSWORD",
    "USERNAME",
    "Demonstration",
    "close_account",
    "entries_of",
    "open_account",
    "prepare",
]


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The things that visitors compare and break. Building it opens no connection."""

    server_sessions: ServerSessions
    brief_tokens: BriefTokens
    outage: Outage

    @classmethod
    def of(cls, stores: Stores, settings: Settings, *, keys: KeySource, verifier: TokenVerifier) -> Self:
        """What a service shows: its own keys and its own bound."""
        return cls(
            ServerSessions(stores.denylist),
            BriefTokens(keys, settings),
            Outage(stores.denylist, verifier, max_staleness=settings.revocation.max_staleness),
        )


def prepare(stores: Stores, settings: Settings) -> None:
    """Make the account, and open the deny-list of brief tokens, where they are not there yet."""
    open_account(stores.users)
    denylist = brief_denylist(settings)
    denylist.open()
    denylist.link.close()
