"""The command `revocation`."""

import os
import sys

import click

from revocation.connect import connect, redacted
from revocation.denylist import Lifetimes
from revocation.errors import ConfigurationError, RevocationError
from revocation.redis_denylist import RedisDenylist
from revocation.settings import RevocationSettings


def main() -> None:
    """Run the command. Exits with 2 for wrong settings, with 1 for what could not be done."""
    try:
        commands(prog_name="revocation")
    except ConfigurationError as error:
        click.echo("\n".join(error.problems), err=True)
        sys.exit(2)
    except RevocationError as error:
        click.echo(str(error), err=True)
        sys.exit(1)


@click.group()
@click.pass_context
def commands(context: click.Context) -> None:
    """Look after a deny-list of JWTs. Its settings come from REVOCATION_* in the environment."""
    context.obj = RevocationSettings.from_mapping(
        {name: value for name, value in os.environ.items() if name.startswith("REVOCATION_")}
    )


@commands.command()
@click.option("--accept-existing", is_flag=True, help="Accept tokens from before; only for the very first time.")
@click.option("--new-epoch", is_flag=True, help="Accept nothing from before now; after a backup was restored.")
@click.pass_obj
def init(settings: RevocationSettings, *, accept_existing: bool, new_epoch: bool) -> None:
    """Open the deny-list. Nothing issued before is accepted from then on; an open one is left as it is."""
    if accept_existing and new_epoch:
        raise click.UsageError("--accept-existing and --new-epoch contradict each other")
    denylist = RedisDenylist(
        connect(settings.redis_url, timeout_seconds=settings.timeout_seconds),
        namespace=settings.namespace,
        lifetimes=Lifetimes(
            max_token_seconds=settings.max_token_lifetime_seconds,
            leeway_seconds=settings.leeway_seconds,
            margin_seconds=settings.margin_seconds,
        ),
        allow_eviction=settings.allow_eviction,
    )
    head, opened = denylist.open(accept_existing=accept_existing, new_epoch=new_epoch)
    where = f"{redacted(settings.redis_url)}, namespace {settings.namespace}"
    if not opened:
        click.echo(f"Open already: {where}, epoch {head.epoch}. Nothing was changed; --new-epoch cuts off what was.")
    elif accept_existing:
        click.echo(f"Opened: {where}, epoch {head.epoch}. Tokens from before are accepted.")
    else:
        click.echo(f"Opened: {where}, epoch {head.epoch}. Nothing issued before this moment is accepted.")
