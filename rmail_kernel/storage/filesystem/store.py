"""The embedded driver's MailStore: accounts opened on demand, each call passed to its part.

It holds no rule of mail itself. See docs/storage.md for the contract and the files.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

import structlog

from rmail_kernel.errors import NotFound, Temporary
from rmail_kernel.storage import evaluate
from rmail_kernel.storage.accounts import Directory
from rmail_kernel.storage.events import Change, EventBus
from rmail_kernel.storage.filesystem import (
    annotating,
    columns,
    completing,
    copying,
    expunging,
    flagging,
    mailboxes,
    reading,
    searching,
    special_uses,
    subscriptions,
    tables,
)
from rmail_kernel.storage.filesystem.account import OpenAccount
from rmail_kernel.storage.filesystem.ahead import ReadAhead
from rmail_kernel.storage.filesystem.appending import is_small
from rmail_kernel.storage.filesystem.background import Background, differing
from rmail_kernel.storage.filesystem.batch import translate
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.fetching import fetch
from rmail_kernel.storage.filesystem.following import Follower
from rmail_kernel.storage.filesystem.incoming import store_messages
from rmail_kernel.storage.filesystem.index_check import index_faults
from rmail_kernel.storage.filesystem.opening import (
    MAX_OPEN_ACCOUNTS,
    OpenAccounts,
    Opener,
    Ready,
    Use,
)
from rmail_kernel.storage.filesystem.promises import Promises, is_ample, is_plain
from rmail_kernel.storage.filesystem.remembering import Memory
from rmail_kernel.storage.filesystem.reserve import Reserve
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import NO_LIMIT, Room, Transaction
from rmail_kernel.storage.ids import AccountId, MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import (
    Appended,
    AppendItem,
    Changes,
    Column,
    Columns,
    CopyResult,
    Fetched,
    Field,
    MailboxStatus,
    MailboxView,
    Quota,
    StoreResult,
)
from rmail_kernel.storage.search import SearchNode

if TYPE_CHECKING:
    from rmail_kernel.clock import Clock

_log = structlog.get_logger("rmail.storage")
T = TypeVar("T")
SEARCHERS = 2
"""Threads that search; SQLite leaves the interpreter to the other one."""


class FilesystemMailStore:
    """Mail in files below `root`, for several processes at a time. See MailStore for the methods.

    Args:
        root: the store; its owner owns all files.
        directory: tells which accounts exist, and their quota.
        events: told after each commit.
        clock: where time comes from.
        pool: threads for everything that blocks.
        max_open: accounts kept open; idle ones are closed beyond it.
        reserve: room on the disk that is kept for deleting; None: none.

    Attributes:
        accounts: those that are open. Not part of the contract.
    """

    def __init__(
        self,
        root: Path,
        directory: Directory,
        events: EventBus,
        clock: Clock,
        pool: ThreadPoolExecutor,
        *,
        max_open: int = MAX_OPEN_ACCOUNTS,
        reserve: Reserve | None = None,
    ) -> None:
        self._owner = Owner.of(root)
        self._clock = clock
        self._events = events
        self._pool = pool
        self._background = Background(clock)
        self.accounts = OpenAccounts(
            Opener(root, self._owner, clock, pool, reserve),
            directory,
            self._background,
            self._follow,
            self._publish,
            max_open,
        )
        # Of their own: a hundred searches must not take the threads that appends need.
        self._searchers = ThreadPoolExecutor(SEARCHERS, "search")
        self.turns = asyncio.Semaphore(SEARCHERS)
        self._memory = Memory()
        self._follower = Follower(self._owner)
        self._ahead = ReadAhead(self._memory.texts, self._searchers, self._follower.texts)
        self._promises = Promises(root / "journal", self._owner, self._append_promised, reserve)

    async def close(self) -> None:
        """Finishes what is under way and closes all accounts."""
        await self._promises.close()
        await self.accounts.opened()
        await self._ahead.close()
        await self._follower.close()
        await self._background.close()
        await self.accounts.close()
        self._background.release()
        await asyncio.to_thread(self._searchers.shutdown)

    # -- accounts --------------------------------------------------------------------------

    def _use(self, name: AccountId, ready: Ready | None = None) -> Use:
        if self._promises.holds(name):
            return Use(self._current, name)
        return Use(ready or self.accounts.ready, name)

    async def _current(self, name: AccountId) -> tuple[Room, OpenAccount]:
        """The account with all that it was promised."""
        await self._promises.flush(name)
        return await self.accounts.ready(name)

    def _publish(self, name: AccountId, modseqs: dict[int, int]) -> None:
        for mailbox, modseq in modseqs.items():
            self._events.publish(Change(name, "mail", mailbox, modseq))

    def _follow(self, account: OpenAccount, changed: Collection[int]) -> None:
        self._background.settle_soon(account)
        self._follower.index_soon(account.paths)
        self._ahead.note(account, changed)

    async def settle(self, account: AccountId) -> None:
        """Has file names and JSON files catch up now. Not part of the contract."""
        async with self._use(account) as one:
            await self._background.settle(one)

    async def settle_due(self) -> None:
        """The same for all accounts that have changed. Not part of the contract."""
        await self._background.settle_due()

    async def differing(self, account: AccountId) -> list[int]:
        """Mailboxes (0: their directory) that were changed from outside. Not of the contract."""
        async with self._use(account) as one:
            return await differing(one)

    async def transact(
        self, account: AccountId, run: Callable[[Transaction], T], *, durable: bool = True
    ) -> T:
        """Runs a function in a transaction of its own (fsck). Not part of the contract."""
        async with self._use(account) as one:
            return await one.write(run, alone=True, durable=durable, vital=True)

    # -- mailboxes -------------------------------------------------------------------------

    async def mailboxes(self, account: AccountId) -> list[MailboxStatus]:
        """All mailboxes with their counters, sorted by name, INBOX first."""
        async with self._use(account) as one:
            await self._background.look(one)
            if await one.read(tables.count_mailboxes) > tables.MANY_MAILBOXES:
                return await one.read_large(tables.mailbox_statuses)
            return await one.read(tables.mailbox_statuses)

    async def status(self, account: AccountId, mailbox: str | MailboxId) -> MailboxStatus:
        """Counters of one mailbox."""
        async with self._use(account) as one:
            row = await self._box(one, mailbox)
            if await self._background.look(one, row.id):
                row = await one.box(mailbox)
            return row.status()

    async def _box(self, one: OpenAccount, mailbox: str | MailboxId) -> MailboxRow:
        """A mailbox; one that was just put there from outside is taken in first."""
        try:
            return await one.box(mailbox)
        except NotFound:
            await self._background.look(one)
            return await one.box(mailbox)

    async def create(
        self, account: AccountId, name: str, *, special_use: str | None = None
    ) -> MailboxStatus:
        """Makes a mailbox and its missing parents. Conflict, Invalid."""
        async with self._use(account) as one:
            return await one.write(lambda tx: mailboxes.create(tx, name, special_use).status())

    async def rename(self, account: AccountId, old: str, new: str) -> None:
        """Renames a mailbox and its children. Conflict, Invalid, NotFound."""
        async with self._use(account) as one:
            await one.write(lambda tx: mailboxes.rename(tx, old, new), alone=True)

    async def delete(self, account: AccountId, name: str) -> None:
        """Deletes a mailbox and its messages. Invalid, NotFound."""
        async with self._use(account) as one:
            await one.write(lambda tx: mailboxes.delete(tx, name), alone=True, vital=True)

    async def subscribe(self, account: AccountId, name: str, subscribed: bool) -> None:
        """Sets or clears the subscription. NotFound."""
        async with self._use(account) as one:
            await one.write(lambda tx: mailboxes.subscribe(tx, name, subscribed))

    async def subscriptions(self, account: AccountId) -> list[str]:
        """All subscribed names, sorted, also those that no mailbox has."""
        async with self._use(account) as one:
            await self._background.look(one)
            # In this order: a name is kept before the row of its mailbox goes.
            rows = await one.read(tables.mailbox_rows)
            return subscriptions.subscribed(rows, await one.run(subscriptions.kept, one.paths))

    async def annotations(
        self, account: AccountId, mailbox: str | MailboxId | None
    ) -> dict[str, bytes]:
        """All entries of a mailbox, or of the account itself (RFC 5464)."""
        async with self._use(account) as one:
            if mailbox is None:
                return await one.run(annotating.entries, annotating.account_file(one.paths))
            row = await self._box(one, mailbox)
            path = one.paths.mailbox(row.name) / "status.json"
            found = await one.run(annotating.entries, path)
            found.pop(special_uses.ENTRY, None)  # older versions kept what clients wrote there
            return found | special_uses.entry(row.special_use)

    async def annotate(
        self,
        account: AccountId,
        mailbox: str | MailboxId | None,
        changes: Mapping[str, bytes | None],
    ) -> None:
        """Sets entries, None removes one; all or none. Invalid, TooLarge, QuotaExceeded."""
        async with self._use(account) as one:
            await one.write(lambda tx: annotating.annotate(tx, mailbox, changes))

    # -- messages --------------------------------------------------------------------------

    async def append(self, account: AccountId, items: Sequence[AppendItem]) -> list[Appended]:
        """Stores messages, all or none; durable on return. QuotaExceeded, NotFound, Invalid."""
        if not items:
            return []
        if all(is_small(item) for item in items):
            return await self._append(account, items)
        # A caller that is cancelled does not know the outcome; it must not leave files behind.
        return await asyncio.shield(self._append(account, items))

    async def _append(self, account: AccountId, items: Sequence[AppendItem]) -> list[Appended]:
        async with (use := self._use(account)) as one:
            return await store_messages(one, self._owner, items, use.room, self._clock.time())

    async def promise(
        self, account: AccountId, item: AppendItem, told: Callable[[Appended], None]
    ) -> None:
        """Takes a message that is durable on return and in its mailbox soon. QuotaExceeded,
        NotFound, Invalid.
        """
        dated = item.internal_date or datetime.fromtimestamp(self._clock.time(), UTC)
        item = replace(item, internal_date=dated)
        if await self._can_promise(account, item):
            try:
                await self._promises.take(account, item, told)
                return
            except Temporary as error:
                _log.warning("the journal cannot be used", error=str(error))
        (stored,) = await self.append(account, [item])
        self._promises.note()
        told(stored)

    async def _can_promise(self, account: AccountId, item: AppendItem) -> bool:
        """Whether nothing can be against storing a message later."""
        can = self._promises.is_busy() and is_plain(item) and self._promises.can_take(account)
        return can and is_ample(await self.quota(account), item.content.size)

    async def _append_promised(
        self, account: AccountId, items: Sequence[AppendItem]
    ) -> list[Appended]:
        async with Use(self.accounts.ready, account) as one:
            return await store_messages(one, self._owner, items, NO_LIMIT, self._clock.time())

    async def recover(self) -> None:
        """Has stored what was promised by processes that died. Not part of the contract.

        Raises:
            Temporary: the disk does not give it.
        """
        try:
            await self._promises.recover()
        except OSError as error:
            raise translate(error) from error

    async def view(self, account: AccountId, mailbox: str | MailboxId) -> MailboxView:
        """A snapshot no older than any change answered before this call, in any process."""
        async with self._use(account) as one:
            known = mailbox if isinstance(mailbox, int) else (await self._box(one, mailbox)).id
            await self._background.look(one, known)
            view = await one.view(known)
            self._ahead.look(one, view)
            return view

    async def claim_recent(self, account: AccountId, mailbox: MailboxId) -> frozenset[Uid]:
        """Takes \\Recent for this caller."""
        async with self._use(account) as one:
            if not (await one.box(mailbox)).recent:
                return frozenset()
            # Not synced: after a power loss some are \\Recent once more, which is allowed (RFC 3501
            # 2.3.2), and a client that looks for new mail waits for no disk.
            return await one.write(
                lambda tx: expunging.claim_recent(tx, mailbox), durable=False, vital=True
            )

    async def changes(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> Changes:
        """Everything after `since`."""
        if not self._promises.holds(account):
            nothing = await self.accounts.unchanged(account, mailbox, since)
            if nothing is not None:
                return nothing
        async with self._use(account, self.accounts.at_rest) as one:
            return await one.changes(mailbox, since)

    def is_unchanged(self, account: AccountId, mailbox: MailboxId, since: ModSeq) -> bool:
        """Whether it is known at once that nothing happened after `since`."""
        one = self.accounts.at_hand(account, only_looks=True)
        if one is None or self._promises.holds(account):
            return False
        return one.is_unchanged(mailbox, since)

    def view_at_hand(self, account: AccountId, mailbox: MailboxId) -> MailboxView | None:
        """The newest view, if it is known at once."""
        one = self.accounts.at_hand(account)
        if one is None or self._promises.holds(account) or self._background.is_due(one, mailbox):
            return None
        view = one.view_at_hand(mailbox)
        if view is not None:
            self._ahead.look(one, view)
        return view

    def read_at_hand(
        self, view: MailboxView, place: tuple[AccountId, Uid, int], start: int, count: int | None
    ) -> bytes | None:
        """Bytes of one message that the system has in memory, by the name it should have."""
        account, uid, flags = place
        one = self.accounts.at_hand(account)
        folder = None if one is None else one.folder(view.mailbox)
        return None if folder is None else reading.piece_at_hand(folder, uid, flags, start, count)

    def fetch(
        self, account: AccountId, mailbox: MailboxId, uids: Sequence[Uid], fields: Field
    ) -> AsyncIterator[list[Fetched]]:
        """Messages in UID order, in batches."""
        return fetch(lambda: self._use(account), self._pool, mailbox, uids, fields)

    async def store_flags(
        self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Sequence[Uid],
        op: Literal["set", "add", "remove"],
        flags: frozenset[str],
        *,
        unchanged_since: ModSeq | None = None,
    ) -> StoreResult:
        """Changes flags by name, one MODSEQ for the call. Invalid."""
        async with self._use(account) as one:
            return await one.write(
                lambda tx: flagging.store_flags(tx, mailbox, uids, op, flags, unchanged_since),
                vital=True,
            )

    async def copy(
        self,
        account: AccountId,
        source: MailboxId,
        uids: Sequence[Uid],
        target: str | MailboxId,
        *,
        op_id: str | None = None,
        needs_all: bool = False,
    ) -> CopyResult:
        """See MailStore.copy."""
        async with (use := self._use(account)) as one:
            room = use.room
            with self._ahead.held():
                return await one.write(
                    lambda tx: copying.copy(
                        tx, source, uids, target, op_id, room, needs_all=needs_all
                    )
                )

    async def move(
        self,
        account: AccountId,
        source: MailboxId,
        uids: Sequence[Uid],
        target: str | MailboxId,
        *,
        op_id: str | None = None,
    ) -> CopyResult:
        """Moves within the account in one transaction (RFC 6851)."""
        async with self._use(account) as one:
            with self._ahead.held():
                return await one.write(lambda tx: copying.move(tx, source, uids, target, op_id))

    async def expunge(
        self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Sequence[Uid] | None,
        *,
        only_deleted: bool = True,
    ) -> tuple[list[Uid], ModSeq]:
        """Removes messages; their UIDs, ascending."""
        async with self._use(account) as one:
            with self._ahead.held():
                return await one.write(
                    lambda tx: expunging.expunge(tx, mailbox, uids, only_deleted=only_deleted),
                    vital=True,
                )

    async def search(self, account: AccountId, mailbox: MailboxId, query: SearchNode) -> list[Uid]:
        """UIDs that match, ascending."""
        view = await self.view(account, mailbox)
        memory, pool = self._memory, self._searchers
        async with self._use(account) as one:
            known, narrowed = await searching.find(one, view, query, memory, pool, self.turns)
            self._follower.mend(one.paths, one.index)
            if not narrowed.open:
                return narrowed.found
        return await evaluate.search(
            self, account, mailbox, query, view, known, narrowed=narrowed, pool=self._searchers
        )

    async def columns(
        self,
        account: AccountId,
        mailbox: MailboxId,
        uids: Sequence[int],
        wanted: Sequence[Column],
    ) -> Columns:
        """Some values of many messages at once."""
        gather = partial(columns.gather, partial(self._use, account), self._searchers)
        return await gather(mailbox, uids, wanted, partial(self.fetch, account, mailbox))

    async def index(self, account: AccountId, *, anew: bool = False) -> None:
        """Has the full-text index catch up now; `anew`: from nothing. Not part of the contract."""
        async with self._use(account) as one:
            await self._follower.index(one.paths, anew=anew)

    async def complete(self, account: AccountId) -> None:
        """Has all that is missing computed now. Not part of the contract."""
        async with self._use(account) as one:
            while await completing.complete_some(one):
                pass

    async def index_faults(self, account: AccountId) -> list[str]:
        """What is wrong with the full-text index (fsck). Not part of the contract."""
        async with self._use(account) as one:
            return await one.run(index_faults, one.paths, self._owner)

    async def quota(self, account: AccountId) -> Quota:
        """What the account uses now, and what it was promised."""
        async with (use := Use(self.accounts.ready, account)) as one:
            row = await one.read(tables.account_row)
        messages, size_bytes = self._promises.held(account)
        return Quota(
            row.used_bytes + size_bytes,
            use.room.limit_bytes,
            row.used_messages + messages,
            use.room.limit_messages,
        )
