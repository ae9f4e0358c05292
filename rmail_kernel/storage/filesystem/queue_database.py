"""`queue.db`: opened or rebuilt under a lock, and written in batches that share one sync.

The database is truth for what was changed after a job came in, the spool files for everything
else: when it is lost or damaged it is set aside and rebuilt from them. All of it runs in the
queue's own thread.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import apsw
import structlog

from rmail_kernel.clock import Clock
from rmail_kernel.errors import Corrupt, NotFound, RmailError, Temporary
from rmail_kernel.failpoints import reach
from rmail_kernel.storage.filesystem import queue_rows as rows
from rmail_kernel.storage.filesystem.chores import Chores
from rmail_kernel.storage.filesystem.disk import Owner, make_directory, sync_directory
from rmail_kernel.storage.filesystem.outcome import Outcome
from rmail_kernel.storage.filesystem.queue_files import SpoolFiles, Written
from rmail_kernel.storage.filesystem.shared_file import (
    UNREADABLE,
    SharedFile,
    is_new,
    transaction,
)

BUSY_MS = 10_000
ABANDONED_S = 3600.0
_log = structlog.get_logger("rmail.queue")


@dataclass(slots=True)
class Batch:
    """One transaction: `later` is done once it is committed; `chores` after that, and nobody waits
    for them.
    """

    db: apsw.Connection
    later: list[Callable[[], None]] = field(default_factory=list)
    chores: list[Callable[[], None]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Operation:
    """What somebody wants done within a batch; `written` is a spool file that needs its name.
    A batch that only looks waits for no writer.
    """

    run: Callable[[Batch], Any]
    written: Written | None = None
    is_looking: bool = False


class QueueDatabase:
    """The database and the spool of one store, as one process has them.

    Args:
        folder: `{mail_root}/queue`, made when absent.
    """

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / "queue.db"
        self._clock = clock
        owner = Owner.of(folder.parent)
        if not folder.exists():
            make_directory(folder, owner)
            sync_directory(folder.parent)
        self.files = SpoolFiles(folder / "spool", owner)
        self._file = SharedFile(
            self._path, owner, clock, BUSY_MS, "FULL", self._prepare, _tell_of_loss
        )
        self._chores = Chores()
        self._inode = 0
        self._db: apsw.Connection | None = None

    def close(self) -> None:
        """Finishes what is left to do and lets go of the file. Idempotent."""
        self._chores.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None

    def run(self, operations: Sequence[Operation]) -> list[Outcome]:
        """Does all operations in one transaction. An operation that raises one of our errors has
        changed nothing and harms no other; when the disk fails, all of them fail.
        """
        placed: list[Written] = []
        try:
            return self._run(operations, placed)
        except (apsw.Error, OSError) as error:
            _log.error("the queue does not work now", reason=repr(error))
            self._give_up(placed, error)
            failure = Temporary("The queue does not take it now", reason=repr(error))
            return [Outcome(error=failure) for _ in operations]

    def _run(self, operations: Sequence[Operation], placed: list[Written]) -> list[Outcome]:
        db = self._opened()
        for operation in operations:
            if operation.written is not None:
                self.files.place(operation.written)
                placed.append(operation.written)
        if placed:
            reach("queue.placed")
        if any(written.raw is None for written in placed):
            self.files.sync()
        batch = Batch(db)
        is_looking = all(operation.is_looking for operation in operations)
        with transaction(db, "BEGIN" if is_looking else "BEGIN IMMEDIATE"):
            answers = [_answer(operation, batch) for operation in operations]
            reach("queue.before_commit")
        reach("queue.committed")
        for action in batch.later:
            with suppress(OSError):  # the sweep does it again
                action()
        self._chores.add(batch.chores)
        return answers

    def _give_up(self, placed: Sequence[Written], error: Exception) -> None:
        """What was not accepted must not be sent later."""
        for written in placed:
            with suppress(OSError):
                self.files.remove(written.name)
        if isinstance(error, UNREADABLE):
            self._let_go()
            self._file.set_aside(error)

    def _opened(self) -> apsw.Connection:
        """The connection to the file that has the name now."""
        if self._db is not None:
            with suppress(FileNotFoundError):
                if self._path.stat().st_ino == self._inode:
                    return self._db
            self._let_go()
        self._db = self._file.open()
        self._inode = self._path.stat().st_ino
        return self._db

    def _prepare(self, db: apsw.Connection) -> None:
        if is_new(db, rows.SCHEMA_VERSION):
            with transaction(db):
                db.execute(rows.SCHEMA)
                self._adopt(db, is_new=True)

    def sweep(self, batch: Batch) -> None:
        """Takes in files that were accepted and have no row, removes what a crash left over."""
        rows.prune(batch.db, self._clock.time())
        self._adopt(batch.db, is_new=False)
        before = self._clock.time() - ABANDONED_S
        for path in self.files.leftovers(before):
            path.unlink(missing_ok=True)

    def _adopt(self, db: apsw.Connection, *, is_new: bool) -> None:
        """Makes rows for files without any.

        Args:
            is_new: the database was lost, so that a file that was not marked as accepted may
                have been; otherwise it was not.
        """
        known = {row[0] for row in db.execute("SELECT DISTINCT file FROM job")}
        before = self._clock.time() - ABANDONED_S
        for name, is_accepted, written_at in list(self.files.names()):
            if name in known:
                continue
            if rows.is_finished(db, name):
                self.files.remove(name)
                continue
            if is_accepted or is_new:
                self._adopt_one(db, name)
            elif written_at < before:
                self.files.remove(name)

    def _adopt_one(self, db: apsw.Connection, name: str) -> None:
        try:
            spooled = self.files.read(name)
        except Corrupt as error:
            self.files.put_aside(name)
            _log.error("spool file put aside", file=name, reason=str(error), detail=error.fields)
            return
        except NotFound:  # finished meanwhile
            return
        if not spooled.jobs or rows.is_known(db, [one.job for one in spooled.jobs]):
            self.files.remove(name)
            return
        sizes = (spooled.head_bytes, spooled.size_bytes)
        rows.insert(db, spooled.jobs, name, spooled.created_at, *sizes)
        self.files.accept(name)


def _tell_of_loss(aside: str, error: Exception) -> None:
    _log.error("the queue is rebuilt from its files", aside=aside, reason=repr(error))


def _answer(operation: Operation, batch: Batch) -> Outcome:
    try:
        return Outcome(operation.run(batch))
    except RmailError as error:
        return Outcome(error=error)
