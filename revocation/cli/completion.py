"""`revocation completion`: what a shell has to be told so that it completes commands, options and kinds of handles."""

import os
from typing import Final

import click
from click.shell_completion import shell_complete

#: What the script of a shell sets when it asks for words; click reads it as `SHELL_complete`.
_ASKED_BY: Final = "_REVOCATION_COMPLETE"

_SHELLS: Final = ("bash", "zsh", "fish")

_WHERE: Final = """\b
Put it where your shell reads it at its start:
  bash  eval "$(revocation completion bash)"           in ~/.bashrc
  zsh   eval "$(revocation completion zsh)"            in ~/.zshrc, after compinit
  fish  revocation completion fish > ~/.config/fish/completions/revocation.fish
"""


@click.command(epilog=_WHERE)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, *, shell: str) -> int:
    """Print a script that makes a SHELL complete this command.

    Completing asks neither the deny-list nor the network.
    """
    return shell_complete(context.find_root().command, {}, "revocation", _ASKED_BY, f"{shell}_source")


def answer_shell(commands: click.Command) -> int | None:
    """Print the words that the script of a shell asks for, and return the exit code; None where no script asks."""
    asked = os.environ.get(_ASKED_BY)
    return shell_complete(commands, {}, "revocation", _ASKED_BY, asked) if asked else None
