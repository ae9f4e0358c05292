"""A process that stores, flags and moves messages until it is killed, and prints what was answered.

`python -m tests.storage_filesystem.hammer ROOT NAME`
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import structlog

from rmail_kernel.storage.ids import MailboxId
from tests.storage_contract.rig import ALICE, Opened, item, opened

INBOX = MailboxId(1)
LANES = 4


async def lane(store: Opened, name: str) -> None:
    """Stores, flags and moves one message after the other."""
    number = 0
    while True:
        number += 1
        subject = f"{name}.{number}"
        raw = f"Subject: {subject}\r\n\r\n{'x' * 2000}end\r\n".encode()
        (one,) = await store.put(item(raw, op_id=subject))
        sys.stdout.write(f"{subject} stored\n")
        sys.stdout.flush()
        await store.mail.store_flags(ALICE, INBOX, [one.uid], "add", frozenset({"\\Seen"}))
        if number % 3 == 0:
            await store.mail.move(ALICE, INBOX, [one.uid], "Archive")
            sys.stdout.write(f"{subject} moved\n")
            sys.stdout.flush()


async def main(root: str, name: str) -> None:
    """Runs several lanes at once."""
    async with opened(Path(root), check_after=False) as store:
        await asyncio.gather(*(lane(store, f"{name}.{number}") for number in range(LANES)))


if __name__ == "__main__":
    # Standard output is the ledger of what was answered.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:3]))
