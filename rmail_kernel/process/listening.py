"""Which workers hear of which accounts, in memory that all of them see: a change that no other one
waits for is told to nobody.

Accounts share a byte where their sums are equal; that costs a message in vain, nothing else.
"""

from __future__ import annotations

import mmap
import os
import zlib
from typing import Final

from rmail_kernel.storage.ids import AccountId

SLOTS: Final = 8192


def make(workers: int) -> int:
    """A descriptor of memory for so many workers, to be inherited.

    Raises:
        OSError: there is no memory, or no descriptor.
    """
    descriptor = os.memfd_create("rmail listening")
    os.ftruncate(descriptor, workers * SLOTS)
    return descriptor


class Listening:
    """One worker's place in it. Used on the event loop only.

    Who begins to listen says so first and looks at the store then; who has changed the store looks
    here afterwards. So one of them meets what the other did.

    Args:
        descriptor: of what `make` made; it is closed.
        place: counted from 0; whoever had it before is gone.
    """

    def __init__(self, descriptor: int, place: int) -> None:
        self._marks = mmap.mmap(descriptor, 0)
        os.close(descriptor)
        self._workers = len(self._marks) // SLOTS  # a slot has one byte for each of them
        self._place = place
        self._counts: dict[int, int] = {}
        for at in range(place, len(self._marks), self._workers):
            self._marks[at] = 0

    def begin(self, account: AccountId) -> None:
        """Somebody listens here."""
        slot = _slot(account)
        self._counts[slot] = self._counts.get(slot, 0) + 1
        self._marks[slot * self._workers + self._place] = 1

    def end(self, account: AccountId) -> None:
        """One of those who listen here does not any more."""
        slot = _slot(account)
        self._counts[slot] -= 1
        if not self._counts[slot]:
            del self._counts[slot]
            self._marks[slot * self._workers + self._place] = 0

    def is_heard(self, account: AccountId) -> bool:
        """Whether another worker may listen."""
        slot = _slot(account)
        start = slot * self._workers
        marks = self._marks[start : start + self._workers]
        return marks.count(1) > (slot in self._counts)


def _slot(account: AccountId) -> int:
    return zlib.crc32(account.encode()) % SLOTS
