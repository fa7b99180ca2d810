"""DebtPayer: pays what the deny-list owes to changed accounts, in the background, within a second or two."""

import logging
import threading
from collections.abc import Callable
from typing import Final

from app.database import DatabaseUnavailableError
from app.debts import Debts

_log = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 1.0


class DebtPayer:
    """Pays in a thread of its own, in every process: it is one small question to the database where nothing is owed."""

    def __init__(self, debts: Debts) -> None:
        self._debts = debts
        #: How many changes of accounts were owed something after the last look.
        self.owed = 0
        #: Told after each look what `owed` is.
        self.on_look: Callable[[float], object] = _nothing
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Pay from now on, in this process."""
        self._stopping.clear()
        self._thread = threading.Thread(target=self._run, name="debts", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Pay no more."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=1.0)
            self._thread = None

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

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self.look()
            except Exception:  # noqa: BLE001  # the thread must not end: nobody would pay any more
                _log.exception("What is owed to changed accounts could not be paid.")
            self._stopping.wait(_PAUSE_SECONDS)


def _nothing(_: float) -> None:
    pass
