"""What a connection holds of its client's input: sealed by TLS, compressed, and as the client means
it. It knows no socket and waits for nothing.

All of it together stays within `limit_bytes`: no read is larger than the room left, and what came
is opened only as far as there is room.
"""

from __future__ import annotations

import threading
from typing import Final

from rmail_imap.deflate import Deflate
from rmail_imap.tls import RECORD_BYTES, Tls
from rmail_kernel.observe.sessions import Tracer

_SCRATCH_BYTES: Final = 1 << 17
_PACKED_BYTES: Final = 1 << 14  # of what is sealed or compressed, at one time


class _Scratch(threading.local):
    """Where reads go, for all connections of one loop: each is taken out at once."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_SCRATCH_BYTES))


_scratch: Final = _Scratch()


class Intake:
    """The input of one connection.

    Args:
        limit_bytes: most bytes held at one time, with what TLS may hold of it.

    Attributes:
        held_bytes: what whoever takes input still holds of it that counts, too.
        received_bytes: over the connection, as they were sent.
        tls: the channel, once there is one.
        deflate: the compression, while there is one.
        tracer: hears what comes in, uncompressed.
    """

    __slots__ = (
        "_left",
        "_ready",
        "_scanned",
        "deflate",
        "held_bytes",
        "limit_bytes",
        "received_bytes",
        "tls",
        "tracer",
    )

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes, self.held_bytes, self.received_bytes = limit_bytes, 0, 0
        self.tls: Tls | None = None
        self.deflate: Deflate | None = None
        self._left: Deflate | None = None  # a compression that ended, as long as that is not sure
        self.tracer: Tracer | None = None
        self._ready = bytearray()
        self._scanned = 0

    # --- what comes in

    def place(self) -> memoryview:
        """Where the next read goes: as much of it as there is room for."""
        room, tls = self._room_bytes, self.tls
        if tls is not None:
            room = min(room - tls.sealed_bytes, _PACKED_BYTES)
        elif self.deflate is not None:
            room = min(room, _PACKED_BYTES)
        # Never empty: a reader that waits beyond its limit is told so by its own count.
        return _scratch.view[: max(1, room)]

    def accept(self, count: int) -> None:
        """Takes a read of so many bytes out of the common place.

        Raises:
            ssl.SSLError: what is sealed was tampered with, or is no TLS.
            ValueError: it is not compressed as it should be.
        """
        raw = _scratch.view[:count]
        if self.tls is None:
            self._arrive(raw)
        else:
            self._open(self.tls, raw)

    def advance(self) -> bool:
        """Opens and unpacks what had no room until now; whether there is more to take for it.

        Raises:
            ssl.SSLError, ValueError: as `accept`.
        """
        before = len(self._ready)
        if self.deflate is not None:
            self._unpack(self.deflate, is_wanted=True)
        if self.tls is not None and self.tls.has_more:
            self._open(self.tls, _scratch.view[:0])
        return len(self._ready) > before

    # --- what there is

    def __len__(self) -> int:
        """How many bytes can be taken."""
        return len(self._ready)

    @property
    def is_plain(self) -> bool:
        """Whether what comes in is as the client means it."""
        return self.tls is None and self.deflate is None

    @property
    def is_full(self) -> bool:
        """Whether nothing more must be read now."""
        if self._is_packed:
            return True
        return self._room_bytes <= (self.tls.sealed_bytes if self.tls else 0)

    @property
    def pending_bytes(self) -> int:
        """What nobody has taken, in whatever form."""
        packed = sum(len(one.packed) for one in (self.deflate, self._left) if one)
        return len(self._ready) + packed + (self.tls.sealed_bytes if self.tls else 0)

    @property
    def has_line(self) -> bool:
        """Whether a whole line can be taken."""
        return self._ready.find(b"\n", self._scanned) >= 0

    def line_bytes(self, most: int) -> int:
        """How long the next line is, with its end; 0: none ends within so many bytes yet."""
        end = self._ready.find(b"\n", self._scanned, most)
        if end < 0:
            self._scanned = min(len(self._ready), most)
        return end + 1

    def peek(self, most: int) -> bytes:
        """The bytes that come next, as far as they are there."""
        return bytes(self._ready[:most])

    def take(self, count: int) -> bytes:
        """The next bytes; so many must be there."""
        self._scanned = 0
        if count == len(self._ready):
            raw = bytes(self._ready)
            self._ready.clear()
            return raw
        with memoryview(self._ready) as view:
            raw = bytes(view[:count])
        del self._ready[:count]
        return raw

    # --- what changes its form

    def begin_tls(self, tls: Tls) -> None:
        """Is TLS from here on. What came before was not protected: it is dropped (RFC 3501
        11.1).
        """
        self._drop()
        self.tls = tls

    def start_compression(self) -> None:
        """Is compressed from here on, also what is there already (RFC 4978 3).

        Raises:
            ValueError: as `accept`.
        """
        self.deflate = Deflate(bytes(self._ready))
        self._drop()
        self._unpack(self.deflate)

    def end_compression(self) -> None:
        """Is not compressed from here on (RFC 8437 4)."""
        self._left, self.deflate = self.deflate, None
        self._leave()

    def _leave(self) -> None:
        """Takes what came behind the end of compression."""
        if self._left is not None and (plain := self._left.plain()) is not None:
            self._left = None
            self._take_plain(plain)

    @property
    def _room_bytes(self) -> int:
        """How much more may be opened."""
        hidden = (RECORD_BYTES if self.tls else 0) + (_PACKED_BYTES if self.deflate else 0)
        return self.limit_bytes - self.held_bytes - len(self._ready) - hidden

    @property
    def _is_packed(self) -> bool:
        """Whether there is compressed input that must be unpacked before more is taken."""
        return self.deflate is not None and bool(self.deflate.packed)

    def _drop(self) -> None:
        self._ready.clear()
        self._scanned = 0

    def _arrive(self, raw: memoryview) -> None:
        """Takes input that is as the client means it, but for compression."""
        self.received_bytes += len(raw)
        if self._left is not None:
            self._left.feed(raw)
            self._leave()
        elif self.deflate is None:
            self._take_plain(raw)
        else:
            self.deflate.feed(raw)
            self._unpack(self.deflate)

    def _take_plain(self, raw: bytes | memoryview) -> None:
        """Takes input that is as the client means it."""
        self._ready += raw
        if self.tracer is not None:
            self.tracer("client", bytes(raw))

    def _open(self, tls: Tls, raw: memoryview) -> None:
        """Takes sealed input, and opens as much of it as there is room for. That moves bytes and
        adds none; what OpenSSL may hold was counted before they came.
        """
        tls.feed(raw)
        while not self._is_packed and (room := min(self._room_bytes, _PACKED_BYTES)) > 0:
            count = tls.read_into(_scratch.view[:room])
            if not count:
                return
            self._arrive(_scratch.view[:count])

    def _unpack(self, deflate: Deflate, *, is_wanted: bool = False) -> None:
        """Unpacks input as far as there is room for it. Not beyond a flush behind a whole line, as
        what that line asks for may be the end of compression.

        Args:
            is_wanted: what there is does not suffice, so some more it must be.
        """
        while is_wanted or not (deflate.is_between and self.has_line):
            before = len(deflate.packed)
            if raw := deflate.unpack(self._room_bytes):
                self._take_plain(raw)
                is_wanted = False
            elif len(deflate.packed) == before:
                return
