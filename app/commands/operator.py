"""Operator: the person at the command line, and the accounts as that person changes them."""

import getpass
import socket

from app.accounts import Accounts
from app.audit import Actor
from app.revocations import Revocations
from app.settings import Settings
from app.stores import Stores


def operator() -> Actor:
    """The person at the command line, by the name of the system's user, at this machine."""
    return Actor(f"operator {getpass.getuser()}", socket.gethostname())


def accounts(stores: Stores, settings: Settings) -> Accounts:
    """The accounts of the service, which also works before there are keys."""
    return Accounts(
        stores,
        Revocations(stores.denylist),
        sessions=lambda: stores.sessions(settings),
        keys=lambda: stores.keyring.source().key_set(),
        issuer=settings.issuer,
    )
