"""A process that moves messages while syncs fail, from the one it is told on, and then dies.

`python -m tests.faults.abandoned ROOT NTH` prints the answer and how many syncs failed. With a
third argument it tries again before it dies, and prints how often the log was begun until then.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.ids import MailboxId, Uid
from tests.faults.injection import TROUBLES, Call, Faults, Trouble
from tests.storage_contract.rig import ALICE, item, opened

TROUBLE = Trouble(TROUBLES["broken"].number, Call.SYNCS, is_lasting=True)


def times_begun(root: Path) -> int:
    """How often the log was begun: its checkpoint sequence number (walformat.html, 1)."""
    database = AccountPaths.of(root, ALICE).database
    raw = database.with_name("account.db-wal").read_bytes()
    return int.from_bytes(raw[12:16], "big")


async def main(root: Path, nth: int, *, tries_again: bool) -> None:
    """See the module."""
    faults = Faults(root)
    async with opened(root, check_after=False) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.put(item())  # so that there is something in the log
        await store.mail.settle(ALICE)
        faults.arm(TROUBLE, nth)
        answer = "moved"
        try:
            await store.mail.move(ALICE, MailboxId(1), [Uid(1), Uid(2)], "Archive", op_id="move")
        except Temporary:
            answer = "temporary"
        failed = faults.disarm()
        before = times_begun(root)
        if tries_again:
            await store.mail.move(ALICE, MailboxId(1), [Uid(1), Uid(2)], "Archive", op_id="move")
        print(answer, failed, times_begun(root) - before, flush=True)
        os._exit(137)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), tries_again=len(sys.argv) > 3))
