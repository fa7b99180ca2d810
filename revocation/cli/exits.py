"""What the exit code of `revocation` says."""

from typing import Final

#: Done, accepted, or in good order.
OK: Final = 0

#: The answer is no: a token that is refused, nothing to undo, a problem found.
REFUSED: Final = 1

#: Asked or set up wrongly.
USAGE: Final = 2

#: The deny-list cannot be asked, so there is no answer.
UNAVAILABLE: Final = 3

#: Interrupted with Ctrl-C, as shells number it (128 + SIGINT).
INTERRUPTED: Final = 130

#: Nobody reads the output any more (128 + SIGPIPE).
BROKEN_PIPE: Final = 141

#: The same, for people; \b keeps click from re-wrapping it.
HELP: Final = f"""\b
Exit codes:
  {OK}  done, accepted, or in good order
  {REFUSED}  no: refused, nothing found, or a problem found
  {USAGE}  asked or set up wrongly
  {UNAVAILABLE}  the deny-list cannot be asked: no answer"""
