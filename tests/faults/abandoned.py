"""A process that moves messages while syncs fail, from the one it is told on, and then dies.

`python -m tests.faults.abandoned ROOT NTH` prints how many syncs failed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem import FilesystemMailStore
from rmail_kernel.storage.ids import MailboxId, Uid
from tests.faults.injection import TROUBLES, Call, Faults, Trouble
from tests.storage_contract.rig import ALICE, opened

TROUBLE = Trouble(TROUBLES["broken"].number, Call.SYNCS, is_lasting=True)


async def main(root: Path, nth: int) -> None:
    """See the module."""
    faults = Faults(root)
    async with opened(root, check_after=False) as store:
        assert isinstance(store.mail, FilesystemMailStore)
        await store.mail.settle(ALICE)
        faults.arm(TROUBLE, nth)
        answer = "moved"
        try:
            await store.mail.move(ALICE, MailboxId(1), [Uid(1), Uid(2)], "Archive", op_id="move")
        except Temporary:
            answer = "temporary"
        print(answer, faults.disarm(), flush=True)
        os._exit(137)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
