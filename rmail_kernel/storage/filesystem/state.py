"""Shared small state in one SQLite file: counters over sliding windows, and marks with an end.

Calls take microseconds and run on the loop; only what syncs to disk runs in a thread. Nothing here
is truth: an unreadable database is moved aside and begun anew. It never grows past its bounds.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import apsw
import structlog

from rmail_kernel.errors import ConfigError, Temporary
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.shared_file import (
    UNREADABLE,
    SharedFile,
    is_new,
    transaction,
)

if TYPE_CHECKING:
    from rmail_kernel.clock import Clock

SCHEMA_VERSION = 1
EXACT_ROWS = 256  # events of a key that keep their own time; more share slots of the window
SLOTS = 64
MAX_COUNTERS = 100_000  # rows
MAX_MARKS = 50_000
SWEEP_EVERY = 512  # writes
CHECKPOINT_PAGES = 1000
MAX_JOURNAL_PAGES = 4000  # 16 MB
BUSY_MS = 1000
_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS hits(key TEXT, at REAL, n INTEGER, ends_at REAL,
    PRIMARY KEY(key, at)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS hits_end ON hits(ends_at);
CREATE TABLE IF NOT EXISTS marks(key TEXT PRIMARY KEY, ends_at REAL, value TEXT) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS marks_end ON marks(ends_at);
PRAGMA user_version={SCHEMA_VERSION};
"""
_TALLY = "SELECT count(*), coalesce(sum(n), 0) FROM hits WHERE key = ? AND at > ?"
_HIT = """INSERT INTO hits VALUES(?, ?, 1, ?)
    ON CONFLICT DO UPDATE SET n = n + 1, ends_at = max(ends_at, excluded.ends_at)"""
_MARKS = """SELECT key, ends_at - ?1, value FROM marks
    WHERE key BETWEEN ?2 AND ?3 AND ends_at > ?1 ORDER BY key"""
T = TypeVar("T")
_log = structlog.get_logger("rmail.state")


class SqliteState:
    """The State contract on one SQLite file that all processes share.

    Args:
        path: the database; its folder exists.
        clock: wall-clock time, the same for all processes.

    Raises:
        ConfigError: the file cannot be opened or made.
    """

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._writes = 0
        self._file = SharedFile(
            path, Owner.of(path.parent), clock, BUSY_MS, "NORMAL", self._prepare, _tell_of_loss
        )  # NORMAL: `mark` syncs by itself
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rmail-state")
        self._is_checkpointing = False
        try:
            self._db = self._file.open()
        except (apsw.Error, OSError) as error:
            raise ConfigError(f"{path} cannot be opened: {error}", path="mail_root") from error

    async def close(self) -> None:
        """Lets go of the file. Idempotent."""
        self._thread.shutdown(wait=True)
        self._db.close()

    async def hit(self, key: str, window_s: float) -> int:
        """Counts one event; the number of events within the last `window_s` seconds, this one
        included.
        """
        return self._guarded(lambda: self._hit(key, window_s))

    async def count(self, key: str, window_s: float) -> int:
        """The number of events within the last `window_s` seconds."""
        since = self._clock.time() - window_s
        return self._guarded(lambda: self._tally(key, since)[1])

    async def clear(self, prefix: str) -> int:
        """Forgets counters and marks whose key starts with `prefix`; how many keys there were."""
        return self._guarded(lambda: self._clear(prefix))

    async def mark(self, key: str, ttl_s: float, value: str = "") -> None:
        """Sets a mark that ends by itself; on return it survives a power loss."""
        ends_at = self._clock.time() + ttl_s
        self._guarded(lambda: self._mark(key, ends_at, value))
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._thread, self._sync)
        except OSError as error:
            raise _trouble(error) from error

    async def marked(self, key: str) -> tuple[float, str] | None:
        """Seconds left and value of a mark, or None."""
        return self._guarded(lambda: self._marked(key))

    async def marks(self, prefix: str) -> list[tuple[str, float, str]]:
        """Key, seconds left and value of every live mark below a prefix, sorted."""
        return self._guarded(lambda: self._marks(prefix))

    # --- one transaction each

    def _hit(self, key: str, window_s: float) -> int:
        now = self._clock.time()
        with transaction(self._db):
            rows, events = self._tally(key, now - window_s)
            if rows >= EXACT_ROWS:  # a flood: late by up to a slot, so that it stays counted
                slot_s = window_s / SLOTS
                at = (now // slot_s + 1) * slot_s
            else:
                at = now
            self._db.execute(_HIT, (key, at, at + window_s))
        self._sweep_in_passing()
        return events + 1

    def _tally(self, key: str, since: float) -> tuple[int, int]:
        rows = self._db.execute(_TALLY, (key, since)).fetchall()
        return cast(list[tuple[int, int]], rows)[0]

    def _clear(self, prefix: str) -> int:
        within = (prefix, _end_of(prefix))
        with transaction(self._db):
            keys = self._db.execute(
                "SELECT key FROM hits WHERE key >= ?1 AND key < ?2"
                " UNION SELECT key FROM marks WHERE key >= ?1 AND key < ?2",
                within,
            ).fetchall()
            self._db.execute("DELETE FROM hits WHERE key >= ? AND key < ?", within)
            self._db.execute("DELETE FROM marks WHERE key >= ? AND key < ?", within)
        return len(keys)

    def _mark(self, key: str, ends_at: float, value: str) -> None:
        with transaction(self._db):
            self._db.execute("REPLACE INTO marks VALUES(?, ?, ?)", (key, ends_at, value))
        self._sweep_in_passing()

    def _marked(self, key: str) -> tuple[float, str] | None:
        found = self._between(key, key)
        return found[0][1:] if found else None

    def _marks(self, prefix: str) -> list[tuple[str, float, str]]:
        return self._between(prefix, _end_of(prefix))

    def _between(self, first: str, last: str) -> list[tuple[str, float, str]]:
        rows = self._db.execute(_MARKS, (self._clock.time(), first, last)).fetchall()
        return cast(list[tuple[str, float, str]], rows)

    def _sweep_in_passing(self) -> None:
        self._writes += 1
        if self._writes % SWEEP_EVERY:
            return
        now = self._clock.time()
        with transaction(self._db):
            for table, limit in (("hits", MAX_COUNTERS), ("marks", MAX_MARKS)):
                self._db.execute(f"DELETE FROM {table} WHERE ends_at <= ?", (now,))  # noqa: S608 - constants
                self._db.execute(
                    f"DELETE FROM {table} WHERE ends_at <= (SELECT ends_at FROM {table}"  # noqa: S608 - constants
                    " ORDER BY ends_at DESC LIMIT 1 OFFSET ?)",
                    (limit,),
                )

    def _guarded(self, work: Callable[[], T]) -> T:
        try:
            try:
                return work()
            except (*UNREADABLE, apsw.ConnectionClosedError):  # closed: it could not be begun anew
                self._db.close()
                self._db = self._file.open()
                return work()
        except (apsw.Error, OSError) as error:
            raise _trouble(error) from error

    # --- the file

    def _prepare(self, db: apsw.Connection) -> None:
        if is_new(db, SCHEMA_VERSION):
            with db:
                db.execute(_SCHEMA)
        db.set_wal_hook(self._committed)  # in place of checkpoints that sync on the loop

    def _sync(self) -> None:
        """Syncs the journal: all commits so far are durable, and no writer was kept waiting."""
        fd = os.open(f"{self._path}-wal", os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        if pages >= CHECKPOINT_PAGES and not self._is_checkpointing:
            self._is_checkpointing = True
            self._thread.submit(self._checkpoint, pages)
        return apsw.SQLITE_OK

    def _checkpoint(self, pages: int) -> None:
        """Moves the journal into the database. Writers go on meanwhile; when that has kept the
        journal from ever starting over, they wait for once.
        """
        mode = "PASSIVE" if pages < MAX_JOURNAL_PAGES else "RESTART"
        try:
            db = apsw.Connection(str(self._path))
            db.set_busy_timeout(BUSY_MS)
            db.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            db.close()
        except apsw.Error:
            _log.exception("checkpoint of shared state failed", path=str(self._path))
        finally:
            self._is_checkpointing = False


def _trouble(error: Exception) -> Temporary:
    return Temporary("Shared state cannot be used now", reason=repr(error))


def _tell_of_loss(aside: str, error: Exception) -> None:
    _log.warning("shared state is unreadable and begun anew", aside=aside, reason=repr(error))


def _end_of(prefix: str) -> str:
    """A text above every text that starts with `prefix`."""
    return prefix + "\U0010ffff"
