"""`revocation init`: open the deny-list."""

import click

from revocation.cli.target import Target


@click.command()
@click.option("--accept-existing", is_flag=True, help="Accept tokens from before; only for the very first time.")
@click.option("--new-epoch", is_flag=True, help="Accept nothing from before now; after a backup was restored.")
@click.pass_obj
def init(target: Target, *, accept_existing: bool, new_epoch: bool) -> None:
    """Open the deny-list. Nothing issued before is accepted from then on; an open one is left as it is."""
    if accept_existing and new_epoch:
        raise click.UsageError("--accept-existing and --new-epoch contradict each other")
    head, opened = target.denylist().open(accept_existing=accept_existing, new_epoch=new_epoch)
    where = f"{target.where}, namespace {target.settings.namespace}"
    if not opened:
        click.echo(f"Open already: {where}, epoch {head.epoch}. Nothing was changed; --new-epoch cuts off what was.")
    elif accept_existing:
        click.echo(f"Opened: {where}, epoch {head.epoch}. Tokens from before are accepted.")
    else:
        click.echo(f"Opened: {where}, epoch {head.epoch}. Nothing issued before this moment is accepted.")
