"""Processes that store, flag and move messages until they are killed, and print what was answered.

`python -m tests.storage_filesystem.hammer ROOT` forks one for each name that it reads, and says so;
all print to its standard output, each line in one piece.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import sys
from pathlib import Path

import structlog

from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem.unsettled import SMALL_BYTES
from rmail_kernel.storage.ids import MailboxId
from tests.storage_contract.rig import ALICE, Opened, item, opened

INBOX = MailboxId(1)
LANES = 4


def say(line: str) -> None:
    """Prints a line: short enough for a pipe to take it whole, or not at all."""
    os.write(1, f"{line}\n".encode())


async def lane(store: Opened, name: str) -> None:
    """Stores, flags and moves one message after the other."""
    for number in itertools.count(1):
        try:
            await _step(store, f"{name}.{number}", number)
        except Temporary:
            say(f"{name}.{number} failed 0")


async def _step(store: Opened, subject: str, number: int) -> None:
    size_bytes = 2000 if number % 7 else SMALL_BYTES
    raw = f"Subject: {subject}\r\n\r\n{'x' * size_bytes}end\r\n".encode()
    (one,) = await store.put(item(raw, op_id=subject))
    say(f"{subject} stored {one.uid}")
    await store.mail.store_flags(ALICE, INBOX, [one.uid], "add", frozenset({"\\Seen"}))
    if number % 3 == 0:
        moved = await store.mail.move(ALICE, INBOX, [one.uid], "Archive")
        if moved.target:  # its UID may be another, after the database was lost
            say(f"{subject} moved {moved.target[0]}")


async def main(root: Path, name: str) -> None:
    """Runs several lanes at once."""
    async with opened(root, check_after=False) as store:
        await asyncio.gather(*(lane(store, f"{name}.{number}") for number in range(LANES)))


def fork(root: Path) -> None:
    """Starts a process for each name; ends when there are no more."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the dead
    for line in sys.stdin:
        name = line.strip()
        pid = os.fork()
        if pid == 0:
            try:
                asyncio.run(main(root, name))
            finally:
                os._exit(1)
        say(f"{name} started {pid}")


if __name__ == "__main__":
    # Standard output is the ledger of what was answered.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    fork(Path(sys.argv[1]))
