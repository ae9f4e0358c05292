"""Small work on files that nobody waits for, in its own thread and in order.

It must only be given what is done again later when it fails or the process dies before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

import structlog

MAX_WAITING = 64
"""Lots of work that may wait; who adds more waits for the first."""
Work = Callable[[], None]
_log = structlog.get_logger("rmail.queue")


class Chores:
    """The work of one queue."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rmail-chores")
        self._waiting: deque[Future[None]] = deque()

    def add(self, lot: Sequence[Work]) -> None:
        """Has some work done, after all that was added before. Call it in one thread."""
        if not lot:
            return
        while self._waiting and (len(self._waiting) >= MAX_WAITING or self._waiting[0].done()):
            failure = self._waiting.popleft().exception()
            if failure is not None:
                _log.error("work on files failed", reason=repr(failure))
        self._waiting.append(self._thread.submit(_do, lot))

    def close(self) -> None:
        """Waits until all is done; nothing is added from then on. Idempotent."""
        self._thread.shutdown()


def _do(lot: Sequence[Work]) -> None:
    for work in lot:
        with suppress(OSError):  # whoever sweeps does it again
            work()
