"""`revocation init`: open the deny-list."""

import click

from revocation.cli.chosen_denylist import ChosenDenylist


@click.command()
@click.option("--accept-existing", is_flag=True, help="Accept tokens from before; only for the very first time.")
@click.option("--new-epoch", is_flag=True, help="Accept nothing from before now; after a backup was restored.")
@click.pass_obj
def init(chosen: ChosenDenylist, *, accept_existing: bool, new_epoch: bool) -> None:
    """Open the deny-list: from then on it accepts nothing issued before.

    An open deny-list stays as it is, unless --new-epoch is given.
    """
    if accept_existing and new_epoch:
        raise click.UsageError("--accept-existing and --new-epoch contradict each other.")
    head, opened = chosen.connected().open(accept_existing=accept_existing, new_epoch=new_epoch)
    name = f"{chosen.place}, namespace {chosen.settings.namespace}"
    if not opened:
        click.echo(
            f"Open already: {name}, epoch {head.epoch}. This command changed nothing; --new-epoch would cut off "
            "everything issued before."
        )
    elif accept_existing:
        click.echo(f"Opened: {name}, epoch {head.epoch}. It accepts tokens from before.")
    else:
        click.echo(f"Opened: {name}, epoch {head.epoch}. It accepts nothing issued before this moment.")
