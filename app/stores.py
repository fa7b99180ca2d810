"""Stores: what outlives a process of the service, made from the settings."""

from dataclasses import dataclass, replace
from typing import cast

from app.announced_keys import AnnouncedKeys
from app.audit import Audit
from app.clients import Clients
from app.database import MOST_CONNECTIONS, Database
from app.keyring import Keyring
from app.refresh_tokens import RefreshTokens
from app.sessions import Sessions
from app.settings import Settings
from app.users import Users
from revocation import KeySource, RedisDenylist, RevocationSettings
from revocation.keys import AlgorithmName

#: How long an answer waits for the followers to confirm a revocation.
_RECEIPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Stores:
    """The database and what is kept in it, the deny-list, and the key files. Building it opens no connection."""

    database: Database
    users: Users
    clients: Clients
    audit: Audit
    denylist: RedisDenylist
    keyring: Keyring

    @classmethod
    def of(cls, settings: Settings) -> "Stores":
        """The stores that the settings name."""
        # Half of the threads may wait for the database; the others answer what does not need it.
        threads = settings.threads if settings.worker_class == "gthread" else 2 * MOST_CONNECTIONS
        database = Database(settings.database_url, most_threads=max(1, min(MOST_CONNECTIONS, threads // 2)))
        return cls(
            database,
            Users(database),
            Clients(database),
            Audit(database),
            denylist(settings),
            Keyring(settings.keys_dir, algorithm=cast("AlgorithmName", settings.algorithm)),
        )

    def sessions(self, settings: Settings) -> Sessions:
        """The sessions of the service; needs the secret of the refresh tokens on disk."""
        return Sessions(
            self.denylist,
            RefreshTokens(self.keyring.refresh_secret()),
            issuer=settings.issuer,
            idle_seconds=settings.refresh_ttl_seconds,
            absolute_seconds=settings.session_ttl_seconds,
            grace_seconds=settings.refresh_grace_seconds,
            access_seconds=settings.access_ttl_seconds,
        )

    def announced_keys(self, keys: KeySource, *, issuer: str) -> AnnouncedKeys:
        """The keys of a source for whoever signs with them."""
        return AnnouncedKeys(keys, self.denylist, issuer=issuer)

    def announce_keys(self, *, issuer: str) -> None:
        """Say which keys sign, from the files as they are now."""
        self.announced_keys(self.keyring.source(), issuer=issuer).key_set()

    def close(self) -> None:
        """Close this process's connections; the next use opens new ones."""
        self.database.close()
        self.denylist.link.close()


def denylist(settings: Settings) -> RedisDenylist:
    """The deny-list that the settings name."""
    return chosen(settings).denylist(
        own_session_seconds=settings.session_ttl_seconds,
        own_token_seconds=settings.access_ttl_seconds,
        wait_seconds=_RECEIPT_SECONDS,
    )


def chosen(settings: Settings) -> RevocationSettings:
    """The settings of the library; the embedded store is that of the data directory."""
    if settings.is_embedded:
        return replace(settings.revocation, redis_url=f"embedded:{settings.data_dir}")
    return settings.revocation
