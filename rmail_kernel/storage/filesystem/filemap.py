"""A map of a file that is looked through once: only a little of it is in memory at a time.

It must never be of anything but a file that does not change: what is let go of is read again.
"""

from __future__ import annotations

import mmap
import os
from typing import Final, SupportsIndex, TypeAlias, overload

WINDOW_BYTES: Final = 1 << 20
"""Bytes searched at a time; other threads run in between."""
RESIDENT_BYTES: Final = 1 << 23
"""So many bytes are looked at before their pages are let go of."""

_Slice: TypeAlias = "slice[SupportsIndex | None, SupportsIndex | None, SupportsIndex | None]"


class FileMap(mmap.mmap):
    """A read-only map of the whole file `fd`, which is not empty."""

    _looked_at: int

    def __new__(cls, fd: int) -> FileMap:
        found = super().__new__(cls, fd, os.fstat(fd).st_size, access=mmap.ACCESS_READ)
        found._looked_at = 0
        return found

    def _look(self, count: int) -> None:
        self._looked_at += count
        if self._looked_at > RESIDENT_BYTES:
            self._looked_at = 0
            self.madvise(mmap.MADV_DONTNEED)

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...
    @overload
    def __getitem__(self, key: _Slice, /) -> bytes: ...
    def __getitem__(self, key: SupportsIndex | _Slice, /) -> int | bytes:
        """As of bytes."""
        found = super().__getitem__(key)
        self._look(len(found) if isinstance(found, bytes) else 1)
        return found

    def find(self, sub: bytes, start: int = 0, end: int | None = None) -> int:  # type: ignore[override] # positional in the base
        """As of bytes."""
        start, end, _ = slice(start, end).indices(len(self))
        overlap = max(len(sub) - 1, 0)
        while True:
            stop = min(start + WINDOW_BYTES + overlap, end)
            found = super().find(sub, start, stop)
            self._look((stop if found < 0 else found) - start)
            if found >= 0 or stop == end:
                return found
            start = stop - overlap
