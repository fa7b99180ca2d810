"""Service: everything the routes work with, put together once per process."""

from dataclasses import dataclass

from app.accounts import Accounts
from app.audit_copier import AuditCopier
from app.debt_payer import DebtPayer
from app.debts import Debts
from app.devices import Devices
from app.grants import Grants
from app.health import Health
from app.revocations import Revocations
from app.sessions import Sessions
from app.settings import Settings
from app.stores import Stores, chosen
from app.throttle import Throttle
from revocation import Guard, KeyDirectory, TokenIssuer, TokenVerifier
from revocation.metrics import FollowerMetrics, observe


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
    client_throttle: Throttle
    devices: Devices
    revocations: Revocations
    accounts: Accounts
    health: Health
    audit_copier: AuditCopier
    debt_payer: DebtPayer

    @classmethod
    def of(cls, settings: Settings) -> "Service":
        """Needs the keys on disk (`python -m app init` makes them), and no connection yet."""
        stores = Stores.of(settings)
        keys = stores.keyring.source()
        # The `iat` of every token of this service is the time of Redis.
        verifier = settings.revocation.verifier(
            keys,
            issuer=settings.issuer,
            audience=settings.audience,
            iat_tolerance_seconds=0,
            own_token_seconds=settings.access_ttl_seconds,
        )
        guard = settings.revocation.guard(verifier, stores.denylist, on_decision=observe)
        FollowerMetrics(guard)
        sessions = stores.sessions(settings)
        revocations = Revocations(stores.denylist)
        debts = Debts(stores.database, stores.denylist, revocations, sessions=lambda: sessions, issuer=settings.issuer)
        debt_payer = DebtPayer(debts)
        grants = Grants(
            users=stores.users,
            sessions=sessions,
            denylist=stores.denylist,
            following=guard.follower,
            issuer=TokenIssuer(
                stores.announced_keys(keys, issuer=settings.issuer),
                issuer=settings.issuer,
                audience=settings.audience,
            ),
            access_seconds=settings.access_ttl_seconds,
            settle=lambda username: debts.settle("subject", username),
        )
        throttle, client_throttle = (
            Throttle(stores.denylist, holder, bounds=settings.guesses) for holder in ("user", "client")
        )
        audit_copier = AuditCopier(stores.denylist, stores.audit, keep_seconds=settings.audit_retention_seconds)
        return cls(
            settings=settings,
            stores=stores,
            keys=keys,
            guard=guard,
            verifier=verifier,
            sessions=sessions,
            grants=grants,
            throttle=throttle,
            client_throttle=client_throttle,
            devices=Devices(stores.keyring.refresh_secret()),
            revocations=revocations,
            accounts=Accounts(
                stores,
                revocations,
                debts,
                sessions=lambda: sessions,
                throttles={"user": throttle, "client": client_throttle},
                issuer=settings.issuer,
            ),
            health=Health(stores.denylist, guard, stores.users, audit_copier, debt_payer, settings=chosen(settings)),
            audit_copier=audit_copier,
            debt_payer=debt_payer,
        )
