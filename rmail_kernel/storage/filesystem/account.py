"""One account that is open in this process: its writer, its reading connections, its views.

Reads of few rows happen on the event loop (microseconds), larger ones in the pool. Every read first
makes sure that account.db is still the file it has open.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import apsw

from rmail_kernel import failpoints
from rmail_kernel.errors import NotFound, Temporary
from rmail_kernel.storage.filesystem import schema, tables, unsettled, views
from rmail_kernel.storage.filesystem.batch import Batches, Work, translate
from rmail_kernel.storage.filesystem.damage import UNREADABLE, Identity, is_damage
from rmail_kernel.storage.filesystem.fulltext import Index
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Shard, Transaction
from rmail_kernel.storage.filesystem.turn import Turn
from rmail_kernel.storage.filesystem.unsettled import Unsettled
from rmail_kernel.storage.filesystem.writer import Writer
from rmail_kernel.storage.mail import Changes, MailboxView

T = TypeVar("T")
_ATTEMPTS = 5
_HANDY = 50_000  # messages of a view that costs next to nothing to copy
_BUSY_MS = 1000  # readers wait only while somebody recovers a log, and the loop waits with them


class Moved(Exception):
    """account.db is not the file that is open."""


class Reader:
    """A connection that only reads, used by one thread at a time."""

    def __init__(self, paths: AccountPaths) -> None:
        self._path = str(paths.database)
        identity = Identity.of(self._path)
        if identity is None:
            raise Moved
        self.db = schema.connect(paths.database, _BUSY_MS)
        self.db.execute("PRAGMA query_only=1")
        self._look = self.db.cursor()  # kept: to make one is dearer than the look
        opened = Identity.of(self._path)  # with its log, now that it is open
        self._identity = opened if opened and identity.is_file(opened) else identity

    def check(self) -> None:
        """Raises Moved if the database was deleted, replaced or cut short."""
        if not self._identity.is_at(self._path):
            raise Moved

    def version(self) -> int:
        """A number that differs after every commit by anybody else."""
        return int(self._look.execute("PRAGMA data_version").get)


@contextmanager
def snapshot(db: apsw.Connection) -> Iterator[None]:
    """All queries inside see the same state."""
    db.execute("BEGIN")
    try:
        yield
    finally:
        if db.in_transaction:
            db.execute("COMMIT")


class OpenAccount:
    """See the module.

    Attributes:
        users: how many calls are using it now.
        used_at: when somebody began to use it last, by the loop's clock.
        device: the file system that it lies on.
        has_lost: a sync failed, so files of messages may not be what was written.
    """

    def __init__(
        self,
        paths: AccountPaths,
        batches: Batches,
        pool: ThreadPoolExecutor,
        changed: Callable[[dict[int, int]], None],
    ) -> None:
        self.paths = paths
        self.index = Index(paths)
        self.users = 0
        self.used_at = 0.0
        self.is_closed = False
        self.looked_at: dict[int, float] = {}
        self._pool = pool
        self._batches = batches
        self.device = batches.device
        self.has_lost = False
        self._writer = Writer(batches, pool, changed)
        self._written_at = 0.0
        self._reader: Reader | None = None
        self._turn = Turn()
        self._version = -1
        self._boxes: dict[str | int, MailboxRow] = {}
        self._views: dict[int, MailboxView] = {}
        self._loading = asyncio.Lock()
        self._large: Reader | None = None
        self._large_lock = threading.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether nobody uses it."""
        return not self.users and self._writer.is_idle

    @property
    def is_reading(self) -> bool:
        """Whether it has a connection for small reads."""
        return self._reader is not None

    def rests_after(self, now: float, reader_s: float, writer_s: float) -> bool:
        """Whether there is something to give back by `rest` with the same arguments."""
        is_due = self.is_reader_due(now, reader_s) or self._is_writer_due(now, reader_s, writer_s)
        return is_due and self.is_idle

    def is_reader_due(self, now: float, reader_s: float) -> bool:
        """Whether it reads no longer after `rest` with the same arguments."""
        has_any = self._reader is not None or self._large is not None
        return has_any and now - self.used_at >= reader_s

    def _is_writer_due(self, now: float, reader_s: float, writer_s: float) -> bool:
        pause_s = writer_s if self._batches.has_written else reader_s
        return self._batches.is_open and now - self._written_at >= pause_s

    async def rest(self, now: float, reader_s: float, writer_s: float) -> None:
        """Gives back what it holds and has not used for so long; the next call makes it anew.

        Args:
            now: the time, by the loop's clock.
            reader_s: since it was used, for what reads, and for a writer that has written nothing.
            writer_s: since it wrote, for a writer that has.
        """
        closes_writer = self._is_writer_due(now, reader_s, writer_s)
        if self.is_reader_due(now, reader_s):
            reader, self._reader = self._reader, None
            self._drop_reader()
            # In the pool: if it is the last one to close, the log is written back.
            await self.run(self._close_readers, reader)
        if closes_writer:
            self._written_at = now  # if it cannot be now, it is tried again after a while
        await self._writer.rest(closes=closes_writer)

    def _close_readers(self, reader: Reader | None) -> None:
        if reader is not None:
            reader.db.close()
        self._close_large()
        self.index.rest()

    async def close(self) -> None:
        """Finishes what was submitted and closes everything."""
        self.is_closed = True
        await self._writer.drain()
        if self._reader is not None:
            self._reader.db.close()
        self._reader = None
        await self.run(self._close_large)  # a query whose caller was cancelled may still run
        self.index.close()
        await self._writer.close()  # the last to close writes the log back, in the pool

    @contextmanager
    def used(self) -> Iterator[None]:
        """While it is used, it is not closed to make room for others."""
        self.users += 1
        try:
            yield
        finally:
            self.users -= 1

    @property
    def notes(self) -> Mapping[Shard, int]:
        """The mtimes that this process left shards with and has yet to store."""
        return self._batches.notes

    def forget_looks(self) -> None:
        """Has the next read look for changes from outside again."""
        self.looked_at.clear()

    # -- writing ---------------------------------------------------------------------------

    async def write(
        self,
        run: Callable[[Transaction], T],
        *,
        alone: bool = False,
        durable: bool = True,
        vital: bool = False,
        before: Callable[[], None] | None = None,
        failed: Callable[[], None] | None = None,
    ) -> T:
        """Runs an operation in the next batch. It goes on when the caller is cancelled."""
        self._written_at = asyncio.get_running_loop().time()
        value: T = await self._writer.submit(Work(run, alone, durable, vital, before, failed))
        return value

    async def sync_files(
        self, found: Sequence[Unsettled], *, is_synced: bool, before: Callable[[], None]
    ) -> None:
        """Makes the files of acknowledged messages durable, and drops the rows that were.

        Args:
            found: what is unsettled, as it was listed just now.
            is_synced: since then the file system was synced.
            before: done on the way to the rows, in the pool.
        """
        try:
            if self.has_lost:
                raise Temporary("A file could not be written")
            keys = [one.key for one in found]
            if not is_synced:
                keys = await self.run(self._batches.sync_files, found)
        except Temporary:
            self.has_lost = True  # a disk tells of a failure only once
            await self.write(unsettled.rewrite, alone=True, vital=True)
            self.has_lost = False
            keys = [one.key for one in found]
        failpoints.reach("unsettled.synced")
        await self.write(
            lambda tx: unsettled.forget(tx, keys), durable=False, vital=True, before=before
        )

    async def run(
        self, function: Callable[..., T], *arguments: Any, pool: Executor | None = None
    ) -> T:
        """Runs blocking work that is not a transaction in the pool (None: that of the store)."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(pool or self._pool, function, *arguments)
        except (OSError, apsw.Error) as error:
            raise translate(error) from error

    # -- reading ---------------------------------------------------------------------------

    async def read(self, query: Callable[[apsw.Connection], T]) -> T:
        """Runs a small query on the loop, on the newest state.

        Raises:
            Temporary: the database cannot be read now; and whatever `query` raises.
        """
        for _ in range(_ATTEMPTS):
            try:
                return query(self._fresh())
            except Moved:
                await self._reopen()
            except (OSError, apsw.Error) as error:
                if not is_damage(error):
                    raise translate(error) from error
                await self._repair()
        raise Temporary("The account's database cannot be read")

    async def read_large(
        self, query: Callable[[apsw.Connection], T], pool: Executor | None = None
    ) -> T:
        """Runs a query in the pool (None: that of the store), on the newest state.

        Raises:
            Temporary: the database cannot be read now; and whatever `query` raises.
        """
        loop = asyncio.get_running_loop()
        for _ in range(_ATTEMPTS):
            try:
                return await loop.run_in_executor(pool or self._pool, self._query_large, query)
            except Moved:
                await self._reopen()
            except (OSError, apsw.Error) as error:
                if not is_damage(error):
                    raise translate(error) from error
                await self._repair()
        raise Temporary("The account's database cannot be read")

    def _query_large(self, query: Callable[[apsw.Connection], T]) -> T:
        with self._large_lock:
            if self._large is None:
                self._large = Reader(self.paths)
            try:
                self._large.check()
                return query(self._large.db)
            except (Moved, *UNREADABLE):
                self._large.db.close()
                self._large = None
                raise

    def _close_large(self) -> None:
        with self._large_lock:
            if self._large is not None:
                self._large.db.close()
            self._large = None

    def _fresh(self) -> apsw.Connection:
        if self._reader is None:
            raise Moved
        if not self._turn.is_new() and self._version >= 0:
            return self._reader.db
        seen, self._version = self._version, -1  # if this look fails, the next one looks again
        self._reader.check()
        version = self._reader.version()
        if version != seen:
            self._boxes.clear()
        self._version = version
        return self._reader.db

    async def _reopen(self) -> None:
        """Has the writer make sure that there is a sound database, and opens it for reading."""
        await self.write(_nothing, durable=False, vital=True)
        self._drop_reader()
        self.used_at = asyncio.get_running_loop().time()
        try:
            self._reader = await asyncio.get_running_loop().run_in_executor(
                self._pool, Reader, self.paths
            )
        except Moved:
            return  # deleted again already; the next attempt finds out
        except (OSError, apsw.Error) as error:
            if not is_damage(error):
                raise translate(error) from error
            await self._repair()

    async def _repair(self) -> None:
        await self.write(_examine, durable=False, vital=True)
        self._drop_reader()

    def _drop_reader(self) -> None:
        if self._reader is not None:
            self._reader.db.close()
        self._reader = None
        self._boxes.clear()
        self._version = -1

    # -- mailboxes -------------------------------------------------------------------------

    async def box(self, mailbox: str | int) -> MailboxRow:
        """A mailbox as it is now; not to be changed. NotFound."""
        return await self.read(lambda db: self.known_box(db, mailbox))

    def known_box(self, db: apsw.Connection, mailbox: str | int) -> MailboxRow:
        """The same inside of a `read`, together with other queries. NotFound."""
        found = self._boxes.get(mailbox)
        if found is None:
            found = tables.find_mailbox(db, mailbox)
            if found is None:
                self._forget(mailbox)
                raise NotFound("No such mailbox", mailbox=mailbox)
            self._boxes[mailbox] = found
        return found

    def _forget(self, mailbox: str | int) -> None:
        """Keeps nothing of a mailbox that is gone."""
        if isinstance(mailbox, int):
            for kept in (self._views, self.looked_at, self.index.reaches, self.index.seen):
                kept.pop(mailbox, None)

    async def changes(self, mailbox: int, since: int) -> Changes:
        """What happened in a mailbox after `since`."""
        row, found = await self.read(lambda db: self._changes(db, mailbox, since, views.FEW))
        if found is None:
            return await self.read_large(lambda db: _all_changes(db, mailbox, since))
        view = self._views.get(mailbox)
        if view is not None and since == view.modseq < found.upto and row.total <= _HANDY:
            newer = views.advance(view, row, found)  # so that it need not be read once more
            if newer is not None:
                self._views[mailbox] = newer
        return found

    def is_unchanged(self, mailbox: int, since: int) -> bool:
        """Whether a look at the files tells that nothing happened in a mailbox after `since`."""
        known = self._box_at_hand(mailbox)
        return known is not None and known.floor <= since == known.highestmodseq

    def view_at_hand(self, mailbox: int) -> MailboxView | None:
        """What `view` gives, if it is loaded and nothing happened since."""
        view, row = self._views.get(mailbox), self._box_at_hand(mailbox)
        if view is None or row is None:
            return None
        is_newest = (view.modseq, view.uidnext) == (row.highestmodseq, row.uidnext)
        return view if is_newest else None

    def folder(self, mailbox: int) -> str | None:
        """Where the messages of a mailbox lie, if its name is known now."""
        row = self._box_at_hand(mailbox)
        return None if row is None else str(self.paths.mailbox(row.name))

    def _box_at_hand(self, mailbox: int) -> MailboxRow | None:
        """A mailbox as it is now, if a look at the files tells that it is still what it was."""
        try:
            self._fresh()
        except (Moved, OSError, apsw.Error):
            return None
        return self._boxes.get(mailbox)

    def _changes(
        self, db: apsw.Connection, mailbox: int, since: int, limit: int
    ) -> tuple[MailboxRow, Changes | None]:
        known = self._boxes.get(mailbox)
        if known is not None and known.floor <= since and known.highestmodseq <= since:
            return known, views.no_changes(known, since)
        db.execute("BEGIN")  # as `snapshot`, for what each command does
        try:
            row = tables.mailbox_row(db, mailbox)
            if row is None:
                raise NotFound("No such mailbox", mailbox=mailbox)
            self._boxes[mailbox] = row
            return row, views.read_changes(db, row, since, limit)
        finally:
            if db.in_transaction:
                db.execute("COMMIT")

    async def view(self, mailbox: str | int) -> MailboxView:
        """The newest view of a mailbox, shared in this process."""
        known = mailbox if isinstance(mailbox, int) else (await self.box(mailbox)).id
        view = self._views.get(known)
        if view is not None:
            since = view.modseq
            row, changes = await self.read(lambda db: self._changes(db, known, since, views.FEW))
            if (since, view.uidnext) == (row.highestmodseq, row.uidnext):
                return view
            newer = self._views.get(known)  # another call may have advanced it meanwhile
            if newer is view and changes is not None:
                view = views.advance(view, row, changes)
                if view is not None:
                    self._views[known] = view
                    return view
        async with self._loading:  # of several that ask, one loads
            row = await self.box(known)
            view = self._views.get(row.id)
            if view is None or (view.modseq, view.uidnext) != (row.highestmodseq, row.uidnext):
                view = await self._load(row)
        return view

    async def _load(self, row: MailboxRow) -> MailboxView:
        read = self.read if row.total <= views.FEW else self.read_large
        view = await read(lambda db: _load(db, row.id))
        known = self._views.get(row.id)
        if known is None or known.modseq <= view.modseq:
            self._views[row.id] = view
        return view


def _load(db: apsw.Connection, mailbox: int) -> MailboxView:
    with snapshot(db):
        row = tables.mailbox_row(db, mailbox)
        if row is None:
            raise NotFound("No such mailbox", mailbox=mailbox)
        return views.load(db, row)


def _all_changes(db: apsw.Connection, mailbox: int, since: int) -> Changes:
    with snapshot(db):
        row = tables.mailbox_row(db, mailbox)
        if row is None:
            raise NotFound("No such mailbox", mailbox=mailbox)
        found = views.read_changes(db, row, since)
    if found is None:
        raise AssertionError("without a limit there is always an answer")
    return found


def _nothing(_: Transaction) -> None:
    """An operation that only has the database opened, checked and recovered."""


def _examine(tx: Transaction) -> None:
    """Raises if the database is damaged, which has it rebuilt. Looks at the files: what the writer
    has in memory may be well.
    """
    db = schema.connect(tx.paths.database)
    try:
        faults = schema.faults(db) or views.faults(db)
        if faults:
            raise apsw.CorruptError(faults[0])
        tables.mailbox_rows(db)  # they can be read
    finally:
        db.close()
