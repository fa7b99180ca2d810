"""`python -m app clients`."""

from datetime import timedelta

import click

from app.clients import MAX_OVERLAP_SECONDS, OVERLAP_SECONDS
from app.commands.operator import administering, operator, stores_of
from app.settings import Settings


@click.group()
def clients() -> None:
    """Clients of the token endpoint."""


@clients.command("create")
@click.argument("name")
@click.option("--scope", default="", help="What the client's tokens may do, space-separated.")
@click.pass_obj
def create_client(settings: Settings, name: str, scope: str) -> None:
    """Register a client; its secret is shown once."""
    with administering(settings, redis=False) as accounts:
        client, secret = accounts.create_client(name, scope=scope, actor=operator())
    click.echo(f"client_id      {client.client_id}\nclient_secret  {secret}")


@clients.command("list")
@click.pass_obj
def list_clients(settings: Settings) -> None:
    """Every client."""
    for client in stores_of(settings).clients.list():
        state = "disabled" if client.disabled else "active"
        click.echo(f"{client.client_id}  {state:8}  {client.name}  {client.scope}")


@clients.command("rotate-secret")
@click.argument("client_id")
@click.option(
    "--overlap",
    type=click.IntRange(0, MAX_OVERLAP_SECONDS),
    default=OVERLAP_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="For how long the secret that it has is good as well; 0 if it leaked.",
)
@click.pass_obj
def rotate_secret(settings: Settings, client_id: str, overlap: int) -> None:
    """Give a client a new secret, which is shown once."""
    with administering(settings, redis=False) as accounts:
        _, secret = accounts.rotate_client_secret(client_id, overlap=timedelta(seconds=overlap), actor=operator())
    click.echo(f"client_secret  {secret}")


@clients.command("disable")
@click.argument("client_id")
@click.pass_obj
def disable_client(settings: Settings, client_id: str) -> None:
    """Refuse a client from now on, and take back the tokens it has."""
    with administering(settings) as accounts:
        _, receipt = accounts.change_client(client_id, disabled=True, actor=operator())
    if receipt is None:
        click.echo(f"{client_id} was disabled already, so nothing was changed.")
    else:
        click.echo(f"{client_id} is disabled, and its tokens are revoked.")


@clients.command("enable")
@click.argument("client_id")
@click.pass_obj
def enable_client(settings: Settings, client_id: str) -> None:
    """Take a client again."""
    with administering(settings) as accounts:
        accounts.change_client(client_id, disabled=False, actor=operator())
    click.echo(f"{client_id} may ask for tokens again.")


@clients.command("delete")
@click.argument("client_id")
@click.confirmation_option(prompt="The client cannot be brought back. Delete it?")
@click.pass_obj
def delete_client(settings: Settings, client_id: str) -> None:
    """Delete a client for good, and take back the tokens it has."""
    with administering(settings) as accounts:
        accounts.delete_client(client_id, actor=operator())
    click.echo(f"{client_id} is deleted, and its tokens are revoked.")
