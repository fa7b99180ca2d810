"""`python -m app init`."""

from typing import Final

import click

from app.commands.embedded_store import embedded_store
from app.settings import Settings
from app.startup import prepare
from app.stores import Stores
from revocation.cli.progress import Progress

#: What `prepare` may wait for.
PREPARING: Final = "Preparing: tables, keys, accounts, and the first epoch, which begins a second later"


@click.command()
@click.pass_obj
def init(settings: Settings) -> None:
    """Make the database schema, the admin account, keys and secrets, and open the first epoch. Safe to repeat."""
    with embedded_store(settings):
        with Progress(PREPARING):
            password = prepare(Stores.of(settings), settings)
        show_password(password)
    click.echo("Ready to serve.")


def show_password(password: str | None) -> None:
    """Show the password of the account admin, where the service made one up."""
    if password is not None:
        click.echo(f"The account admin was made, with the password {password}   (shown this once)")
