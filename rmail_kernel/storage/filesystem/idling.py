"""Accounts that nobody has used for a while give back what they hold, except a few: there may be
thousands of sessions that only wait. What was read of their mailboxes stays; connections are made
anew when somebody asks.

It holds no lock and changes no data. Closing a connection may write its log back, as ever.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Executor
from typing import Final

import structlog

from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.ids import AccountId

_log = structlog.get_logger("rmail.storage")
READER_S: Final = 1.0
"""How long nobody must have used an account before it stops reading; and writing, if nothing was
written.
"""
WRITER_S: Final = 10.0
"""How long nothing must have been written before the connection that wrote is closed: whoever wrote
may do so again, and to write the log back takes two syncs.
"""
KEPT: Final = 16
"""So many accounts, those used last, hold what they have: on a small server nobody waits."""
LOOK_S: Final = 0.5
Rest = Callable[[AccountId, OpenAccount, float, float, float], Awaitable[bool]]


class Idling:
    """Watches the open accounts of one store.

    Args:
        accounts: those that are open.
        pool: gives memory back to the system.
        rest: has one give back what it holds; whether it does.
    """

    def __init__(
        self, accounts: Mapping[AccountId, OpenAccount], pool: Executor, rest: Rest
    ) -> None:
        self._accounts = accounts
        self._pool = pool
        self._rest = rest
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None
        self._is_closing = False

    def watch(self) -> None:
        """An account was opened."""
        if self._timer is None and self._task is None and not self._is_closing:
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)

    def _look(self) -> None:
        self._timer = None
        self._task = asyncio.create_task(self.rest(READER_S, WRITER_S, KEPT), name="storage idling")
        self._task.add_done_callback(self._looked)

    def _looked(self, task: asyncio.Future[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("accounts did not come to rest", exc_info=error)
        if self._accounts:
            self.watch()

    async def rest(self, reader_s: float, writer_s: float, kept: int = 0) -> None:
        """Has all accounts rest that were not used for so long, but the `kept` that were last."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        by_use = sorted(self._accounts.items(), key=lambda one: one[1].used_at, reverse=True)
        due = [one for one in by_use[kept:] if one[1].rests_after(now, reader_s, writer_s)]
        found = [await self._rest(*one, now, reader_s, writer_s) for one in due]
        if any(found):
            await loop.run_in_executor(self._pool, give_back)

    async def close(self) -> None:
        """Ends after what is under way."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])


def _trim() -> Callable[[int], object] | None:
    """glibc keeps what was freed, unless it is asked for it; others give it back by themselves."""
    try:
        found: Callable[[int], object] = ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
    return found


_TRIM: Final = _trim()


def give_back() -> None:
    """Gives memory that is free back to the system."""
    if _TRIM is not None:
        _TRIM(0)
