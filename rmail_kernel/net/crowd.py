"""How many connections each worker of a server has, in memory that all of them see: so new ones go
to the worker that has fewest. What is read there may be old; nothing else depends on it.
"""

from __future__ import annotations

import mmap
import os

_COUNT_BYTES = 4


def make(workers: int) -> int:
    """A descriptor of memory for so many workers, to be inherited.

    Raises:
        OSError: there is no memory, or no descriptor.
    """
    descriptor = os.memfd_create("rmail connections")
    os.ftruncate(descriptor, workers * _COUNT_BYTES)
    return descriptor


class Crowd:
    """One worker's place in it.

    Args:
        descriptor: of what `make` made; it is closed.
        place: counted from 0; whoever had it before is gone.

    Attributes:
        told: how many connections this worker has.
    """

    def __init__(self, descriptor: int, place: int) -> None:
        self._counts = memoryview(mmap.mmap(descriptor, 0)).cast("I")
        os.close(descriptor)
        self._place = place
        self.told = self._expected = 0
        self.tell(0)

    def tell(self, connections: int) -> None:
        """Has all know how many this worker has."""
        self.told = connections
        self._counts[self._place] = connections + self._expected

    def expect(self, more: int) -> None:
        """Counts connections that were accepted and are not told of yet."""
        self._expected += more
        self.tell(self.told)

    @property
    def is_ahead(self) -> bool:
        """Whether another worker has fewer."""
        return self._counts[self._place] > min(self._counts)
