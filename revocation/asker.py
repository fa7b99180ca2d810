"""Asker: asks the deny-list on behalf of event loops, so that none of them waits."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from revocation.errors import DenylistUnavailableError
from revocation.handles import Handle

#: Tokens in one question; those that wait beyond that are in the next one.
_AT_ONCE: Final = 256


class Asker:
    """Puts the questions of all event loops of this process to the deny-list, in one thread.

    There is one question at a time, and whoever comes while it is under way is in the next one. So a burst costs few
    round trips, and a deny-list that hangs holds one thread, whatever waits for it.

    The way to Redis, with its gate and its timeouts, exists once, and it is synchronous. A second one for asyncio would
    have to know all of it again: Sentinel, Cluster, replicas, the errors.
    """

    def __init__(self, ask: Callable[[Sequence[Sequence[Handle]]], list[float]]) -> None:
        self._ask = ask
        self._line: _Line | None = None

    async def latest_cutoff(self, handles: Sequence[Handle]) -> float:
        """The latest cut-off in force for any of the handles. Raises DenylistUnavailableError."""
        import asyncio  # most programs have no event loop, and asyncio would be half of this library's import

        line = self._line
        if line is None or line.pid != os.getpid():
            # Threads do not survive a fork, and neither does anybody who waited for them.
            line = self._line = _Line(self._ask)
        return await asyncio.wrap_future(line.join(handles))


class _Line:
    """Those who wait in one process, and the thread that asks for them."""

    def __init__(self, ask: Callable[[Sequence[Sequence[Handle]]], list[float]]) -> None:
        self.pid = os.getpid()
        self._ask = ask
        self._waiting: deque[tuple[Sequence[Handle], Future[float]]] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="revocation-asker")

    def join(self, handles: Sequence[Handle]) -> "Future[float]":
        answer: Future[float] = Future()
        self._waiting.append((handles, answer))
        try:
            self._thread.submit(self._serve)
        except RuntimeError as error:
            # There are no more threads, or the interpreter ends.
            raise DenylistUnavailableError(f"Nobody can ask the deny-list: {error}.") from error
        return answer

    def _serve(self) -> None:
        """Ask for everybody who waits; an earlier call may have asked for all of them already."""
        batch: list[tuple[Sequence[Handle], Future[float]]] = []
        while self._waiting and len(batch) < _AT_ONCE:
            handles, answer = self._waiting.popleft()
            # Whoever was cancelled asks nothing.
            if answer.set_running_or_notify_cancel():
                batch.append((handles, answer))
        if not batch:
            return
        try:
            cutoffs = self._ask([handles for handles, _ in batch])
        except Exception as error:  # noqa: BLE001 (every one of them is owed an answer)
            for _, answer in batch:
                answer.set_exception(error)
            return
        for (_, answer), cutoff in zip(batch, cutoffs, strict=True):
            answer.set_result(cutoff)
