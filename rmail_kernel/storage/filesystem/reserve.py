"""Room on the disk that is kept for removing mail: on a full disk a user must be able to delete.

A file of a fixed size, given up in slices when an operation that makes room finds none. While it is
not whole again, nothing that makes the store grow is taken.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import apsw

from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner

SLICES = 16
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class Reserve:
    """The reserve of a store. All methods block, for microseconds unless it has to be made.

    Args:
        path: its file.
        size_bytes: how much is kept.
    """

    def __init__(self, path: Path, size_bytes: int, owner: Owner) -> None:
        self._path = str(path)
        self._size_bytes = size_bytes
        self._owner = owner

    def require(self) -> None:
        """Makes sure that it is there, before the store grows.

        Raises:
            Temporary: the disk is full.
        """
        try:
            if os.stat(self._path).st_size >= self._size_bytes:
                return
        except FileNotFoundError:
            pass
        if not self._keep():
            raise Temporary("The disk is full")

    def _keep(self) -> bool:
        """Makes it whole, unless that would take what somebody is about to use."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            self._owner.take(fd)
            found = os.fstatvfs(fd)
            if 4 * found.f_bavail * found.f_frsize < 5 * self._size_bytes:
                return False
            os.posix_fallocate(fd, 0, self._size_bytes)
            return True
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            os.ftruncate(fd, 0)
            return False
        finally:
            os.close(fd)

    def release(self) -> None:
        """Gives up a slice: whoever filled the disk may take what gets free."""
        try:
            now = os.stat(self._path).st_size
        except FileNotFoundError:
            return
        os.truncate(self._path, max(0, now - self._size_bytes // SLICES))


def lacks_room(error: BaseException | None) -> bool:
    """Whether an operation failed since the disk is full."""
    while error is not None:
        if isinstance(error, apsw.FullError):
            return True
        if isinstance(error, apsw.IOError | apsw.CantOpenError):
            return True  # SQLite tells so of its shared memory, and of a log that it cannot make
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            return True
        error = error.__cause__
    return False
