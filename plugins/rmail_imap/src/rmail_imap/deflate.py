"""DEFLATE in both directions of one connection (RFC 4978), in bounded memory: about 32 KB to
compress and 40 KB to decompress; what comes in is unpacked only as far as there is room for it.
"""

from __future__ import annotations

import zlib
from typing import Final

_LEVEL: Final = 3
_WINDOW_BITS: Final = -12
_MEMORY_LEVEL: Final = 5
_MAX_ENDS: Final = 1000  # of streams, or of nothing, in one piece of input: each takes time
_FLUSH: Final = b"\0\0\xff\xff"  # how a flush ends: with an empty block
_END_OF_FLUSH_BYTES: Final = 7  # with the end of the block before, whose code has up to 15 bits
_CLIENT_WINDOW_BITS: Final = -15  # RFC 4978 4: what a client may use at most


class Deflate:
    """The two streams of a connection.

    Attributes:
        packed: input that is not unpacked yet.
        is_between: all up to where the client flushed, or ended its stream, is unpacked. What
            comes then need not be compressed any more (RFC 8437 4).
    """

    def __init__(self, packed: bytes = b"") -> None:
        self._out = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW_BITS, _MEMORY_LEVEL)
        self._in = zlib.decompressobj(_CLIENT_WINDOW_BITS)
        self.packed = packed
        self.is_between = True
        self._last = b""  # the last bytes of what is unpacked
        self._is_cut = False  # whether there may be more without any further input
        self._ends = 0  # since the last input

    def pack(self, raw: bytes) -> bytes:
        """Compresses output so that the client can read all of it now."""
        return self._out.compress(raw) + self._out.flush(zlib.Z_SYNC_FLUSH)

    def feed(self, raw: bytes | memoryview) -> None:
        """Takes input to unpack."""
        self.packed += raw
        self._ends = 0

    def unpack(self, room: int) -> bytes:
        """At most `room` bytes of what came in, and nothing from beyond the next flush.

        Raises:
            ValueError: it is not DEFLATE, or too many ends.
        """
        if room <= 0 or not (self.packed or self._is_cut):
            return b""
        segment, beyond, has_end = self._segment()
        try:
            raw = self._in.decompress(segment, room)
        except zlib.error as error:
            raise ValueError("not DEFLATE") from error
        left = self._in.unconsumed_tail
        self._last = (self._last + segment[: len(segment) - len(left)])[1 - len(_FLUSH) :]
        self._is_cut = len(raw) == room and not self._in.eof
        self.is_between = self._in.eof or (has_end and not left and not self._is_cut)
        self._count_ends(is_end=self._in.eof or not raw)
        if self._in.eof:  # a client may end its stream and begin another
            left, self._last = self._in.unused_data, b""
            self._in = zlib.decompressobj(_CLIENT_WINDOW_BITS)
        self.packed = left + beyond
        return raw

    def _count_ends(self, *, is_end: bool) -> None:
        self._ends += is_end
        if self._ends > _MAX_ENDS:
            raise ValueError("too many ends")

    def plain(self) -> bytes | None:
        """What is packed but not compressed any more, the client having ended compression behind
        its last line. The end of the flush, or of the stream, may still be to come: None, it cannot
        be told yet.
        """
        if self.is_between:
            return self.packed
        probe, head = self._in.copy(), self.packed[:_END_OF_FLUSH_BYTES]
        for at in range(len(head)):
            try:
                probe.decompress(head[at : at + 1])
            except zlib.error:
                break
            if probe.eof or (self._last + head[: at + 1]).endswith(_FLUSH):
                return self.packed[at + 1 :]
        return self.packed if len(head) == _END_OF_FLUSH_BYTES else None

    def _segment(self) -> tuple[bytes, bytes, bool]:
        """What is packed up to the next flush, what is beyond it, and whether there is one. It may
        have begun in what is unpacked already.
        """
        at = (self._last + self.packed).find(_FLUSH)
        if at < 0:
            return self.packed, b"", False
        end = at + len(_FLUSH) - len(self._last)
        return self.packed[:end], self.packed[end:], True
