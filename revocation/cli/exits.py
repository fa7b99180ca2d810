"""The exit codes of `revocation`."""

from typing import Final

#: The command did it, the token is accepted, or everything is in good order.
OK: Final = 0

#: The answer is no: the token is refused, there was nothing to undo, or the doctor found a problem.
REFUSED: Final = 1

#: The command line or the settings are wrong.
USAGE: Final = 2

#: The deny-list does not answer, so the command has no answer either.
UNAVAILABLE: Final = 3

#: Ctrl-C interrupted the command; shells number that 128 + SIGINT.
INTERRUPTED: Final = 130

#: The reader of the output has gone; shells number that 128 + SIGPIPE.
BROKEN_PIPE: Final = 141

#: The codes in words, for `--help`; \b keeps click from re-wrapping them.
HELP: Final = f"""\b
Exit codes:
  {OK}  done, accepted, or in good order
  {REFUSED}  no: refused, nothing found, or a problem found
  {USAGE}  the command line or the settings are wrong
  {UNAVAILABLE}  the deny-list does not answer: no answer"""
