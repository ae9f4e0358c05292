"""DEFLATE in both directions of one connection (RFC 4978), in bounded memory: about 32 KB to
compress and 40 KB to decompress; what comes in is unpacked only as far as there is room for it.
"""

from __future__ import annotations

import zlib
from typing import Final

_LEVEL: Final = 3
_WINDOW_BITS: Final = -12
_MEMORY_LEVEL: Final = 5
_CLIENT_WINDOW_BITS: Final = -15  # RFC 4978 4: what a client may use at most


class Deflate:
    """The two streams of a connection.

    Attributes:
        packed: input that is not unpacked yet.
    """

    def __init__(self, packed: bytes = b"") -> None:
        self._out = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        self._in = zlib.decompressobj(_CLIENT_WINDOW_BITS)
        self.packed = packed
        self._is_cut = False  # whether there may be more without any further input

    def pack(self, raw: bytes) -> bytes:
        """Compresses output so that the client can read all of it now."""
        return self._out.compress(raw) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def unpack(self, room: int) -> bytes:
        """At most `room` bytes of what came in.

        Raises:
            ValueError: it is not DEFLATE.
        """
        if room <= 0 or not (self.packed or self._is_cut):
            return b""
        try:
            raw = self._in.decompress(self.packed, room)
        except zlib.error as error:
            raise ValueError("not DEFLATE") from error
        self.packed = self._in.unconsumed_tail
        self._is_cut = len(raw) == room and not self._in.eof
        if self._in.eof:  # a client may end its stream and begin another
            self.packed = self._in.unused_data
            self._in = zlib.decompressobj(_CLIENT_WINDOW_BITS)
        return raw
