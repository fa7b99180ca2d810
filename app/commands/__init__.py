"""Commands: what an operator does at the command line, a file for each group."""

import gc
import importlib
import os
import sys
from typing import Final

import click

from app.database import DatabaseUnavailableError
from app.settings import VARIABLES, Settings
from revocation import ConfigurationError, RevocationError
from revocation.settings import with_variables

_NAMES: Final = ("audit", "clients", "init", "keys", "serve", "users")


class _LazyGroup(click.Group):
    """Imports only the module of the command that runs.

    prometheus_client decides at its import whether it counts for one process or for several, and `serve` says so first.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # click's signature
        return list(_NAMES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # click's signature
        if cmd_name not in _NAMES:
            return None
        command: click.Command = getattr(importlib.import_module(f"app.commands.{cmd_name}"), cmd_name)
        return command


@click.group(cls=_LazyGroup)
@click.pass_context
def commands(context: click.Context) -> None:
    """The auth service. Its settings come from APP_* and REVOCATION_* in the environment."""
    gc.enable()
    context.obj = Settings.from_mapping(os.environ)


def main() -> None:
    """Run the command. Wrong settings are named in plain words and exit with 2; other failures exit with 1."""
    try:
        commands(prog_name="python -m app")
    except ConfigurationError as error:
        click.echo("This cannot start as it is set:", err=True)
        for problem in with_variables(error, variables=VARIABLES).splitlines():
            click.echo(f"  - {problem}", err=True)
        sys.exit(2)
    except (RevocationError, DatabaseUnavailableError, OSError) as error:
        click.echo(f"That did not work: {error}", err=True)
        sys.exit(1)
