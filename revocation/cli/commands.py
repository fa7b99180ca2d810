"""The commands under `revocation`, and how a run of one of them ends."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from revocation.cli import exits
from revocation.cli.check import check
from revocation.cli.chosen_denylist import ChosenDenylist
from revocation.cli.completion import answer_shell, completion
from revocation.cli.doctor import doctor
from revocation.cli.init import init
from revocation.cli.revocations import list_, show
from revocation.cli.revoke import revoke
from revocation.cli.stats import stats
from revocation.cli.terminal import notify
from revocation.cli.undo import undo
from revocation.cli.watch import watch
from revocation.errors import ConfigurationError, DenylistUnavailableError, RevocationError
from revocation.settings import with_variables


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or with those of the process, and return the exit code.

    An expected error ends in a message on standard error, without a traceback.
    """
    if arguments is None and (code := answer_shell(commands)) is not None:
        return code
    # The command itself says that the deny-list does not answer; the link's warning would say it twice.
    logging.getLogger("revocation.redis.link").addHandler(logging.NullHandler())
    try:
        # Calling `commands` would let click end the process, with 1 where the reader of the output has gone.
        with commands.make_context("revocation", list(sys.argv[1:] if arguments is None else arguments)) as context:
            code = commands.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.ClickException as error:
        error.show()
        return exits.USAGE
    except (click.Abort, KeyboardInterrupt):
        return exits.INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more at its exit, and would complain about the closed pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BROKEN_PIPE
    except ConfigurationError as error:
        for line in with_variables(error).splitlines():
            notify(line)
        return exits.USAGE
    except DenylistUnavailableError as error:
        notify(with_variables(error))
        return exits.UNAVAILABLE
    except RevocationError as error:
        notify(str(error))
        return exits.REFUSED
    return code if isinstance(code, int) else exits.OK


@click.group(epilog=exits.HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data-dir",
    "directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIRECTORY",
    help="The data directory of the service whose embedded store is meant; .data unless given. Ignored where "
    "REVOCATION_REDIS_URL names a Redis.",
)
@click.version_option(package_name="revocation", message="%(prog)s %(version)s")
@click.option("--namespace", metavar="NAME", help="The namespace, in place of REVOCATION_NAMESPACE.")
@click.pass_context
def commands(context: click.Context, *, directory: Path | None, namespace: str | None) -> None:
    """Look after a deny-list of JWTs.

    REVOCATION_REDIS_URL and the other REVOCATION_* settings in the environment choose the deny-list. Without them it
    is the embedded store of the service that runs in this directory; embedded:DIRECTORY names another directory.
    """
    context.obj = ChosenDenylist(directory=directory, namespace=namespace)


for command in (init, check, revoke, list_, show, undo, watch, stats, doctor, completion):
    commands.add_command(command)
