"""The command `revocation`, which needs the extra `cli`."""

import sys
from typing import Final

from revocation.cli import exits

#: The packages that the extra `cli` installs.
_PACKAGES: Final = ("click", "rich")


def main() -> None:
    """Run the command, and exit with one of the codes in `revocation.cli.exits`.

    Where the extra is not installed, one line on standard error says how to install it.
    """
    try:
        from revocation.cli.commands import run
    except ModuleNotFoundError as error:
        if error.name not in _PACKAGES:
            raise
        sys.stderr.write("The command `revocation` needs the extra `cli`: pip install 'revocation[cli]'\n")
        sys.exit(exits.USAGE)
    sys.exit(run())
