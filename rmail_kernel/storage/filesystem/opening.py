"""The accounts that are open in this process: each opened when it is first used, those that were
used least recently closed beyond a limit. One that is in use is never closed.
"""

from __future__ import annotations

import asyncio
import resource
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rmail_kernel.errors import NotFound, RmailError
from rmail_kernel.storage.accounts import Directory
from rmail_kernel.storage.filesystem import resting, tables
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.background import Background
from rmail_kernel.storage.filesystem.batch import Batches, translate
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.idling import Idling
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.reserve import Reserve
from rmail_kernel.storage.filesystem.resting import Resting
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Room
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import Changes

if TYPE_CHECKING:
    from rmail_kernel.clock import Clock

MAX_OPEN_ACCOUNTS: Final = 256
_DESCRIPTORS: Final = 16
"""Descriptors that an open account may take."""
Ready = Callable[[AccountId], Awaitable[tuple[Room, OpenAccount]]]
Changed = Callable[[AccountId, dict[int, int]], None]


class Use:
    """An open account while it is used, for `async with`: each call to the store is one.

    Args:
        ready: finds out what the account may hold, and opens it.

    Attributes:
        room: what the account may hold; set within.
    """

    __slots__ = ("_account", "_name", "_ready", "room")

    def __init__(self, ready: Ready, name: AccountId) -> None:
        self._ready = ready
        self._name = name
        self._account: OpenAccount
        self.room: Room

    async def __aenter__(self) -> OpenAccount:
        self.room, self._account = await self._ready(self._name)
        self._account.users += 1
        return self._account

    async def __aexit__(self, *_: object) -> None:
        self._account.users -= 1


class Opener:
    """Opens the account databases of one store.

    Args:
        root: the store.
        clock: where time comes from.
        pool: threads for everything that blocks.
        reserve: room on the disk that is kept for deleting; None: none.
    """

    def __init__(
        self,
        root: Path,
        owner: Owner,
        clock: Clock,
        pool: ThreadPoolExecutor,
        reserve: Reserve | None,
    ) -> None:
        self._root = root
        self._owner = owner
        self._clock = clock
        self.pool = pool
        self._reserve = reserve

    async def open(self, name: AccountId, changed: Callable[[dict[int, int]], None]) -> OpenAccount:
        """An account; `changed` is told the new MODSEQ of each mailbox after a commit. Temporary:
        the disk does not give it.
        """
        paths = AccountPaths.of(self._root, name)
        loop = asyncio.get_running_loop()
        try:
            batches = await loop.run_in_executor(
                self.pool, Batches, paths, self._owner, self._clock.time, self._reserve
            )
        except OSError as error:
            raise translate(error) from error
        return OpenAccount(paths, batches, self.pool, changed)


class OpenAccounts:
    """See the module.

    Args:
        opener: opens one.
        directory: tells which accounts exist, and their quota.
        background: finishes what an account has under way before it is closed.
        followed: told of an account that was opened, and after each of its commits, with the
            mailboxes that changed.
        changed: told after each commit which mailboxes have which MODSEQ now.
        max_open: how many stay open when nobody uses them.
    """

    def __init__(
        self,
        opener: Opener,
        directory: Directory,
        background: Background,
        followed: Callable[[OpenAccount, Collection[int]], None],
        changed: Changed,
        max_open: int = MAX_OPEN_ACCOUNTS,
    ) -> None:
        descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self.max_open = max(1, min(max_open, descriptors // _DESCRIPTORS // 2))
        self._opener = opener
        self._directory = directory
        self._background = background
        self._followed = followed
        self._changed = changed
        self._open: OrderedDict[AccountId, OpenAccount] = OrderedDict()
        self._opening: dict[AccountId, asyncio.Task[None]] = {}
        self._resting = Resting()
        self._idling = Idling(self._open, opener.pool, self._rest_one)

    def __len__(self) -> int:
        return len(self._open)

    def __contains__(self, name: AccountId) -> bool:
        return name in self._open

    def at_hand(self, name: AccountId, *, only_looks: bool = False) -> OpenAccount | None:
        """An account that is open, for use at once; it counts as used. only_looks: as `at_rest`."""
        account = self._open.get(name)
        if account is not None:
            self._open.move_to_end(name)
            if not only_looks:
                account.used_at = asyncio.get_running_loop().time()
        return account

    async def ready(self, name: AccountId) -> tuple[Room, OpenAccount]:
        """An account, open, and what it may hold. NotFound, Temporary."""
        room, account = await self.at_rest(name)
        account.used_at = asyncio.get_running_loop().time()
        return room, account

    async def at_rest(self, name: AccountId) -> tuple[Room, OpenAccount]:
        """The same for who only looks whether there is news, which keeps no account awake.
        NotFound, Temporary.
        """
        record = await self._directory.by_id(name)
        if record is None:
            raise NotFound("No such account", account=name)
        while (account := self._open.get(name)) is None:
            await self._open_once(name)
        self._open.move_to_end(name)
        return _room(record.quota_mb, record.quota_messages), account

    async def _open_once(self, name: AccountId) -> None:
        task = self._opening.get(name)
        if task is None:
            task = asyncio.create_task(self._open_one(name))
            self._opening[name] = task
            task.add_done_callback(lambda _: self._opening.pop(name, None))
        await asyncio.shield(task)

    async def _open_one(self, name: AccountId) -> None:
        def changed(modseqs: dict[int, int]) -> None:
            self._changed(name, modseqs)
            self._followed(account, modseqs)

        account = await self._opener.open(name, changed)
        self._resting.forget(name)
        self._open[name] = account
        self._followed(account, ())
        self._idling.watch()
        with account.used():  # not this one
            await self._close_idle()

    async def _close_idle(self) -> None:
        """Closes the accounts used least recently beyond the limit, if nobody is using them."""
        while len(self._open) > self.max_open:
            name = next((name for name, one in self._open.items() if one.is_idle), None)
            if name is None:
                return
            await self._close_one(name, self._open.pop(name))

    async def _close_one(self, name: AccountId, account: OpenAccount) -> None:
        """Closes an account that is no longer to be found, and notes what it was like."""
        await self._background.finish(account)
        rows, read_at = None, resting.now()
        with suppress(RmailError):
            rows = await _mailboxes(account)
        await account.close()
        if rows is not None:
            self._resting.note(name, account.paths, rows, read_at)

    async def rest(self, reader_s: float, writer_s: float) -> None:
        """Has accounts that nobody has used for so long give back what they hold."""
        await self._idling.rest(reader_s, writer_s)

    async def _rest_one(
        self, name: AccountId, account: OpenAccount, now: float, reader_s: float, writer_s: float
    ) -> bool:
        """Has one account rest, and notes what it was like; whether it does."""
        if self._background.has_work(account):
            return False
        with account.used():
            rows, read_at = None, resting.now()
            if account.is_reading and account.is_reader_due(now, reader_s):
                with suppress(RmailError):
                    rows = await _mailboxes(account)
        if account.users or account.is_closed:
            return False
        with suppress(RmailError):  # the next command meets the trouble as well
            await account.rest(now, reader_s, writer_s)
        if rows is not None and not account.is_reading:
            self._resting.note(name, account.paths, rows, read_at)
        return True

    async def unchanged(self, name: AccountId, mailbox: int, since: int) -> Changes | None:
        """That nothing happened in a mailbox of a closed account, or of one at rest, after `since`;
        None: it has to be opened to know.
        """
        if await self._directory.by_id(name) is None:
            return None
        return self._resting.unchanged(name, mailbox, since)

    async def opened(self) -> None:
        """Waits for those that are being opened."""
        await asyncio.gather(*self._opening.values(), return_exceptions=True)

    async def close(self) -> None:
        """Finishes what is under way and closes all of them."""
        await self._idling.close()
        while self._open:
            _, account = self._open.popitem()
            await self._background.finish(account)
            await account.close()


async def _mailboxes(account: OpenAccount) -> list[MailboxRow]:
    many = await account.read(tables.count_mailboxes) > tables.MANY_MAILBOXES
    return await (account.read_large if many else account.read)(tables.mailbox_rows)


@lru_cache(maxsize=256)
def _room(quota_mb: int, quota_messages: int | None) -> Room:
    return Room(quota_mb << 20, quota_messages)
