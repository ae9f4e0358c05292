"""What the mailboxes of closed accounts were like when they were closed, so that whoever asks
whether one of them has changed since need not open its account: thousands of sessions may be idle.

It never believes what might have changed since. Every commit leaves its time on account.db or on
its log, so nothing was committed while both are what they were, provided that they had not been
touched for longer than clocks of file systems are coarse.
"""

from __future__ import annotations

import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.ids import AccountId, ModSeq, Uid
from rmail_kernel.storage.mail import Changes

MAX_RESTING: Final = 20_000
QUIET_S: Final = 2.0
"""How long the files must have been left alone before they were read."""


@dataclass(frozen=True, slots=True)
class _Files:
    """account.db and its log as the file system tells of them; no log, or an empty one as whoever
    only reads has it: zeros.
    """

    database: tuple[int, int, int, int]
    log: tuple[int, int, int, int]

    @classmethod
    def of(cls, path: str) -> _Files | None:
        """What lies at `path` now; None: no database."""
        database = _stat(path)
        if database is None:
            return None
        log = _stat(f"{path}-wal")
        return cls(database, log if log and log[2] else (0, 0, 0, 0))

    def were_quiet(self, read_at: float) -> bool:
        """Whether nobody had touched them for QUIET_S at that time."""
        changed_at_ns = max(self.database[-1], self.log[-1])
        return changed_at_ns < (read_at - QUIET_S) * 1e9


def _stat(path: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, slots=True)
class _Mailbox:
    modseq: ModSeq
    uidnext: Uid
    keywords: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Account:
    path: str
    files: _Files
    mailboxes: dict[int, _Mailbox]


class Resting:
    """Those of one store that this process has closed, the latest MAX_RESTING of them."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[AccountId, _Account] = OrderedDict()

    def note(
        self, name: AccountId, paths: AccountPaths, rows: Iterable[MailboxRow], read_at: float
    ) -> None:
        """An account was closed.

        Args:
            rows: all its mailboxes as they were read, before it was closed.
            read_at: the time just before that, by the clock of the system.
        """
        path = str(paths.database)
        files = _Files.of(path)
        if files is None or not files.were_quiet(read_at):
            return
        boxes = {
            row.id: _Mailbox(ModSeq(row.highestmodseq), Uid(row.uidnext), row.keywords)
            for row in rows
        }
        self._accounts[name] = _Account(path, files, boxes)
        if len(self._accounts) > MAX_RESTING:
            self._accounts.popitem(last=False)

    def forget(self, name: AccountId) -> None:
        """The account is opened."""
        self._accounts.pop(name, None)

    def unchanged(self, name: AccountId, mailbox: int, since: int) -> Changes | None:
        """That nothing happened in a mailbox after `since`; None: who knows."""
        account = self._accounts.get(name)
        if account is None:
            return None
        box = account.mailboxes.get(mailbox)
        if box is None or box.modseq != since:
            return None
        if _Files.of(account.path) != account.files:
            self.forget(name)
            return None
        return Changes(box.modseq, box.modseq, box.uidnext, (), (), box.keywords)


def now() -> float:
    """The clock that file systems go by."""
    return time.time()
