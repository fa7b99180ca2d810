"""`revocation init`: open the deny-list."""

import sys

import click

from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.progress import Progress

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
@click.option(
    "--declare",
    multiple=True,
    metavar="KIND",
    help="A kind of handle of your own by which can be revoked from now on, such as org, or 'device*' where revoking "
    "one is unconditional. Processes that were not told of it (REVOCATION_HANDLES) answer nothing from then on. May "
    "be repeated.",
)
@click.option(
    "--withdraw",
    multiple=True,
    metavar="KIND",
    help="A declared kind by which nothing is revoked, and by which can be revoked no longer. May be repeated.",
)
@click.option("--yes", is_flag=True, help="Do not ask again before declaring a kind while processes follow.")
@click.pass_obj
def init(
    chosen: ChosenDenylist,
    *,
    accept_existing: bool,
    new_epoch: bool,
    session_seconds: int | None,
    bound_seconds: float | None,
    replicas: int | None,
    declare: tuple[str, ...],
    withdraw: tuple[str, ...],
    yes: bool,
) -> None:
    """Open the deny-list: from then on it accepts nothing issued before.

    The deny-list keeps the longest token life, the leeway, the margin and the longest session life for every process,
    and the kinds of handles besides the built-in ones: a first epoch declares those in REVOCATION_HANDLES. An open
    deny-list stays as it is, unless --new-epoch, --declare or --withdraw is given.
    """
    if accept_existing and new_epoch:
        raise click.UsageError("--accept-existing and --new-epoch contradict each other.")
    own_bound = chosen.settings.max_staleness
    denylist = chosen.connected(session_seconds=session_seconds or 0)
    if declare and not yes:
        _ask_again(declare, following=len(denylist.leases.living()))
    with Progress("Opening"):
        head, opened = denylist.open(
            accept_existing=accept_existing,
            new_epoch=new_epoch,
            longest_bound_seconds=min(own_bound, _LONGEST_BOUND_SECONDS) if bound_seconds is None else bound_seconds,
            replicas=replicas,
            declare=declare,
            withdraw=withdraw,
        )
    place = f"{chosen.place}, namespace {chosen.settings.namespace}, epoch {head.epoch}"
    kinds = ", ".join(word.removesuffix("*") for word in head.kinds)
    told = f" Kinds of handles besides the built-in ones: {kinds or 'none'}." if declare or withdraw else ""
    if not opened:
        click.echo(f"Open already: {place}. Nothing was cut off; --new-epoch refuses all that is out.{told}")
    elif accept_existing:
        click.echo(f"Opened: {place}. It accepts tokens from before.{told}")
    else:
        click.echo(f"Opened: {place}. It accepts nothing issued before this moment.{told}")


def _ask_again(kinds: tuple[str, ...], *, following: int) -> None:
    """Ask once more where processes follow, because those that were not told of a kind would stop answering."""
    if not following:
        return
    question = (
        f"{following} processes follow. Those that were not told of {', '.join(kinds)} (REVOCATION_HANDLES) will "
        "answer 503 from now on."
    )
    if not sys.stdin.isatty():
        raise click.UsageError(f"{question} Add --yes when all of them were.")
    click.confirm(f"{question} Were all of them?", abort=True, err=True)
