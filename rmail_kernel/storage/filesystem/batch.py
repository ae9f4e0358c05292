"""Running one batch of operations on an account: lock, check, transaction, sync, commit, follow-up.

All of it blocks and belongs in a pool thread. One operation that fails does not harm the others of
its batch; a failing disk fails them all, with nothing half-written.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import structlog

from rmail_kernel import failpoints
from rmail_kernel.errors import NotFound, RmailError, Temporary
from rmail_kernel.storage.filesystem import (
    followup,
    rebuild,
    recovery,
    schema,
    unsettled,
)
from rmail_kernel.storage.filesystem.damage import Identity, Stale, is_damage, may_be_there
from rmail_kernel.storage.filesystem.disk import Owner, make_directory
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.lock import AccountLock
from rmail_kernel.storage.filesystem.outcome import Outcome
from rmail_kernel.storage.filesystem.reserve import Reserve, lacks_room
from rmail_kernel.storage.filesystem.transaction import Shard, Transaction, mtimes
from rmail_kernel.storage.filesystem.unsettled import Unsettled

_log = structlog.get_logger("rmail.storage")


@dataclass(frozen=True, slots=True)
class Work:
    """One operation. `is_alone`: it has a batch for itself. `is_durable`: its commit is synced.
    `is_vital`: it makes room, or mail cannot be looked at without it, so it may use the reserve.
    `before`: what it does before the lock is taken; if that fails, it has failed. `failed`: what
    it does after it has failed.
    """

    run: Callable[[Transaction], Any]
    is_alone: bool = False
    is_durable: bool = True
    is_vital: bool = False
    before: Callable[[], None] | None = None
    failed: Callable[[], None] | None = None


class Batches:
    """The writing side of one account in one process. Used by one thread at a time.

    Attributes:
        device: the file system that it lies on.
        has_written: the connection that is open has changed something. Between batches.
    """

    def __init__(
        self,
        paths: AccountPaths,
        owner: Owner,
        time: Callable[[], float],
        reserve: Reserve | None = None,
    ) -> None:
        self._paths = paths
        self._reserve = reserve
        self._owner = owner
        self._time = time
        self._db: apsw.Connection | None = None
        self._identity: Identity | None = None
        if not paths.home.is_dir():
            raise NotFound("No such account")
        self.has_written = False
        self._is_fresh = True
        self._is_log_doubtful = False  # a sync of it failed
        self._is_synced = True  # every commit, unless somebody says otherwise
        self._log_pages = 0  # after the last commit
        self._notes: dict[Shard, int] = {}
        make_directory(paths.temporary, owner)
        self._home = os.open(paths.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            self._lock = AccountLock(paths.lock, owner)
            self.device = os.fstat(self._home).st_dev
        except BaseException:
            os.close(self._home)
            raise

    def close(self) -> None:
        """Closes database and lock file."""
        if self._db is not None:
            self._db.close()
            self._db = None
        self._lock.close()
        if self._home >= 0:
            os.close(self._home)
            self._home = -1

    @property
    def is_open(self) -> bool:
        """Whether it has a connection to the database."""
        return self._db is not None

    def rest(self, *, closes: bool) -> None:
        """Gives back what the connection holds in memory; `closes`: and the connection, which the
        next batch makes anew. Not if the next batch has to save what only the connection has.
        """
        if self._db is None:
            return
        try:
            if closes and not self._is_log_doubtful and self._is_current():
                self._db.close()
                self._db = self._identity = None
            else:
                self._db.release_memory()
        except apsw.Error as error:
            _log.warning("a database did not come to rest", error=str(error))

    def _is_current(self) -> bool:
        """Whether what is open is the database of the account."""
        return self._identity is not None and self._identity.is_at(str(self._paths.database))

    @property
    def notes(self) -> Mapping[Shard, int]:
        """The mtimes of shards that the next transaction notes; for any thread."""
        return self._notes

    def sync_files(self, found: Sequence[Unsettled]) -> list[int]:
        """Makes files durable, beside a batch that may run; see unsettled.sync."""
        return unsettled.sync(self._paths, self._home, found)

    def run(self, works: Sequence[Work]) -> tuple[list[Outcome], dict[int, int]]:
        """Runs a batch; outcomes in order, and the MODSEQ of each mailbox that changed."""
        early = {n: error for n, work in enumerate(works) if (error := self._prepare(work))}
        ready = [work for n, work in enumerate(works) if n not in early]
        outcomes, changes = self._run_with_room(ready) if ready else ([], {})
        left = iter(outcomes)
        found = [early.get(n) or next(left) for n in range(len(works))]
        for work, outcome in zip(works, found, strict=True):
            if outcome.error is not None and work.failed is not None:
                work.failed()
        return found, changes

    @property
    def is_log_long(self) -> bool:
        """Whether the log of the database is due to be written back."""
        return self._log_pages >= schema.CHECKPOINT_PAGES

    def write_back(self) -> None:
        """Has what the log holds written to the file: two syncs, so it comes when the callers of
        the batch have their answers. Without the lock: what is committed stays what it is. But who
        commits meanwhile keeps the log from its end, so one that is far too long has the lock.
        """
        is_alone = self._log_pages >= 2 * schema.CHECKPOINT_PAGES
        self._log_pages = 0  # the next commit tells again
        try:
            if is_alone:
                self._lock.acquire()
            try:
                failpoints.reach("log.before")
                if self._db is not None:
                    schema.first(self._db, "PRAGMA wal_checkpoint(PASSIVE)")
            finally:
                if is_alone:
                    self._lock.release()
        except (OSError, apsw.Error) as error:
            _log.warning("the log of the database grows", error=str(error))

    def _grown(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        """Told by SQLite after each commit, in place of writing the log back in it."""
        self._log_pages = pages
        return apsw.SQLITE_OK

    def _prepare(self, work: Work) -> Outcome | None:
        try:
            if self._reserve is not None and not work.is_vital:
                self._reserve.require()
            if work.before is not None:
                work.before()
        except Exception as error:  # noqa: BLE001 - the caller is told, the others go on
            return Outcome(error=translate(error))
        return None

    def _run_with_room(self, works: Sequence[Work]) -> tuple[list[Outcome], dict[int, int]]:
        """Runs a batch; what is vital and found no room once more, with the reserve given up."""
        outcomes, changes = self._run(works)
        short = [n for n, one in enumerate(outcomes) if lacks_room(one.error)]
        short = [n for n in short if works[n].is_vital]
        if not short or self._reserve is None:
            return outcomes, changes
        _log.warning("the disk is full, its reserve is given up", path=str(self._paths.home))
        try:
            self._reserve.release()
        except OSError:
            return outcomes, changes
        again, more = self._run([works[n] for n in short])
        self._restart_log()
        for n, outcome in zip(short, again, strict=True):
            outcomes[n] = outcome
        return outcomes, changes | more

    def _restart_log(self) -> None:
        """Has the log of the database begin at its start again, so that it need not grow."""
        try:
            if self._db is not None:
                self._db.execute("PRAGMA wal_checkpoint(RESTART)")
        except apsw.Error as error:
            _log.warning("the log of the database still grows", error=str(error))

    def _renew_log(self, db: apsw.Connection) -> None:
        """Has all that the log holds written to the file, and synced there: of a log whose sync
        failed, what can be read is not what is on disk, also where later syncs succeed.
        """
        is_busy, _, _ = schema.first(db, "PRAGMA wal_checkpoint(RESTART)") or (1, 0, 0)
        if is_busy:
            raise Temporary("The log of the database is in use")
        self._is_log_doubtful = False
        _log.warning("the log of the database was begun anew", path=str(self._paths.database))

    def _run(self, works: Sequence[Work]) -> tuple[list[Outcome], dict[int, int]]:
        try:
            self._lock.acquire()
            try:
                return self._run_locked(works)
            finally:
                self._lock.release()
                self.has_written = self._db is not None and self._db.total_changes() > 0
        except Exception as error:  # noqa: BLE001 - every caller of the batch waits for an answer
            return [Outcome(error=translate(error)) for _ in works], {}

    def _run_locked(self, works: Sequence[Work]) -> tuple[list[Outcome], dict[int, int]]:
        try:
            return self._commit(self._open(), works)
        except apsw.Error as error:
            if not is_damage(error):
                raise
            _log.error(
                "account database is damaged", path=str(self._paths.database), error=str(error)
            )
            self._rebuild(is_believed=not isinstance(error, Stale))
            return self._commit(self._open(), works)

    def _open(self) -> apsw.Connection:
        """The connection, to the file that is account.db now; made anew if there is none."""
        path = str(self._paths.database)
        if self._db is not None and self._identity is not None and self._identity.is_at(path):
            return self._db
        now = Identity.of(path)
        known = max(self._leave(now), self._lock.modseq)
        if now is None:
            self._rebuild()
        self._identity = None  # it is taken for open when it is in order
        if schema.migrate(self._paths.database):
            _log.info("index migrated", path=str(self._paths.database))
        self._db = schema.connect(self._paths.database)
        self._db.set_wal_hook(self._grown)
        self._is_fresh = self._is_synced = True
        if rebuild.is_stale(self._db, self._paths, known):
            raise Stale("older than the files")
        if recovery.is_needed(self._db, self._paths):
            self._recover(self._db)
        self._identity = Identity.of(path)
        return self._db

    def _leave(self, now: Identity | None) -> int:
        """Closes a connection whose file or log is gone; the MODSEQ it knew, if its file is still
        there. The log may be in its hands alone: then it goes into the file first. So may all that
        the database knows: then the files say it first.
        """
        if self._db is None:
            return 0
        known = 0
        if self._identity is not None and self._identity.is_gone(now) and self._is_same_home():
            rebuild.rescue(self._db, self._paths, self._owner, self._lock.modseq)
        try:
            if self._identity is not None and self._identity.is_file(now):
                known = int(schema.value(self._db, "SELECT modseq FROM account"))
                if now is not None and not now.log:
                    self._db.execute("PRAGMA wal_checkpoint(PASSIVE)")
        except apsw.Error as error:
            _log.warning("a lost log could not be saved", error=str(error))
        self._db.close()
        self._db = None
        return known

    def _is_same_home(self) -> bool:
        """Whether the account is the one that was opened, not another of its name."""
        held, now = os.fstat(self._home), os.stat(self._paths.home)
        return (held.st_dev, held.st_ino) == (now.st_dev, now.st_ino)

    def _rebuild(self, *, is_believed: bool = True) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        if not self._paths.home.is_dir():
            raise NotFound("No such account")
        now = int(self._time())
        modseq = self._lock.modseq
        rebuild.rebuild(self._paths, self._owner, now, is_believed=is_believed, known_modseq=modseq)

    def _commit(
        self, db: apsw.Connection, works: Sequence[Work]
    ) -> tuple[list[Outcome], dict[int, int]]:
        if self._is_log_doubtful:
            self._renew_log(db)
        if self._lock.has_intent or (self._is_fresh and _is_behind(db)):
            self._recover(db)
        self._is_fresh = False
        is_durable = any(work.is_durable for work in works)
        tx = self._begin(db, is_durable=is_durable)
        try:
            outcomes = [_one(tx, work, is_alone=len(works) == 1) for work in works]
            tx.sync()
            failpoints.reach("commit.before")
        except BaseException:
            self._roll_back(tx)
            raise
        try:
            self._end(db)
        except BaseException as error:
            if not may_be_there(error):
                self._roll_back(tx)
            raise  # else the files stay, and the intent that announces them: recovery comes next
        failpoints.reach("commit.after")
        if is_durable:
            self._note(tx.account.modseq)
        self._follow(db, tx)
        return outcomes, tx.changes

    def _begin(self, db: apsw.Connection, *, is_durable: bool) -> Transaction:
        if is_durable != self._is_synced:
            db.execute("PRAGMA synchronous=FULL" if is_durable else "PRAGMA synchronous=NORMAL")
            self._is_synced = is_durable
        db.execute("BEGIN IMMEDIATE")
        try:
            now = int(self._time())
            tx = Transaction(self._paths, self._owner, db, self._lock, now, self._notes)
            if tx.account.modseq < self._lock.modseq:
                raise Stale("commits are lost")
            return tx
        except BaseException:
            db.execute("ROLLBACK")
            raise

    def _end(self, db: apsw.Connection) -> None:
        try:
            db.execute("COMMIT")
        except BaseException as error:
            self._is_log_doubtful = may_be_there(error)
            self._abandon(db)
            raise
        self._notes = {}  # they are in it

    def _note(self, modseq: int) -> None:
        try:
            self._lock.note(modseq)
        except OSError as error:
            _log.warning("a commit was not noted", error=str(error))  # an earlier one is

    def _roll_back(self, tx: Transaction) -> None:
        try:
            tx.undo_files()
        finally:
            if tx.db.in_transaction:
                tx.db.execute("ROLLBACK")
        self._lock.settle()

    def _recover(self, db: apsw.Connection) -> None:
        """What is done for a holder that died, or after a power loss: in two transactions, if files
        were announced, the first one for nothing but to be there.

        The holder may have been killed between writing its commit to the log and saying so in the
        shared index. Others go on without that commit, but whoever opens the database after them
        finds it (https://www.sqlite.org/walformat.html, 2.3), rows of files that were removed since
        nobody saw it. So a durable commit takes its place in the log, before anything is removed.
        """
        make_directory(self._paths.temporary, self._owner)  # nobody needs it, so it may be gone
        if self._lock.has_intent:
            self._transact(db, Transaction.next_modseq, is_durable=True)
        intents = self._lock.intents()
        self._transact(db, lambda tx: recovery.recover(tx, intents), is_durable=False)
        self._lock.settle()

    def _transact(
        self, db: apsw.Connection, run: Callable[[Transaction], object], *, is_durable: bool
    ) -> None:
        tx = self._begin(db, is_durable=is_durable)
        try:
            run(tx)
            tx.sync()
            self._end(db)
        except BaseException:
            self._abandon(db)
            raise

    @staticmethod
    def _abandon(db: apsw.Connection) -> None:
        if db.in_transaction:
            db.execute("ROLLBACK")

    def _follow(self, db: apsw.Connection, done: Transaction) -> None:
        """Has the files follow the commit. It stands, whatever happens here."""
        is_few = len(done.unlinks) + len(done.renames) <= followup.AT_ONCE
        are_names_next = is_few and not done.has_directories
        try:
            shards = done.own_shards(has_names=are_names_next)
            done.land(shards)
            if are_names_next:
                followup.files(done.paths, done.unlinks, done.renames)
            self._notes = mtimes(shards)
            if done.has_directories:
                self._follow_directories(db, done, is_few=is_few)
        except Exception as error:  # noqa: BLE001 - the commit stands, callers must hear so
            self._abandon(db)
            _log.warning("files do not follow yet", error=str(error))
            return  # the intent stays, so the next batch completes it
        failpoints.reach("followup.after")
        self._lock.settle()

    def _follow_directories(self, db: apsw.Connection, done: Transaction, *, is_few: bool) -> None:
        tx = self._begin(db, is_durable=False)
        followup.directories(tx)
        if is_few:
            followup.watched_files(tx, done.unlinks, done.renames)
        tx.note_shards()
        self._end(db)


def _is_behind(db: apsw.Connection) -> bool:
    """Whether files may lag behind the rows: after a power loss no intent tells."""
    tables = ("incoming", "pending_directory")
    return any(schema.first(db, f"SELECT 1 FROM {name} LIMIT 1") for name in tables)  # noqa: S608 - constants


def _one(tx: Transaction, work: Work, *, is_alone: bool) -> Outcome:
    mark = tx.begin(is_alone=is_alone)
    try:
        value = work.run(tx)
        tx.end()
    except Exception as error:
        if is_damage(error):
            raise
        tx.undo(mark)
        if not tx.db.in_transaction:
            raise  # SQLite gave up the whole transaction: no room, or an I/O error
        return Outcome(error=translate(error))
    return Outcome(value=value)


def translate(error: Exception) -> Exception:
    """The error for the caller: trouble with the disk is Temporary, without its text."""
    if isinstance(error, RmailError):
        return error
    if not isinstance(error, OSError | apsw.Error):
        _log.error("storage operation failed", exc_info=error)
        return error
    _log.warning("storage trouble", error=str(error))
    found = Temporary("The store does not answer at the moment", error=str(error))
    found.__cause__ = error
    return found
