"""Service: everything the routes work with, put together once per process."""

from dataclasses import dataclass
from typing import cast

from flask import current_app

from app.audit import Audit
from app.clients import Clients
from app.database import Database
from app.grants import Grants
from app.keyring import Keyring
from app.refresh_tokens import RefreshTokens
from app.sessions import Sessions
from app.settings import Settings
from app.throttle import Throttle
from app.users import Users
from revocation import Guard, KeyDirectory, Lifetimes, RedisDenylist, TokenIssuer, TokenVerifier, connect
from revocation.keys import AlgorithmName
from revocation.metrics import FollowerMetrics, observe

_EXTENSION = "service"

#: How long an answer waits for the followers to confirm a revocation.
_RECEIPT_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Stores:
    """What outlives the process. Building it opens no connection."""

    database: Database
    users: Users
    clients: Clients
    audit: Audit
    denylist: RedisDenylist
    keyring: Keyring

    @classmethod
    def of(cls, settings: Settings) -> "Stores":
        """The stores that the settings name."""
        database = Database(settings.database_url)
        return cls(
            database,
            Users(database),
            Clients(database),
            Audit(database),
            denylist(settings),
            Keyring(settings.keys_dir, algorithm=cast("AlgorithmName", settings.algorithm)),
        )


@dataclass(frozen=True, slots=True)
class Service:
    """The stores and what works on them, for one process that serves requests."""

    settings: Settings
    stores: Stores
    keys: KeyDirectory
    guard: Guard
    verifier: TokenVerifier
    sessions: Sessions
    grants: Grants
    throttle: Throttle

    @classmethod
    def of(cls, settings: Settings) -> "Service":
        """Needs the keys on disk (`python -m app init` makes them), and no connection yet."""
        stores = Stores.of(settings)
        keys = stores.keyring.source()
        verifier = TokenVerifier(
            keys,
            issuer=settings.issuer,
            audience=settings.audience,
            leeway_seconds=settings.revocation.leeway_seconds,
            max_lifetime_seconds=settings.revocation.max_token_lifetime_seconds,
            # Every `iat` of ours is the time of Redis.
            iat_tolerance_seconds=0,
            cache_size=settings.revocation.token_cache_size,
        )
        sessions = Sessions(
            stores.denylist,
            RefreshTokens(stores.keyring.refresh_secret()),
            issuer=settings.issuer,
            idle_seconds=settings.refresh_ttl_seconds,
            absolute_seconds=settings.session_ttl_seconds,
            grace_seconds=settings.refresh_grace_seconds,
        )
        grants = Grants(
            users=stores.users,
            sessions=sessions,
            denylist=stores.denylist,
            issuer=TokenIssuer(keys, issuer=settings.issuer, audience=settings.audience),
            access_seconds=settings.access_ttl_seconds,
        )
        guard = Guard(verifier, stores.denylist, max_staleness=settings.revocation.max_staleness, on_decision=observe)
        FollowerMetrics(guard)
        return cls(settings, stores, keys, guard, verifier, sessions, grants, Throttle(stores.denylist))


def denylist(settings: Settings) -> RedisDenylist:
    """The deny-list that the settings name."""
    chosen = settings.revocation
    url = f"embedded:{settings.data_dir}" if settings.is_embedded else chosen.redis_url
    return RedisDenylist(
        connect(url, timeout_seconds=chosen.timeout_seconds),
        namespace=chosen.namespace,
        lifetimes=Lifetimes(
            max_token_seconds=chosen.max_token_lifetime_seconds,
            leeway_seconds=chosen.leeway_seconds,
            margin_seconds=chosen.margin_seconds,
            session_seconds=settings.session_ttl_seconds,
        ),
        allow_eviction=chosen.allow_eviction,
        wait_seconds=_RECEIPT_SECONDS,
        min_replicas=chosen.min_replicas,
    )


def service() -> Service:
    """The service of the current app."""
    return cast("Service", current_app.extensions[_EXTENSION])
