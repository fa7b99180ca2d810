"""Operator: the person at the command line, and the accounts as that person changes them."""

import contextlib
from collections.abc import Iterator

import click

from app.accounts import Accounts
from app.audit import Actor
from app.clients import ClientNotFoundError
from app.commands.embedded_store import embedded_store
from app.database import InvalidValueError
from app.debts import Debts
from app.revocations import Revocations
from app.sessions import Sessions
from app.settings import Settings
from app.stores import Stores
from app.throttle import Throttle
from app.users import LastAdministratorError, UserExistsError, UserNotFoundError
from revocation.cli.operator import here
from revocation.cli.operator import operator as name
from revocation.cli.progress import Progress


def operator() -> Actor:
    """The person at the command line, under the name and the address that `revocation` writes as well."""
    return Actor(name(), here())


def stores_of(settings: Settings) -> Stores:
    """The stores that the settings name, with the tables of this release."""
    stores = Stores.of(settings)
    with Progress("Looking at the tables of the database, and making them those of this release"):
        stores.database.migrate()
    return stores


@contextlib.contextmanager
def administering(settings: Settings, *, redis: bool = True) -> Iterator[Accounts]:
    """The accounts of the service, which also works before there are keys; what is refused is told in plain words.

    With `redis` the embedded store runs until the block ends, where the service is set to it.
    """
    with embedded_store(settings) if redis else contextlib.nullcontext():
        stores = stores_of(settings)
        revocations = Revocations(stores.denylist)

        def sessions() -> Sessions:
            return stores.sessions(settings)

        accounts = Accounts(
            stores,
            revocations,
            Debts(stores.database, stores.denylist, revocations, sessions=sessions, issuer=settings.issuer),
            sessions=sessions,
            throttles={
                "user": Throttle(stores.denylist, "user", bounds=settings.guesses),
                "client": Throttle(stores.denylist, "client", bounds=settings.guesses),
            },
            issuer=settings.issuer,
        )
        try:
            with Progress("Changing it, and waiting until every process has confirmed it"):
                yield accounts
        except (
            ClientNotFoundError,
            InvalidValueError,
            LastAdministratorError,
            UserExistsError,
            UserNotFoundError,
        ) as error:
            raise click.ClickException(str(error)) from error
