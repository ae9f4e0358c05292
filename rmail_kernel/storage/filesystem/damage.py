"""How it is noticed that account.db is no longer what is open, or no longer what was written.

Checks of the files behind a connection, and which errors mean damage. Changes nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import apsw

DAMAGE = (apsw.CorruptError, apsw.NotADBError)
UNREADABLE = (apsw.IOError, apsw.SQLError, *DAMAGE)
"""What errors of a database that has to be made anew are, among others."""
_LOST_PAGE = (apsw.SQLITE_IOERR_DATA, apsw.SQLITE_IOERR_SHORT_READ)


class Stale(apsw.CorruptError):
    """The database is older than what was answered: nothing in it is to be believed."""


def is_damage(error: BaseException) -> bool:
    """Whether an error means that the database has to be made anew; a page whose checksum is wrong
    counts as an I/O error for SQLite, and so does a page that the log should have, but has not.
    Statements never change, so one that names what is not there tells of a damaged schema.
    """
    if isinstance(error, apsw.IOError):
        return getattr(error, "extendedresult", 0) in _LOST_PAGE
    if isinstance(error, apsw.SQLError):
        return str(error).startswith("no such ")
    return isinstance(error, DAMAGE)


def may_be_there(error: BaseException) -> bool:
    """Whether a commit that failed with this error may be whole in the log all the same, for the
    next one who opens the database to find: it was written, and the sync of the log failed.
    """
    if isinstance(error, apsw.FullError | apsw.BusyError):
        return False
    return getattr(error, "extendedresult", 0) != apsw.SQLITE_IOERR_WRITE


@dataclass(frozen=True, slots=True)
class Identity:
    """Which file is open as account.db, how large it was (it never shrinks by our doing), and which
    is its log (0: none yet), which stays while anybody has the database open.
    """

    device: int
    inode: int
    size_bytes: int
    log: int

    @classmethod
    def of(cls, path: str) -> Identity | None:
        """What lies at `path` now."""
        try:
            found = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            log = os.stat(f"{path}-wal").st_ino
        except FileNotFoundError:
            log = 0
        return cls(found.st_dev, found.st_ino, found.st_size, log)

    def is_at(self, path: str) -> bool:
        """Whether it still lies at `path` and has lost nothing, its log neither."""
        try:
            found = os.stat(path)
            if self.log and os.stat(f"{path}-wal").st_ino != self.log:
                return False
        except (FileNotFoundError, NotADirectoryError):
            return False
        return (found.st_dev, found.st_ino) == (self.device, self.inode) and (
            found.st_size >= self.size_bytes
        )

    def is_gone(self, now: Identity | None) -> bool:
        """Whether the file was deleted or replaced; it can still be read by who has it open."""
        return now is None or (now.device, now.inode) != (self.device, self.inode)

    def is_file(self, now: Identity | None) -> bool:
        """Whether `now` is the same file and has lost nothing; its log may be another."""
        return (
            now is not None
            and (now.device, now.inode) == (self.device, self.inode)
            and now.size_bytes >= self.size_bytes
        )
