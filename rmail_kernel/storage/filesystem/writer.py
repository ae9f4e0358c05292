"""The group-committing writer of an account in a process: while a batch runs, the next gathers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from rmail_kernel.storage.filesystem.batch import Batches, Outcome, Work

MAX_BATCH = 128


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
        self._waiting: deque[tuple[Work, asyncio.Future[Any]]] = deque()
        self._drain: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits or runs."""
        return self._drain is None

    async def submit(self, work: Work) -> Any:
        """Runs an operation; its value, or its error."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        self._waiting.append((work, future))
        if self._drain is None:
            self._drain = loop.create_task(self._run(), name="storage writer")
        return await future

    async def drain(self) -> None:
        """Waits for what was submitted."""
        if self._drain is not None:
            await self._drain

    async def close(self) -> None:
        """Waits for what was submitted and closes the database."""
        await self.drain()
        await asyncio.get_running_loop().run_in_executor(self._pool, self._batches.close)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                taken = self._take()
                works = [work for work, _ in taken]
                outcomes, changes = await loop.run_in_executor(self._pool, self._batches.run, works)
                for (_, future), outcome in zip(taken, outcomes, strict=True):
                    _resolve(future, outcome)
                if changes:
                    self._changed(changes)
        finally:
            self._drain = None

    def _take(self) -> list[tuple[Work, asyncio.Future[Any]]]:
        taken: list[tuple[Work, asyncio.Future[Any]]] = []
        while self._waiting and len(taken) < MAX_BATCH:
            if self._waiting[0][0].is_alone and taken:
                break
            taken.append(self._waiting.popleft())
            if taken[-1][0].is_alone:
                break
        return taken


def _resolve(future: asyncio.Future[Any], outcome: Outcome) -> None:
    if future.done():
        return  # whoever asked has gone
    if outcome.error is not None:
        future.set_exception(outcome.error)
    else:
        future.set_result(outcome.value)
