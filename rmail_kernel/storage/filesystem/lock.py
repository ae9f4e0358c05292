"""The lock of one account among processes, and the intent its holder leaves for the next one.

While a batch makes files whose rows are not committed, their UIDs stand in the lock file. A holder
that finds them there knows that the one before it died, and removes what has no row.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner

_MAX_INTENT_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Intent:
    """Files under way: `first` to `last` (inclusive) in the mailbox with this directory; or the
    directory itself, then both are 0.
    """

    directory: str
    first: int = 0
    last: int = 0

    @property
    def is_directory(self) -> bool:
        """Whether a new mailbox is under way."""
        return self.last == 0


class AccountLock:
    """flock on `account.lock`. One per process and account; held by one thread at a time."""

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path = str(path)
        self._owner = owner
        self._fd = self._open()
        self._end = 0

    def _open(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        self._owner.take(fd)
        return fd

    def acquire(self) -> None:
        """Waits for the lock. FileNotFoundError: the account is gone."""
        if self._fd < 0:
            self._fd = self._open()
        while True:
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            held = os.fstat(self._fd)
            try:
                now = os.stat(self._path)
            except FileNotFoundError:
                now = None
            if now is not None and (now.st_dev, now.st_ino) == (held.st_dev, held.st_ino):
                self._end = held.st_size
                return
            # The account was removed, or removed and made again: this lock excludes nobody.
            self.close()
            self._fd = self._open()

    def release(self) -> None:
        """Lets go of it; an intent stays for the next holder."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    @property
    def has_intent(self) -> bool:
        """Whether something is under way, or was when a holder died."""
        return self._end > 0

    def intents(self) -> list[Intent]:
        """What was under way; a line cut short by a crash has made no file yet."""
        raw = os.pread(self._fd, _MAX_INTENT_BYTES, 0).decode("utf-8", "replace")
        found = []
        for line in raw.split("\n")[:-1]:
            first, _, rest = line.partition(" ")
            last, _, directory = rest.partition(" ")
            if first.isdigit() and last.isdigit() and directory:
                found.append(Intent(directory, int(first), int(last)))
        return found

    def intend(self, intents: Sequence[Intent]) -> None:
        """Records files about to be made. No sync: after a power loss their names are gone or
        they are found as files from outside.
        """
        lines = "".join(f"{one.first} {one.last} {one.directory}\n" for one in intents) or "\n"
        self._end += os.pwrite(self._fd, lines.encode(), self._end)

    def settle(self) -> None:
        """Everything under way is done or undone."""
        if self._end:
            os.ftruncate(self._fd, 0)
            self._end = 0

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
