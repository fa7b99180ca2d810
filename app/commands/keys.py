"""`python -m app keys`."""

import click

from app.commands.operator import administering, operator
from app.instants import rfc3339
from app.settings import Settings
from app.stores import Stores


@click.group()
def keys() -> None:
    """Signing keys."""


@keys.command("list")
@click.pass_obj
def list_keys(settings: Settings) -> None:
    """Every key, and which one signs."""
    key_set = Stores.of(settings).keyring.source().key_set()
    signing = key_set.signing_key()
    for key in sorted(key_set, key=lambda key: key.signs_from):
        state = "signs" if key.id == signing.id else "verifies" if key.signs_from <= signing.signs_from else "is next"
        click.echo(f"{key.id}  {key.algorithm}  {state:8}  from {rfc3339(key.signs_from * 1000)}")


@keys.command("rotate")
@click.pass_obj
def rotate_keys(settings: Settings) -> None:
    """Publish the next key now; it signs once everybody has had time to fetch it."""
    chosen = settings.revocation
    keep_seconds = (
        chosen.longest_token_seconds(own_token_seconds=settings.access_ttl_seconds)
        + 2 * chosen.leeway_seconds
        + chosen.margin_seconds
    )
    with administering(settings, redis=False) as accounts:
        key = accounts.rotate_key(keep_seconds=keep_seconds, actor=operator())
    click.echo(f"{key.id} is published, and signs from {rfc3339(key.signs_from * 1000)} on.")


@keys.command("revoke", context_settings={"ignore_unknown_options": True})  # one id in 64 begins with a dash
@click.argument("kid")
@click.pass_obj
def revoke_key(settings: Settings, kid: str) -> None:
    """Withdraw a key that leaked: a new one signs at once, and everything it signed is refused."""
    with administering(settings) as accounts:
        withdrawn, receipt = accounts.revoke_key(kid, actor=operator())
    where = "withdrawn" if withdrawn else "not among the keys here (any more)"
    reach = f"{receipt.followers_confirmed} of {receipt.followers_total} processes have confirmed it"
    click.echo(f"{kid} is {where}; everything it signed is refused: {reach}.")
