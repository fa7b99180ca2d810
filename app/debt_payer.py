"""DebtPayer: pays what the deny-list owes to changed accounts, in the background, within a second or two."""

import logging
from collections.abc import Callable

from app.background import Background
from app.database import DatabaseUnavailableError
from app.debts import Debts

_log = logging.getLogger(__name__)


class DebtPayer:
    """Pays in a thread of its own, in every process: it is one small question to the database where nothing is owed."""

    def __init__(self, debts: Debts) -> None:
        self._debts = debts
        #: How many changes of accounts were owed something after the last look.
        self.owed = 0
        #: Told after each look what `owed` is.
        self.on_look: Callable[[float], object] = _nothing
        self._background = Background("debts", self.look, failed="What is owed to changed accounts could not be paid.")

    def start(self) -> None:
        """Pay from now on, in this process."""
        self._background.start()

    def stop(self) -> None:
        """Pay no more."""
        self._background.stop()

    def look(self) -> None:
        """Pay what can be paid now. A database that does not answer is asked again at the next look."""
        before = self.owed
        try:
            self.owed = self._debts.pay_all()
        except DatabaseUnavailableError:
            return
        if self.owed and not before:
            _log.warning(
                "%d changes of accounts wait for the deny-list: their tokens are taken back when it answers.", self.owed
            )
        elif before and not self.owed:
            _log.warning("The tokens of every account that has changed are taken back.")
        self.on_look(self.owed)


def _nothing(_: float) -> None:
    pass
