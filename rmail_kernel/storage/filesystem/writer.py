"""The group-committing writer of an account in a process: while a batch runs, the next gathers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rmail_kernel.storage.filesystem.batch import Batches, Work
from rmail_kernel.storage.filesystem.outcome import Outcome

MAX_BATCH = 128
_Waiting = tuple[Work, asyncio.Future[Any]]


class Writer:
    """Runs operations in the order they come, as many at a time as have gathered.

    Args:
        changed: told on the loop, after each commit, the MODSEQ of the mailboxes that changed.
    """

    def __init__(
        self,
        batches: Batches,
        pool: ThreadPoolExecutor,
        changed: Callable[[dict[int, int]], None],
    ) -> None:
        self._batches = batches
        self._pool = pool
        self._changed = changed
        self._waiting: deque[_Waiting] = deque()
        self._is_resting = False
        self._idle: asyncio.Future[None] | None = None  # while something waits or runs

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or runs."""
        return self._idle is None or (self._is_resting and not self._waiting)

    def submit(self, work: Work) -> asyncio.Future[Any]:
        """Runs an operation; the future has its value, or its error."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((work, future))
        if self._idle is None:
            self._idle = loop.create_future()
            loop.call_soon(self._next, loop, self._idle)
        return future

    async def drain(self) -> None:
        """Waits for what was submitted."""
        if self._idle is not None:
            await asyncio.shield(self._idle)

    async def rest(self, *, closes: bool) -> None:
        """Has what is idle give back what it holds, see Batches.rest; operations wait for it."""
        if self._idle is not None:
            return
        loop = asyncio.get_running_loop()
        self._idle = idle = loop.create_future()
        self._is_resting = True

        def rested() -> None:
            self._is_resting = False
            self._next(loop, idle)

        def run() -> None:
            try:
                self._batches.rest(closes=closes)
            finally:
                loop.call_soon_threadsafe(rested)

        try:
            self._pool.submit(run)
        except RuntimeError:  # the pool is shut down
            rested()
        await asyncio.shield(idle)

    async def close(self) -> None:
        """Waits for what was submitted and closes the database."""
        await self.drain()
        await asyncio.get_running_loop().run_in_executor(self._pool, self._batches.close)

    def _next(self, loop: asyncio.AbstractEventLoop, idle: asyncio.Future[None]) -> None:
        """Starts a batch. Callbacks in place of a task: half of the passes through the loop."""
        if not self._waiting:
            self._idle = None
            idle.set_result(None)
            return
        taken = self._take()

        def told(outcomes: list[Outcome], changes: dict[int, int]) -> None:
            for (_, future), outcome in zip(taken, outcomes, strict=True):
                outcome.tell(future)
            if changes:
                self._changed(changes)

        def finished(outcomes: list[Outcome], changes: dict[int, int]) -> None:
            try:
                told(outcomes, changes)
            finally:
                self._next(loop, idle)

        def run() -> None:
            try:
                outcomes, changes = self._batches.run([work for work, _ in taken])
            except BaseException as error:  # noqa: BLE001 - whoever waits must hear of it
                outcomes, changes = [Outcome(error=error) for _ in taken], {}
            if not self._batches.is_log_long:
                loop.call_soon_threadsafe(finished, outcomes, changes)
                return
            loop.call_soon_threadsafe(told, outcomes, changes)
            try:
                self._batches.write_back()
            finally:
                loop.call_soon_threadsafe(self._next, loop, idle)

        try:
            self._pool.submit(run)
        except RuntimeError as error:  # the pool is shut down
            finished([Outcome(error=error) for _ in taken], {})

    def _take(self) -> list[_Waiting]:
        taken: list[_Waiting] = []
        while self._waiting and len(taken) < MAX_BATCH:
            if self._waiting[0][0].is_alone and taken:
                break
            taken.append(self._waiting.popleft())
            if taken[-1][0].is_alone:
                break
        return taken
