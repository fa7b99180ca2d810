"""`revocation init`: open the deny-list."""

import click

from revocation.cli.chosen_denylist import ChosenDenylist

_LONGEST_SESSION_SECONDS = 366 * 86_400
_LONGEST_BOUND_SECONDS = 86_400


@click.command()
@click.option("--accept-existing", is_flag=True, help="Accept tokens from before; only for the very first time.")
@click.option("--new-epoch", is_flag=True, help="Accept nothing from before now; after a backup was restored.")
@click.option(
    "--session-lifetime",
    "session_seconds",
    type=click.IntRange(1, _LONGEST_SESSION_SECONDS),
    envvar="REVOCATION_SESSION_LIFETIME",
    metavar="SECONDS",
    show_envvar=True,
    help="The longest life of a session: for so long a user or a session stays revoked. 30 days unless given.",
)
@click.option(
    "--longest-bound",
    "bound_seconds",
    type=click.FloatRange(0, _LONGEST_BOUND_SECONDS),
    metavar="SECONDS",
    help="The longest finite max_staleness of any route. REVOCATION_MAX_STALENESS unless given; an open deny-list "
    "takes a higher one.",
)
@click.option(
    "--replicas",
    type=click.IntRange(0, 100),
    help="How many replicas there are from now on, where there were more before.",
)
@click.pass_obj
def init(
    chosen: ChosenDenylist,
    *,
    accept_existing: bool,
    new_epoch: bool,
    session_seconds: int | None,
    bound_seconds: float | None,
    replicas: int | None,
) -> None:
    """Open the deny-list: from then on it accepts nothing issued before.

    The deny-list keeps the longest token life, the leeway, the margin and the longest session life for every process.
    An open deny-list stays as it is, unless --new-epoch is given.
    """
    if accept_existing and new_epoch:
        raise click.UsageError("--accept-existing and --new-epoch contradict each other.")
    own_bound = chosen.settings.max_staleness
    head, opened = chosen.connected(session_seconds=session_seconds or 0).open(
        accept_existing=accept_existing,
        new_epoch=new_epoch,
        longest_bound_seconds=bound_seconds if bound_seconds is not None else min(own_bound, _LONGEST_BOUND_SECONDS),
        replicas=replicas,
    )
    name = f"{chosen.place}, namespace {chosen.settings.namespace}"
    if not opened:
        click.echo(
            f"Open already: {name}, epoch {head.epoch}. Nothing was cut off; --new-epoch refuses all that is out."
        )
    elif accept_existing:
        click.echo(f"Opened: {name}, epoch {head.epoch}. It accepts tokens from before.")
    else:
        click.echo(f"Opened: {name}, epoch {head.epoch}. It accepts nothing issued before this moment.")
