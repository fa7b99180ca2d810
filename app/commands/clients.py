"""`python -m app clients`."""

import click

from app.clients import ClientNotFoundError
from app.commands.embedded_store import embedded_store
from app.commands.operator import accounts, operator
from app.database import InvalidValueError
from app.settings import Settings
from app.stores import Stores


@click.group()
def clients() -> None:
    """Clients of the token endpoint."""


@clients.command("create")
@click.argument("name")
@click.option("--scope", default="", help="What the client's tokens may do, space-separated.")
@click.pass_obj
def create_client(settings: Settings, name: str, scope: str) -> None:
    """Register a client; its secret is shown once."""
    stores = Stores.of(settings)
    stores.database.migrate()
    try:
        client, secret = accounts(stores, settings).create_client(name, scope=scope, actor=operator())
    except InvalidValueError as error:
        raise click.ClickException(str(error)) from error
    click.echo(f"client_id      {client.client_id}\nclient_secret  {secret}")


@clients.command("list")
@click.pass_obj
def list_clients(settings: Settings) -> None:
    """Every client."""
    stores = Stores.of(settings)
    stores.database.migrate()
    for client in stores.clients.list():
        state = "disabled" if client.disabled else "active"
        click.echo(f"{client.client_id}  {state:8}  {client.name}  {client.scope}")


@clients.command("disable")
@click.argument("client_id")
@click.pass_obj
def disable_client(settings: Settings, client_id: str) -> None:
    """Refuse a client from now on, and take back the tokens it has."""
    with embedded_store(settings):
        try:
            accounts(Stores.of(settings), settings).disable_client(client_id, actor=operator())
        except ClientNotFoundError as error:
            raise click.ClickException(str(error)) from error
    click.echo(f"{client_id} is disabled, and its tokens are revoked.")
