"""Start-up: makes what must be there before the first request: schema, accounts, keys, secrets, the first epoch."""

import logging
import math
import secrets
import time

from app import demonstration
from app.database import InvalidValueError
from app.scopes import ADMIN_SCOPE
from app.settings import Settings
from app.stores import Stores, chosen
from app.users import ADMIN, UserExistsError
from revocation import ConfigurationError, DenylistUnavailableError
from revocation.doctor import glance

_log = logging.getLogger(__name__)

_ADMIN_SCOPE = f"reports:read {ADMIN_SCOPE}"

#: How long to wait for a store to answer, and for Redis' clock to pass the cut-off of a new epoch.
_PATIENCE_SECONDS = 30.0


def prepare(stores: Stores, settings: Settings) -> str | None:
    """Make what is missing; safe to repeat, and on several hosts at once.

    Returns the admin's password where one had to be made up, to be shown this once. Raises ConfigurationError where
    something is set so that the service must not start.
    """
    stores.database.migrate()
    stores.keyring.ensure()
    open_epoch(stores, settings)
    stores.announce_keys(issuer=settings.issuer)
    for finding in glance(stores.denylist, settings=chosen(settings)):
        _log.warning("%s %s To mend it: %s", finding.what, finding.why, finding.mend)
    if settings.is_embedded:
        demonstration.prepare(stores, settings)
    else:
        demonstration.close_account(stores.users)
    return _ensure_admin(stores, settings)


def open_epoch(stores: Stores, settings: Settings) -> None:
    """Open the first epoch, where there is none, and wait until tokens may be minted in it."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    opened = False
    bound = settings.revocation.max_staleness
    while True:
        try:
            if not opened:
                stores.denylist.open(longest_bound_seconds=bound if bound < math.inf else 0.0)
                opened = True
            stores.denylist.now_ms()
        except DenylistUnavailableError as error:
            # No waiting makes another address of it.
            if "redis_url" in error.settings or time.monotonic() > deadline:
                raise ConfigurationError(str(error), settings=error.settings) from error
            time.sleep(0.05)
        else:
            return


def _ensure_admin(stores: Stores, settings: Settings) -> str | None:
    password = settings.admin_password
    if stores.users.get(ADMIN) is not None:
        if password is not None and stores.users.authenticate(ADMIN, password) is None:
            _log.warning(
                "APP_ADMIN_PASSWORD is not used: the account %s was made at an earlier start and has another "
                "password. To set it: python -m app users password %s",
                ADMIN,
                ADMIN,
            )
        return None
    if password is None:
        if settings.revocation.redis_url not in ("embedded", "memory"):
            raise ConfigurationError("APP_ADMIN_PASSWORD is needed for the first start: the account admin is made then")
        password = secrets.token_urlsafe(12)
    try:
        stores.users.create(ADMIN, password=password, scope=_ADMIN_SCOPE)
    except UserExistsError:
        return None
    except InvalidValueError as error:
        raise ConfigurationError(f"APP_ADMIN_PASSWORD: {error}") from error
    return None if settings.admin_password else password
