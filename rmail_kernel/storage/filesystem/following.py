"""When the full-text indexes follow: soon after the accounts have come to rest, one slice of one
account at a time, at a low priority. Appends never wait for it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import apsw
import structlog

from rmail_kernel.storage.filesystem.batch import translate
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.fulltext import Index
from rmail_kernel.storage.filesystem.indexing import Outcome, index_slice
from rmail_kernel.storage.filesystem.layout import AccountPaths

_log = structlog.get_logger("rmail.storage")
QUIET_S: Final = 1.0
"""An account is at rest when nothing changed for so long ..."""
LAG_S: Final = 30.0
"""... but this is the longest that indexing waits for it."""
SHARE: Final = 9.0
"""While there are changes, indexing pauses for so many times as long as it worked."""
AGAIN_S: Final = 5.0
"""The pause after trouble, or while another process is at it."""
ATTEMPTS: Final = 5
_NICE: Final = 10


class Follower:
    """Owns the indexing of all accounts of one store in this process."""

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._pool = ThreadPoolExecutor(1, "indexing", initializer=_be_nice)
        self._changed_at: dict[AccountPaths, float] = {}
        self._tasks: dict[AccountPaths, asyncio.Task[None]] = {}
        self._damaged: set[AccountPaths] = set()
        self._last_change_at = -QUIET_S
        self._took_s = 0.0
        self._is_closed = False

    def index_soon(self, paths: AccountPaths) -> None:
        """Has the account's index follow when the account comes to rest."""
        if self._is_closed:
            return
        now = asyncio.get_running_loop().time()
        self._changed_at[paths] = self._last_change_at = now
        if paths not in self._tasks:
            self._tasks[paths] = asyncio.create_task(self._follow(paths), name="storage indexing")

    def mend(self, paths: AccountPaths, index: Index) -> None:
        """Has an index made that is damaged or not there, as a search has met it."""
        if index.is_damaged:
            index.is_damaged = False
            self._damaged.add(paths)
            self.index_soon(paths)
        elif index.is_missing:
            self.index_soon(paths)

    async def _follow(self, paths: AccountPaths) -> None:
        try:
            attempts = 0
            await self._rest(paths)
            while attempts < ATTEMPTS:
                await self._give_way()
                before = self._changed_at[paths]
                outcome = await self._try(paths)
                if outcome is Outcome.DONE:
                    if self._changed_at[paths] == before:
                        return
                    await self._rest(paths)
                if outcome is Outcome.BUSY:
                    attempts += 1
                    await asyncio.sleep(AGAIN_S)
        finally:
            del self._tasks[paths], self._changed_at[paths]

    async def _give_way(self) -> None:
        """While anything changes in any account, indexing takes a tenth of the time."""
        if asyncio.get_running_loop().time() - self._last_change_at < QUIET_S:
            await asyncio.sleep(SHARE * self._took_s)

    async def _rest(self, paths: AccountPaths) -> None:
        loop = asyncio.get_running_loop()
        latest = loop.time() + LAG_S
        while True:
            pause_s = min(self._changed_at[paths] + QUIET_S, latest) - loop.time()
            if pause_s <= 0:
                return
            await asyncio.sleep(pause_s)

    async def _try(self, paths: AccountPaths) -> Outcome:
        try:
            outcome = await self._slice(paths, anew=paths in self._damaged, wait=False)
            if outcome is not Outcome.BUSY:
                self._damaged.discard(paths)
            return outcome
        except (OSError, apsw.Error) as error:
            _log.warning("indexing failed", path=str(paths.home), error=str(error))
            return Outcome.BUSY

    async def _slice(self, paths: AccountPaths, *, anew: bool, wait: bool) -> Outcome:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        work = partial(index_slice, paths, self._owner, anew=anew, wait=wait)
        outcome = await loop.run_in_executor(self._pool, work)
        self._took_s = loop.time() - started_at
        return outcome

    async def index(self, paths: AccountPaths, *, anew: bool) -> None:
        """Has the index catch up now. Temporary: its files cannot be used."""
        try:
            outcome = await self._slice(paths, anew=anew, wait=True)
            while outcome is Outcome.MORE:
                outcome = await self._slice(paths, anew=False, wait=True)
        except (OSError, apsw.Error) as error:
            raise translate(error) from error

    async def idle(self) -> None:
        """Waits until the indexes have followed, or were given up for now."""
        while self._tasks:
            await asyncio.gather(*self._tasks.values())

    async def close(self) -> None:
        """Ends after the slice that is under way."""
        self._is_closed = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown)


def _be_nice() -> None:
    """Linux has a priority for each thread."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
