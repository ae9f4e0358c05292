"""A SQLite file that all processes share: made, opened, and set aside when it cannot be read.

It knows no table. Whoever uses it must be able to begin anew without what was in the file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import apsw

from rmail_kernel.clock import Clock
from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner, alone, sync_directory

UNREADABLE = (apsw.CorruptError, apsw.NotADBError, apsw.SchemaChangeError)
"""What means that the file is of no use."""
_BESIDE = ("-wal", "-shm")


@dataclass(frozen=True, slots=True)
class SharedFile:
    """One such file.

    Attributes:
        path: its folder exists.
        busy_ms: how long one waits for another.
        synchronous: SQLite's pragma.
        prepare: checks an opened database, or makes its tables.
        told: hears under which name it was set aside, and why.
    """

    path: Path
    owner: Owner
    clock: Clock
    busy_ms: int
    synchronous: Literal["NORMAL", "FULL"]
    prepare: Callable[[apsw.Connection], None]
    told: Callable[[str, Exception], None]

    def open(self) -> apsw.Connection:
        """A connection; one process at a time, so that none sees half of a file.

        Raises:
            apsw.Error, OSError: there is none to be had.
        """
        with alone(self.path, self.owner):
            try:
                return self._open()
            except UNREADABLE as error:
                self._move_aside(error)
                return self._open()

    def set_aside(self, error: Exception) -> None:
        """Takes an unreadable file out of the way, as well as that can be done now."""
        with suppress(apsw.Error, OSError), alone(self.path, self.owner):
            self._move_aside(error)

    def _open(self) -> apsw.Connection:
        if not self.path.exists():  # opening an existing one would drop SQLite's own locks
            for suffix in _BESIDE:  # of a file that is gone
                self._beside(suffix).unlink(missing_ok=True)
            self.path.touch(FILE_MODE)
            self.owner.take(self.path)
        db = apsw.Connection(str(self.path))
        try:
            db.set_busy_timeout(self.busy_ms)
            db.execute("PRAGMA journal_mode=WAL").fetchall()
            db.execute(f"PRAGMA synchronous={self.synchronous}")
            self.prepare(db)
        except apsw.Error:
            db.close()
            raise
        for suffix in _BESIDE:
            with suppress(FileNotFoundError):
                self.owner.take(self._beside(suffix))
        sync_directory(self.path.parent)
        return db

    def _move_aside(self, error: Exception) -> None:
        aside = f"{self.path}.unreadable-{int(self.clock.time())}"
        for suffix in ("", *_BESIDE):
            with suppress(FileNotFoundError):
                self._beside(suffix).rename(f"{aside}{suffix}")
        self.told(aside, error)

    def _beside(self, suffix: str) -> Path:
        return Path(f"{self.path}{suffix}")


def is_new(db: apsw.Connection, version: int) -> bool:
    """Whether a database has no tables yet; if not, it is of this version and whole.

    Raises:
        apsw.Error: one of UNREADABLE: it is neither.
    """
    found = db.execute("PRAGMA user_version").fetchall()[0][0]
    if found == 0:
        return True
    if found != version:
        raise apsw.SchemaChangeError(f"a database of version {found}")
    if db.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
        raise apsw.CorruptError("quick_check failed")
    return False


@contextmanager
def transaction(db: apsw.Connection, begin: str = "BEGIN IMMEDIATE") -> Iterator[None]:
    """All or nothing."""
    db.execute(begin)
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise
