"""The settling pass after changes, of all accounts that are due together: under load a pass costs
as much as a message, so it comes the more seldom the longer it takes, and syncs once for all.

Nothing waits for it but the closing of an account. What a pass does can be lost and is done again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import partial
from typing import Final
from weakref import WeakSet

import structlog

from rmail_kernel.errors import NotFound, RmailError, Temporary
from rmail_kernel.storage.filesystem import schema, settling, unsettled
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.disk import sync_filesystem
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.filesystem.unsettled import Unsettled

_log = structlog.get_logger("rmail.storage")
SETTLE_S: Final = 0.5
LAG_S: Final = 10.0
"""The longest that accounts wait for their pass, beside the time that it takes."""
SHARE: Final = 9.0
"""Passes pause for so many times as long as the last one took."""
_Found = dict[OpenAccount, list[Unsettled]]


def pause_s(took_s: float) -> float:
    """How long a pass waits for more to do, after one that took so long."""
    return min(max(SETTLE_S, SHARE * took_s), LAG_S)


class Waves:
    """Settles the open accounts of one store.

    Args:
        settled: told of each account that was settled and may lack digests.
    """

    def __init__(self, settled: Callable[[OpenAccount], None]) -> None:
        self._settled = settled
        self._due: set[OpenAccount] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._wave: asyncio.Task[None] | None = None
        self._in_wave: set[OpenAccount] = set()
        self._took_s = 0.0
        self._is_closing = False
        self._known: WeakSet[OpenAccount] = WeakSet()
        self._disks: dict[int, int] = {}  # a descriptor by device, open since before any write

    def settle_soon(self, account: OpenAccount) -> None:
        """Has the account settled soon, unless that is on its way."""
        if account not in self._known:
            self._know(account)
        self._due.add(account)
        self._schedule()

    def _know(self, account: OpenAccount) -> None:
        if account.device not in self._disks:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
            try:
                self._disks[account.device] = os.open(account.paths.home, flags)
            except OSError as error:  # until it can be, each account syncs its own files
                _log.warning("a file system is not at hand", error=str(error))
                return
        self._known.add(account)

    def _schedule(self) -> None:
        if self._due and not (self._timer or self._wave or self._is_closing):
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(pause_s(self._took_s), self._start)

    def _start(self) -> None:
        self._timer = None
        self._in_wave, self._due = self._due, set()
        self._wave = asyncio.create_task(self._run(self._in_wave), name="storage settling")
        self._wave.add_done_callback(self._ended)

    async def settle_due(self) -> None:
        """Has the next pass come now, and waits for its end."""
        await self._under_way()
        if self._timer is not None:
            self._timer.cancel()
        if self._due:
            self._start()
            await self._under_way()

    async def _under_way(self) -> None:
        if self._wave is not None:
            await asyncio.wait([self._wave])

    def _ended(self, _: asyncio.Future[None]) -> None:
        self._wave = None
        self._in_wave = set()
        self._schedule()

    async def _run(self, accounts: Collection[OpenAccount]) -> None:
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        try:
            found: _Found = {}
            for account in accounts:
                found.update(await self._prepared(account))
            synced = await self._sync(found)
            for account, one in found.items():
                await self._conclude(account, one, is_synced=account.device in synced)
        finally:
            self._took_s = loop.time() - started_at

    async def settle(self, account: OpenAccount) -> None:
        """Runs the pass of one account now."""
        self._due.discard(account)
        for one, found in (await self._prepared(account)).items():
            await self._conclude(one, found, is_synced=False)

    async def _prepared(self, account: OpenAccount) -> _Found:
        """Has names and JSON files catch up; the account with what is unsettled then. Empty when
        it could not be done, which is met again by the next pass.
        """
        if account.is_closed:
            return {}
        try:
            with account.used():
                done = await account.write(_settle, alone=True, durable=False, vital=True)
                while done.has_more:
                    done = await account.write(_settle, alone=True, durable=False, vital=True)
        except NotFound:
            return {}  # the account was deleted
        except RmailError as error:
            _failed(account, error)
            self._settled(account)
            return {}
        if done.lacks_digests:
            self._settled(account)
        return {account: done.unsettled}

    async def _sync(self, found: _Found) -> set[int]:
        """Syncs the file systems once for all accounts, if many files are due; those that were."""
        synced: set[int] = set()
        for device in {account.device for account in found}:
            due = [account for account in found if account.device == device]
            many = sum(len(found[account]) for account in due) > unsettled.FEW
            if many and device in self._disks:
                try:
                    await due[0].run(sync_filesystem, self._disks[device])
                    synced.add(device)
                except Temporary as error:
                    _log.warning("a file system could not be synced", error=str(error))
                    for account in self._known:  # it is told once, whosever files they are
                        account.has_lost = account.has_lost or account.device == device
        return synced

    async def _conclude(
        self, account: OpenAccount, found: list[Unsettled], *, is_synced: bool
    ) -> None:
        if account.is_closed:
            return  # settled by whoever closed it
        clean = partial(settling.clean_temporary, account.paths.temporary, time.time())
        try:
            with account.used():
                if found:
                    await account.sync_files(found, is_synced=is_synced, before=clean)
                else:
                    await account.run(clean)
        except NotFound:
            return
        except RmailError as error:
            _failed(account, error)

    def has_work(self, account: OpenAccount) -> bool:
        """Whether the account is to be settled, or is being settled."""
        return account in self._due or account in self._in_wave

    async def finish(self, account: OpenAccount) -> None:
        """Settles now what was due, before the account is closed."""
        if self.has_work(account):
            await self.settle(account)

    async def close(self) -> None:
        """Ends after the pass under way."""
        self._is_closing = True
        if self._timer is not None:
            self._timer.cancel()
        await self._under_way()

    def release(self) -> None:
        """Closes what is open, after all accounts."""
        for descriptor in self._disks.values():
            os.close(descriptor)
        self._disks.clear()


@dataclass(frozen=True, slots=True)
class _Slice:
    """One slice of a pass: whether more is left; if not, what is unsettled now, and whether
    digests are missing.
    """

    has_more: bool
    unsettled: list[Unsettled]
    lacks_digests: bool


def _settle(tx: Transaction) -> _Slice:
    if settling.settle(tx):
        return _Slice(True, [], True)
    lacks_digests = schema.first(tx.db, "SELECT 1 FROM undigested LIMIT 1") is not None
    return _Slice(False, unsettled.listed(tx), lacks_digests)


def _failed(account: OpenAccount, error: RmailError) -> None:
    _log.warning("settling failed", path=str(account.paths.home), error=error.safe)
