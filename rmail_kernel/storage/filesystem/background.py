"""What an open account does by itself: the settling pass after changes, digests that are missing,
the look for changes from outside before a mailbox is read.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import apsw
import structlog

from rmail_kernel.errors import RmailError
from rmail_kernel.storage.filesystem import completing, outside, schema
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.waves import Waves

if TYPE_CHECKING:
    from rmail_kernel.clock import Clock

_log = structlog.get_logger("rmail.storage")
LOOK_S = 1.0
_ALL = 0


class Background:
    """Owns the tasks of all open accounts of one store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waves = Waves(self._complete_soon)
        self._completing: dict[OpenAccount, asyncio.Task[None]] = {}
        self._is_closing = False

    def settle_soon(self, account: OpenAccount) -> None:
        """Has the account settled soon, unless that is on its way."""
        self._waves.settle_soon(account)

    async def settle(self, account: OpenAccount) -> None:
        """Runs the settling pass of one account to its end; trouble is logged and met again by the
        next one.
        """
        await self._waves.settle(account)

    async def settle_due(self) -> None:
        """Runs the settling pass of all accounts that are due now."""
        await self._waves.settle_due()

    def _complete_soon(self, account: OpenAccount) -> None:
        if not (account in self._completing or account.is_closed or self._is_closing):
            task = asyncio.create_task(self._complete(account), name="storage completing")
            self._completing[account] = task
            task.add_done_callback(lambda _: self._completing.pop(account, None))

    async def _complete(self, account: OpenAccount) -> None:
        """Half of the time at most, for it may be long at it."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        while await self.complete_some(account):
            await asyncio.sleep(loop.time() - started_at)
            started_at = loop.time()

    async def complete_some(self, account: OpenAccount) -> bool:
        """Makes digests that are missing; whether there may be more to make."""
        if account.is_closed:
            return False
        account.users += 1
        try:
            return await completing.complete_some(account)
        except RmailError as error:
            _log.warning("digests were not made", path=str(account.paths.home), error=error.safe)
            return False  # met again after the next change
        finally:
            account.users -= 1

    async def _stop_completing(self, account: OpenAccount) -> None:
        task = self._completing.get(account)
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    def has_work(self, account: OpenAccount) -> bool:
        """Whether something is done for the account now, or will be soon."""
        return account in self._completing or self._waves.has_work(account)

    async def finish(self, account: OpenAccount) -> None:
        """Settles now what was due, before the account is closed."""
        await self._waves.finish(account)
        await self._stop_completing(account)

    async def close(self) -> None:
        """Waits for the passes under way."""
        self._is_closing = True
        for account in list(self._completing):
            await self._stop_completing(account)
        await self._waves.close()

    def release(self) -> None:
        """Lets go of what is open, after all accounts are closed."""
        self._waves.release()

    def is_due(self, account: OpenAccount, mailbox: int | None = None) -> bool:
        """Whether `look` would look."""
        looked_at = account.looked_at.get(mailbox or _ALL, -LOOK_S)
        return self._clock.monotonic() - looked_at >= LOOK_S

    async def look(self, account: OpenAccount, mailbox: int | None = None) -> bool:
        """Takes in changes from outside, in one mailbox (None: all), at most once per LOOK_S.
        Whether it looked, so that what was read before may be old.
        """
        if not self.is_due(account, mailbox):
            return False
        account.looked_at[mailbox or _ALL] = self._clock.monotonic()
        found = await differing(account, mailbox)
        if _ALL in found:
            await account.write(outside.take_mailboxes, alone=True, vital=True)
        for one in found:
            if one != _ALL:
                await account.write(partial(outside.take_mailbox, one), vital=True)
        return True


async def differing(account: OpenAccount, mailbox: int | None = None) -> list[int]:
    """Those of the mailboxes (None: all) whose files are not as we left them; 0: the directory of
    mailboxes, when all are asked for.
    """
    notes = account.notes  # before what is stored: older ones only cost a look
    left = await account.read(partial(_left, mailbox))
    for (one, shard), mtime_ns in notes.items():
        if one in left:
            left[one][1][shard] = mtime_ns
    return await account.run(_compare, account.paths, left)


_Left = dict[int, tuple[str, outside.Mtimes]]


def _left(mailbox: int | None, db: apsw.Connection) -> _Left:
    """Names of mailboxes and the mtimes that we left their shards with."""
    if mailbox is None:
        names = {_ALL: "", **dict(schema.rows(db, "SELECT id, name FROM mailbox"))}
        rows = schema.rows(db, "SELECT mailbox, shard, mtime_ns FROM shard")
    else:
        names = dict(schema.rows(db, "SELECT id, name FROM mailbox WHERE id=?", mailbox))
        rows = schema.rows(
            db, "SELECT mailbox, shard, mtime_ns FROM shard WHERE mailbox=?", mailbox
        )
    left: _Left = {one: (name, {}) for one, name in names.items()}
    for one, shard, mtime_ns in rows:
        if one in left:
            left[one][1][shard] = mtime_ns
    return left


def _compare(paths: AccountPaths, left: _Left) -> list[int]:
    return [one for one, (name, mtimes) in left.items() if _now(paths, one, name) != mtimes]


def _now(paths: AccountPaths, mailbox: int, name: str) -> outside.Mtimes | None:
    if mailbox != _ALL:
        return outside.mtimes(paths.mailbox(name))
    try:
        return {0: paths.mailboxes.stat().st_mtime_ns}
    except FileNotFoundError:
        return None
