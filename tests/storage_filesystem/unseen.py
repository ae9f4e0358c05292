"""Processes of which one is killed with its commit in the log and not yet in the shared index.

`python -m tests.storage_filesystem.unseen ROOT WORK` does WORK and dies in its commit, at the
very place between the last sync of the log and the publication in the `-shm` file: what SQLite
publishes last, both copies of the header (https://www.sqlite.org/walformat.html, 2.1), is put back
as it was before. `... ROOT wait WORK` opens the account, says so, and does WORK when it is told to.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import apsw

from rmail_kernel import failpoints
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.unsettled import SMALL_BYTES
from rmail_kernel.storage.ids import MailboxId, Uid
from tests.storage_contract.rig import ALICE, Opened, item, opened
from tests.storage_filesystem.at_rest import rest

INBOX: Final = MailboxId(1)
HEADERS_BYTES: Final = 2 * 48
LARGE: Final = b"Subject: large\r\n\r\n" + b"x" * SMALL_BYTES
SMALL: Final = b"Subject: small\r\n\r\n"
Work = Callable[[Opened], Awaitable[object]]
WORKS: Final[dict[str, Work]] = {
    "move": lambda s: s.mail.move(ALICE, INBOX, [Uid(1), Uid(2)], "Archive", op_id="it"),
    "copy": lambda s: s.mail.copy(ALICE, INBOX, [Uid(1), Uid(2)], "Archive", op_id="it"),
    "large": lambda s: s.put(item(LARGE, op_id="it")),
    "small": lambda s: s.put(item(SMALL, op_id="it")),
    "create": lambda s: s.mail.create(ALICE, "New"),
    "rename": lambda s: s.mail.rename(ALICE, "Sent", "Other"),
    "delete": lambda s: s.mail.delete(ALICE, "Sent"),
    "expunge": lambda s: s.mail.expunge(ALICE, INBOX, [Uid(1)], only_deleted=False),
    "flags": lambda s: s.mail.store_flags(
        ALICE, INBOX, [Uid(1), Uid(2)], "add", frozenset({"\\Flagged"})
    ),
}


class Death:
    """Dies at the end of the next commit, once `is_armed`, leaving the index as it was."""

    def __init__(self, index: Path) -> None:
        self._index = index
        self._before = b""
        self.is_armed = False

    def watch(self, db: apsw.Connection) -> None:
        """Has a connection die."""
        mask = apsw.SQLITE_TRACE_STMT | apsw.SQLITE_TRACE_PROFILE
        db.trace_v2(mask, self._step)

    def _step(self, event: dict[str, object]) -> None:
        if not self.is_armed or event.get("sql") != "COMMIT":
            return
        if event["code"] == apsw.SQLITE_TRACE_STMT:
            with self._index.open("rb") as file:
                self._before = file.read(HEADERS_BYTES)
        elif self._before:
            with self._index.open("r+b") as file:
                file.write(self._before)
            os._exit(137)


async def die(root: Path, work: Work) -> None:
    """See the module."""
    death = Death(Path(f"{AccountPaths.of(root, ALICE).database}-shm"))
    apsw.connection_hooks.append(death.watch)
    async with opened(root, check_after=False) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.mail.settle(ALICE)
        death.is_armed = True
        await work(store)


async def wait(root: Path, work: Work, failpoint: str) -> None:
    """See the module."""
    async with opened(root, check_after=False) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.mail.view(ALICE, INBOX)
        await store.mail.settle(ALICE)
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        failpoints.arm(failpoint, 1)
        await work(store)


if __name__ == "__main__":
    folder, name, *where = sys.argv[1:]
    rest()
    asyncio.run(
        wait(Path(folder), WORKS[name], *where) if where else die(Path(folder), WORKS[name])
    )
