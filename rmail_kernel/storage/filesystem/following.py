"""When the full-text indexes follow: soon after the accounts have come to rest, or a search has
missed them. One account at a time; nothing waits for it, and whoever has much to do is a process
of low priority.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

import apsw
import structlog

from rmail_kernel.storage.filesystem.batch import translate
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.fulltext import Index
from rmail_kernel.storage.filesystem.indexer_process import IndexerProcess
from rmail_kernel.storage.filesystem.indexing import Outcome, index_slice, lag
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.reading_apart import Found, Wanted

_log = structlog.get_logger("rmail.storage")
QUIET_S: Final = 1.0
"""An account is at rest when nothing changed for so long ..."""
LAG_S: Final = 30.0
"""... but this is the longest that indexing waits for it."""
FEW: Final = 16
"""Messages that are indexed in this process: the other one takes long to start."""
MANY: Final = 64
"""Messages that a search has to read: then indexing does not wait for the account to rest."""
SHARE: Final = 9.0
"""While there are changes, indexing pauses for so many times as long as it worked here."""
AGAIN_S: Final = 5.0
"""The pause after trouble, or while another process is at it."""
ATTEMPTS: Final = 5
LINGER_S: Final = 20.0
"""How long the process stays when there is nothing to do."""


@dataclass(slots=True)
class _Waiting:
    """An account whose index is to follow. Times are those of the loop."""

    first_at: float
    changed_at: float
    not_before: float = 0.0
    attempts: int = 0
    is_urgent: bool = False
    is_long: bool = False

    @property
    def due_at(self) -> float:
        rested_at = 0.0 if self.is_urgent else self.changed_at + QUIET_S
        return max(min(rested_at, self.first_at + LAG_S), self.not_before)


class Follower:
    """Owns the indexing of all accounts of one store in this process."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._pool = ThreadPoolExecutor(1, "indexing")
        self._process = IndexerProcess()
        self._waiting: dict[AccountPaths, _Waiting] = {}
        self._damaged: set[AccountPaths] = set()
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._lingering: asyncio.TimerHandle | None = None
        self._last_change_at = -QUIET_S
        self._is_closed = False

    def index_soon(self, paths: AccountPaths) -> None:
        """Has the account's index follow when the account comes to rest."""
        if not self._is_closed:
            self._last_change_at = asyncio.get_running_loop().time()
            self._enter(paths).changed_at = self._last_change_at

    def _enter(self, paths: AccountPaths) -> _Waiting:
        waiting = self._waiting.get(paths)
        if waiting is None:
            now = asyncio.get_running_loop().time()
            waiting = self._waiting[paths] = _Waiting(now, now)
            self._news.set()
            if self._task is None:
                self._task = asyncio.create_task(self._follow(), name="storage indexing")
        return waiting

    def mend(self, paths: AccountPaths, index: Index) -> None:
        """Has an index follow that a search has met damaged, missing or far behind."""
        if self._is_closed:
            return
        if index.is_damaged:
            index.is_damaged = False
            self._damaged.add(paths)
            self._enter(paths)
        elif index.is_missing:
            self._enter(paths)
        elif index.behind >= MANY:
            index.behind = 0  # until it is asked again
            self._enter(paths).is_urgent = True
            self._news.set()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        if self._lingering is not None:
            self._lingering.cancel()
        try:
            while self._waiting:
                paths, waiting = min(self._waiting.items(), key=lambda item: item[1].due_at)
                pause_s = waiting.due_at - loop.time()
                if pause_s <= 0:
                    await self._advance(paths, waiting)
                    continue
                self._news.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._news.wait()
        finally:
            self._task = None
            self._linger()

    def _linger(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
        self._lingering = asyncio.get_running_loop().call_later(LINGER_S, self._rest)

    async def texts(self, wanted: Wanted) -> Found:
        """Has messages read by the process of low priority.

        Raises:
            OSError: it has ended, or cannot be started.
        """
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._process.texts, wanted)
        finally:
            if self._task is None and not self._is_closed:
                self._linger()

    def _rest(self) -> None:
        asyncio.get_running_loop().run_in_executor(self._pool, self._process.end)

    async def _advance(self, paths: AccountPaths, waiting: _Waiting) -> None:
        now = asyncio.get_running_loop().time
        started_at = now()
        outcome = await self._try(paths, waiting)
        if outcome is Outcome.DONE and waiting.changed_at < started_at:
            del self._waiting[paths]
        elif outcome is Outcome.DONE:
            self._waiting[paths] = _Waiting(now(), waiting.changed_at)
        elif outcome is Outcome.BUSY:
            waiting.attempts += 1
            waiting.not_before = now() + AGAIN_S
            if waiting.attempts >= ATTEMPTS:
                del self._waiting[paths]

    async def _try(self, paths: AccountPaths, waiting: _Waiting) -> Outcome:
        try:
            outcome = await self._slice(paths, waiting)
            if outcome is not Outcome.BUSY:
                self._damaged.discard(paths)
            return outcome
        except (OSError, apsw.Error) as error:
            if not self._is_closed:
                _log.warning("indexing failed", path=str(paths.home), error=str(error))
            return Outcome.BUSY

    async def _slice(self, paths: AccountPaths, waiting: _Waiting) -> Outcome:
        loop = asyncio.get_running_loop()
        anew = paths in self._damaged
        if anew or waiting.is_long:
            ask = partial(self._process.slice, paths, self._owner, anew=anew)
            return await loop.run_in_executor(self._pool, ask)
        started_at = loop.time()
        outcome = await loop.run_in_executor(self._pool, self._few, paths)
        waiting.is_long = outcome is Outcome.MORE
        if loop.time() - self._last_change_at < QUIET_S:
            await asyncio.sleep(SHARE * (loop.time() - started_at))
        return outcome

    def _few(self, paths: AccountPaths) -> Outcome:
        """Indexes few messages, here; MORE: there are many."""
        behind = lag(paths)
        if not behind:
            return Outcome.DONE
        if behind > FEW:
            return Outcome.MORE
        return _all(paths, self._owner, anew=False, wait=False)

    async def index(self, paths: AccountPaths, *, anew: bool) -> None:
        """Has the index catch up now. Temporary: its files cannot be used."""
        work = partial(_all, paths, self._owner, anew=anew, wait=True)
        try:
            await asyncio.get_running_loop().run_in_executor(self._pool, work)
        except (OSError, apsw.Error) as error:
            raise translate(error) from error

    async def idle(self) -> None:
        """Waits until the indexes have followed, or were given up for now."""
        while self._task is not None:
            await asyncio.wait([self._task])

    async def close(self) -> None:
        """Ends at once: a slice that is cut off is done again."""
        self._is_closed = True
        task = self._task
        if task is not None:
            task.cancel()
            await asyncio.to_thread(self._process.end)
            await asyncio.wait([task])
        if self._lingering is not None:
            self._lingering.cancel()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._process.end()
        self._pool.shutdown()


def _all(paths: AccountPaths, owner: Owner, *, anew: bool, wait: bool) -> Outcome:
    outcome = index_slice(paths, owner, anew=anew, wait=wait)
    while outcome is Outcome.MORE:
        outcome = index_slice(paths, owner, anew=False, wait=wait)
    return outcome
