"""The lock of one account among processes, and what its holder leaves in it for the next one.

While a batch makes files whose rows are not committed, their UIDs stand in the lock file. A holder
that finds them there knows that the one before it died, and removes what has no row. Before them
stands the MODSEQ of the last durable commit: a database that stands below it has lost some.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner

_MAX_INTENT_BYTES = 1 << 20
_HEADER = re.compile(rb"modseq ([0-9]{20})\n")
_HEADER_BYTES = 28
_NONSENSE = 1 << 62


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
    """flock on `account.lock`. One per process and account; held by one thread at a time.

    Attributes:
        modseq: of the last commit that is known to be durable; 0: none is. While it is held.
    """

    def __init__(self, path: Path, owner: Owner) -> None:
        self._path = str(path)
        self._owner = owner
        self._fd = self._open()
        self._start = _HEADER_BYTES  # where intents begin
        self._end = 0
        self.modseq = 0

    def _open(self) -> int:
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            self._owner.take(fd)
        except BaseException:
            os.close(fd)
            raise
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
                self._read_header()
                return
            # The account was removed, or removed and made again: this lock excludes nobody.
            self.close()
            self._fd = self._open()

    def _read_header(self) -> None:
        """What stands first. Nothing: no commit yet, or a power loss took it; intents at once: the
        file was written before there was a header.
        """
        raw = os.pread(self._fd, _HEADER_BYTES, 0) if self._end else b""
        found = _HEADER.fullmatch(raw)
        self.modseq = int(found[1]) if found and int(found[1]) < _NONSENSE else 0
        is_old = bool(raw.strip(b"\0")) and found is None
        self._start = 0 if is_old else _HEADER_BYTES

    def note(self, modseq: int) -> None:
        """Says which commit is durable. No sync: a power loss leaves an earlier one, or none."""
        if self._start:
            os.pwrite(self._fd, b"modseq %020d\n" % modseq, 0)
            self._end = max(self._end, _HEADER_BYTES)
            self.modseq = modseq

    def release(self) -> None:
        """Lets go of it; an intent stays for the next holder."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    @property
    def has_intent(self) -> bool:
        """Whether something is under way, or was when a holder died."""
        return self._end > self._start

    def intents(self) -> list[Intent]:
        """What was under way; a line cut short by a crash has made no file yet."""
        raw = os.pread(self._fd, _MAX_INTENT_BYTES, self._start).decode("utf-8", "replace")
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
        self._end = max(self._end, self._start)
        self._end += os.pwrite(self._fd, lines.encode(), self._end)

    def settle(self) -> None:
        """Everything under way is done or undone."""
        if self.has_intent:
            os.ftruncate(self._fd, self._start)
            self._end, self._start = self._start, _HEADER_BYTES

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
