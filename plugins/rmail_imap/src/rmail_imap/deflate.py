"""DEFLATE in both directions of one connection (RFC 4978), in bounded memory: about 32 KB to
compress and 40 KB to decompress; what comes in is unpacked only as far as there is room for it.
"""

from __future__ import annotations

import zlib
from typing import Final

_LEVEL: Final = 3
_WINDOW_BITS: Final = -12
_MEMORY_LEVEL: Final = 5
_MAX_STREAMS: Final = 1000  # that end in one piece of input: each takes time, short as it may be
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
        self._ended = 0  # streams, since the last input

    def pack(self, raw: bytes) -> bytes:
        """Compresses output so that the client can read all of it now."""
        return self._out.compress(raw) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def feed(self, raw: bytes | memoryview) -> None:
        """Takes input to unpack."""
        self.packed += raw
        self._ended = 0

    def unpack(self, room: int) -> bytes:
        """At most `room` bytes of what came in; nothing only if there is no more of it.

        Raises:
            ValueError: it is not DEFLATE, or too many streams.
        """
        while room > 0 and (self.packed or self._is_cut):
            try:
                raw = self._in.decompress(self.packed, room)
            except zlib.error as error:
                raise ValueError("not DEFLATE") from error
            self.packed = self._in.unconsumed_tail
            self._is_cut = len(raw) == room and not self._in.eof
            if self._in.eof:  # a client may end its stream and begin another
                self._begin_another()
            if raw:
                return raw
        return b""

    def _begin_another(self) -> None:
        self._ended += 1
        if self._ended > _MAX_STREAMS:
            raise ValueError("too many streams")
        self.packed = self._in.unused_data
        self._in = zlib.decompressobj(_CLIENT_WINDOW_BITS)
