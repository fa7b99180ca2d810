"""The command `revocation`."""

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from revocation.cli import exits
from revocation.cli.check import check
from revocation.cli.doctor import doctor
from revocation.cli.init import init
from revocation.cli.live import list_, show, undo
from revocation.cli.revoke import revoke
from revocation.cli.stats import stats
from revocation.cli.target import Target
from revocation.cli.terminal import tell
from revocation.cli.watch import watch
from revocation.errors import ConfigurationError, DenylistUnavailableError, RevocationError


def main() -> None:
    """Run the command and exit with one of revocation.cli.exits; what is expected to go wrong has no traceback."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command with these arguments, or those of the process; the exit code comes back."""
    # What does not answer is said by the command itself.
    logging.getLogger("revocation.redis.link").addHandler(logging.NullHandler())
    try:
        # Not by calling it: click would end the process itself, with 1, where nobody reads the output any more.
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
        # Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.BROKEN_PIPE
    except ConfigurationError as error:
        for problem in error.problems:
            tell(problem)
        return exits.USAGE
    except DenylistUnavailableError as error:
        tell(str(error))
        return exits.UNAVAILABLE
    except RevocationError as error:
        tell(str(error))
        return exits.REFUSED
    return code if isinstance(code, int) else exits.OK


@click.group(epilog=exits.HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".data"),
    envvar="APP_DATA_DIR",
    show_default=True,
    show_envvar=True,
    help="Where the service runs whose embedded store is meant, if REVOCATION_REDIS_URL names no other.",
)
@click.option("--namespace", metavar="NAME", help="Instead of REVOCATION_NAMESPACE.")
@click.pass_context
def commands(context: click.Context, *, data_dir: Path, namespace: str | None) -> None:
    """Look after a deny-list of JWTs.

    Which one is said by REVOCATION_REDIS_URL and the other REVOCATION_* settings in the environment; without them it
    is that of the service that runs in this directory.
    """
    context.obj = Target(data_dir=data_dir, namespace=namespace)


for command in (init, check, revoke, list_, show, undo, watch, stats, doctor):
    commands.add_command(command)
