"""Which processes hold leases of the queue, and which of them are dead.

Each locks a file of its own, `queue/owners/{name}.lock`; the lock ends with the process however it
dies, so that its work can be taken over before the lease is over.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner, make_directory


class Owners:
    """The lock files. `own` and `bury` run in the queue's thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = ""
        self._fd = -1

    def own(self) -> str:
        """The name of this process, locked from the first call on."""
        if self._fd < 0:
            owner = Owner.of(self._folder.parent)
            make_directory(self._folder, owner)
            name = f"{os.getpid()}-{os.urandom(8).hex()}"
            # Locked before it has its name, so that nobody ever finds it unlocked.
            aside = self._folder / f"{name}.new"
            fd = os.open(aside, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
            try:
                owner.take(fd)
                fcntl.flock(fd, fcntl.LOCK_EX)
                aside.rename(self._path(name))
            except BaseException:
                os.close(fd)
                raise
            self._name, self._fd = name, fd
        return self._name

    def dead(self) -> list[str]:
        """The names of processes that died and were not buried."""
        if not self._folder.is_dir():
            return []
        return [
            path.stem
            for path in self._folder.iterdir()
            if path.suffix == ".lock" and path.stem != self._name and _is_free(path)
        ]

    def bury(self, name: str) -> None:
        """Forgets a dead process, once it holds nothing."""
        self._path(name).unlink(missing_ok=True)

    def close(self) -> None:
        """Ends this owner; its leases are free for others. Idempotent."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.lock"


def _is_free(path: Path) -> bool:
    with suppress(FileNotFoundError, BlockingIOError):
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        finally:
            os.close(fd)
    return False
