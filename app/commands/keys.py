"""`python -m app keys`."""

import click

from app.commands.operator import administering, operator
from app.settings import Settings
from app.stores import Stores
from revocation.instants import rfc3339


@click.group()
def keys() -> None:
    """Signing keys."""


@keys.command("list")
@click.pass_obj
def list_keys(settings: Settings) -> None:
    """Every key, and which one signs."""
    for key, state in Stores.of(settings).keyring.states():
        word = "is next" if state == "next" else state
        click.echo(f"{key.id}  {key.algorithm}  {word:8}  from {rfc3339(key.signs_from * 1000)}")


@keys.command("rotate")
@click.pass_obj
def rotate_keys(settings: Settings) -> None:
    """Publish the next key now; it signs once everybody has had time to fetch it."""
    with administering(settings, redis=False) as accounts:
        key = accounts.rotate_key(keep_seconds=settings.key_keep_seconds, actor=operator())
    click.echo(f"{key.id} is published, and signs from {rfc3339(key.signs_from * 1000)} on.")


@keys.command("revoke", context_settings={"ignore_unknown_options": True})  # one id in 64 begins with a dash
@click.argument("kid")
@click.pass_obj
def revoke_key(settings: Settings, kid: str) -> None:
    """Withdraw a key that leaked: a new one signs at once, and everything it signed is refused."""
    with administering(settings) as accounts:
        withdrawn, receipt = accounts.revoke_key(kid, actor=operator())
    where = "withdrawn" if withdrawn else "not among the keys here (any more)"
    reach = f", which {receipt.followers_confirmed} of {receipt.followers_total} processes have confirmed"
    click.echo(f"{kid} is {where}; everything it signed is refused{reach if receipt.followers_total else ''}.")
