"""One client's byte stream: an asyncio protocol with a bounded input buffer and gathered output.

It knows lines and byte counts, not IMAP. All that it holds of the input, compressed or sealed by
TLS as it may be, stays within `limit_bytes`: no read from the socket is larger than the room left.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from rmail_imap.deflate import Deflate
from rmail_imap.tls import RECORD_BYTES, Tls
from rmail_kernel.observe.sessions import Tracer

T = TypeVar("T")
INPUT_BYTES: Final = 1 << 18
EARLY_INPUT_BYTES: Final = 1 << 16
FLUSH_BYTES: Final = 1 << 16
_LINGER_S: Final = 5.0
_SCRATCH_BYTES: Final = 1 << 17
_PACKED_BYTES: Final = 1 << 14  # of what is sealed or compressed, at one time


class Disconnected(Exception):
    """The client is gone."""


class Silence(Exception):
    """The client neither sends nor reads for too long."""


class LineTooLong(Exception):
    """No line end within the limit."""


class _Scratch(threading.local):
    """Where reads go, for all connections of one loop: each is taken out at once."""

    def __init__(self) -> None:
        self.view = memoryview(bytearray(_SCRATCH_BYTES))


_scratch: Final = _Scratch()


class Wire(asyncio.BufferedProtocol):
    """A connection.

    Args:
        connected: called once the connection stands.
        told: the client that a proxy has announced, kept for whoever asks.

    Attributes:
        transport: the socket's; TLS is done here.
        timeout_s: longest wait for the client, in either direction; Silence past it.
        deadline_at: moment of the loop's clock at which waiting ends, whatever comes in.
        limit_bytes: most bytes of input held at one time, with what TLS may hold of it.
        held_bytes: what whoever reads still holds of the input that counts, too.
        tracer: hears what passes, uncompressed.
        written_bytes: what was given to `write` so far.
        received_bytes, sent_bytes: over the connection, as they were sent.
        ending: raised instead of waiting for more input, when set.
    """

    __slots__ = (
        "_connected",
        "_deflate",
        "_input",
        "_is_eof",
        "_is_lost",
        "_is_reading_paused",
        "_is_woken",
        "_is_writing_paused",
        "_loop",
        "_output",
        "_output_bytes",
        "_reader",
        "_scanned",
        "_tls",
        "_vain",
        "_writer",
        "deadline_at",
        "ending",
        "held_bytes",
        "limit_bytes",
        "received_bytes",
        "sent_bytes",
        "timeout_s",
        "told",
        "tracer",
        "transport",
        "written_bytes",
    )
    transport: asyncio.Transport

    def __init__(
        self, connected: Callable[[Wire], None], told: tuple[str, int] | None = None
    ) -> None:
        self._connected = connected
        self.told = told
        self._loop = asyncio.get_running_loop()
        self._input = bytearray()
        self._scanned = 0
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._is_eof = self._is_lost = self._is_woken = False
        self._is_reading_paused = self._is_writing_paused = False
        self._deflate: Deflate | None = None
        self._tls: Tls | None = None
        self.received_bytes = self.sent_bytes = self.written_bytes = 0
        self.tracer: Tracer | None = None
        self.limit_bytes, self.held_bytes = INPUT_BYTES, 0
        self.timeout_s = 60.0
        self.deadline_at: float | None = None
        self.ending: Exception | None = None
        self._vain: asyncio.Task[Any] | None = None

    # --- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        """Where the next read goes: as much of it as there is room for."""
        room, tls = self._room_bytes, self._tls
        if tls is not None:
            room = min(room - tls.sealed_bytes, _PACKED_BYTES)
        elif self._deflate is not None:
            room = min(room, _PACKED_BYTES)
        # Never empty: a reader that waits beyond its limit is told so by its own count.
        return _scratch.view[: max(1, room)]

    def buffer_updated(self, nbytes: int) -> None:
        """Takes a read out of the common buffer."""
        raw = _scratch.view[:nbytes]
        if self._tls is None:
            self._arrive(raw)
        else:
            self._open(raw)
        if self._is_full and not self._is_reading_paused:
            self.transport.pause_reading()
            self._is_reading_paused = True
        _release(self._reader)

    def eof_received(self) -> bool:
        self._is_eof = True
        _release(self._reader)
        # What is still in work may be answered; TLS has no half-open connections.
        return self._tls is None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._is_eof = self._is_lost = True
        if self._vain is not None:
            self._vain.cancel()
        _release(self._reader)
        _release(self._writer)

    def pause_writing(self) -> None:
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        _release(self._writer)

    # --- input

    @property
    def has_line(self) -> bool:
        """Whether a whole line lies in the buffer."""
        return self._input.find(b"\n", self._scanned) >= 0

    @property
    def pending_bytes(self) -> int:
        """Input that nobody has taken, in whatever form."""
        packed = len(self._deflate.packed) if self._deflate else 0
        return len(self._input) + packed + (self._tls.sealed_bytes if self._tls else 0)

    @property
    def _room_bytes(self) -> int:
        """How much more may be opened."""
        hidden = (RECORD_BYTES if self._tls else 0) + (_PACKED_BYTES if self._deflate else 0)
        return self.limit_bytes - self.held_bytes - len(self._input) - hidden

    @property
    def _is_full(self) -> bool:
        return self._room_bytes <= (self._tls.sealed_bytes if self._tls else 0)

    async def read_line(self, limit: int) -> bytes:
        """The next line with its line end.

        Raises:
            LineTooLong: it is longer than `limit`; nothing was taken.
        """
        while (end := self._input.find(b"\n", self._scanned, limit)) < 0:
            if len(self._input) >= limit:
                raise LineTooLong
            self._scanned = len(self._input)
            await self._more()
        return self._take(end + 1)

    def peek(self, most: int) -> bytes:
        """The input that comes next, as far as it is there."""
        return bytes(self._input[:most])

    async def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes; for counts within the limits of a command."""
        while len(self._input) < count:
            await self._more()
        return self._take(count)

    async def read_some(self, most: int) -> bytes:
        """At least one and at most `most` bytes."""
        if not self._input:
            await self._more()
        return self._take(min(most, len(self._input)))

    async def discard_line(self, most: int) -> None:
        """Drops input up to and with the next line end. LineTooLong: it is further than `most`."""
        while (end := self._input.find(b"\n")) < 0:
            most -= len(self._input)
            if most < 0:
                raise LineTooLong
            self._take(len(self._input))
            await self._more()
        self._take(end + 1)

    async def wait(self, timeout_s: float) -> None:
        """Until there is input, `wake` was called, or time is up."""
        if self._is_woken:
            self._is_woken = False
            return
        if self._is_eof:
            raise Disconnected
        if self.ending is not None:
            raise self.ending
        if self._advance():
            return
        try:
            await self._wait_for_input(timeout_s)
        except Silence:
            return
        finally:
            self._is_woken = False

    def wake(self) -> None:
        """Ends a `wait`, or the next one."""
        self._is_woken = True
        _release(self._reader)

    def time(self) -> float:
        """Seconds of the clock that waits count by."""
        return self._loop.time()

    def expire_in(self, seconds: float) -> None:
        """Sets the moment at which waiting ends for good."""
        self.deadline_at = self._loop.time() + seconds

    def end(self, reason: Exception) -> None:
        """Lets whoever waits for input, now or later, get `reason` instead."""
        self.ending = reason
        _release(self._reader)

    async def _more(self) -> None:
        """Waits for more input than there is."""
        before = len(self._input)
        if self._advance():
            return
        if self._is_eof:
            raise Disconnected
        timeout_s = self.timeout_s
        if self.deadline_at is not None:
            timeout_s = min(timeout_s, max(0.0, self.deadline_at - self._loop.time()))
        while len(self._input) == before:
            if self.ending is not None:
                raise self.ending
            await self._wait_for_input(timeout_s)
            if self._is_eof and len(self._input) == before:
                raise Disconnected

    async def _wait_for_input(self, timeout_s: float) -> None:
        if self._is_reading_paused:
            self.transport.resume_reading()
            self._is_reading_paused = False
        self._reader = self._loop.create_future()
        timer = self._loop.call_later(timeout_s, _expire, self._reader)
        try:
            await self._reader
        finally:
            timer.cancel()
            self._reader = None

    def _take(self, count: int) -> bytes:
        with memoryview(self._input) as view:
            raw = bytes(view[:count])
        del self._input[:count]
        self._scanned = 0
        return raw

    def _arrive(self, raw: memoryview) -> None:
        """Takes input that is as the client means it, but for compression."""
        self.received_bytes += len(raw)
        if self._deflate is None:
            self._input += raw
            if self.tracer is not None:
                self.tracer("client", bytes(raw))
        else:
            self._deflate.packed += raw
            self._unpack()

    def _advance(self) -> bool:
        """Opens and unpacks what had no room until now; whether there is more input for it."""
        before = len(self._input)
        if self._deflate is not None:
            self._unpack()
        if self._tls is not None and self._tls.has_more:
            self._open(_scratch.view[:0])
        return len(self._input) > before

    def _open(self, raw: memoryview) -> None:
        """Takes sealed input, and opens as much of it as there is room for. That moves bytes and
        adds none; what OpenSSL may hold was counted before they came.
        """
        tls = self._tls
        assert tls is not None
        try:
            tls.feed(raw)
            while (room := min(self._room_bytes, _PACKED_BYTES)) > 0 and (
                count := tls.read_into(_scratch.view[:room])
            ):
                self._arrive(_scratch.view[:count])
        except ssl.SSLError:
            self._break_off(tls)
            return
        self._is_eof = self._is_eof or tls.is_over
        if not self._is_lost and (answer := tls.outgoing()):
            self.transport.write(answer)

    def _break_off(self, tls: Tls) -> None:
        """Ends a connection whose TLS is broken, with nothing but an alert (RFC 8446 6.2)."""
        if not self._is_lost:
            self.transport.write(tls.outgoing())
            self._loop.call_later(_LINGER_S, self.transport.abort)
            self.transport.close()
        self._is_eof = self._is_lost = True

    # --- output

    def write(self, raw: bytes) -> None:
        """Gathers bytes for the client; `flush` sends them."""
        self._output.append(raw)
        self._output_bytes += len(raw)
        self.written_bytes += len(raw)

    @property
    def is_output_full(self) -> bool:
        """Whether so much is gathered that a flush is due."""
        return self._output_bytes >= FLUSH_BYTES

    async def flush(self) -> None:
        """Sends what is gathered and waits while the client does not read."""
        self.send()
        if self._is_writing_paused and not self._is_lost:
            self._writer = self._loop.create_future()
            timer = self._loop.call_later(self.timeout_s, _expire, self._writer)
            try:
                await self._writer
            finally:
                timer.cancel()
                self._writer = None
        if self._is_lost:
            raise Disconnected

    def send(self) -> None:
        """Hands what is gathered to the transport, without waiting."""
        if self._tls is not None and not self._tls.is_ready:
            return  # nothing is said within a handshake
        if self._output and not self._is_lost:
            raw = b"".join(self._output)
            if self.tracer is not None:
                self.tracer("server", raw)
            packed = raw if self._deflate is None else self._deflate.pack(raw)
            self.sent_bytes += len(packed)
            self.transport.write(packed if self._tls is None else self._tls.seal(packed))
        self._output.clear()
        self._output_bytes = 0

    # --- compression

    @property
    def is_compressed(self) -> bool:
        """Whether COMPRESS is in force."""
        return self._deflate is not None

    def start_compression(self) -> None:
        """Compresses from here on; input that is there already is compressed (RFC 4978 3)."""
        self.send()
        self._deflate = Deflate(bytes(self._input))
        self._input.clear()
        self._scanned = 0
        self._unpack()

    def end_compression(self) -> None:
        """No compression from here on (RFC 8437 4)."""
        self.send()
        if self._deflate is not None:
            self._input += self._deflate.packed
            self._deflate = None

    def _unpack(self) -> None:
        """Unpacks input as far as there is room for it."""
        deflate = self._deflate
        assert deflate is not None
        try:
            while raw := deflate.unpack(self._room_bytes):
                self._input += raw
                if self.tracer is not None:
                    self.tracer("client", raw)
        except ValueError:
            self.end(Disconnected())
            self.abort()

    # --- the connection

    async def unless_lost(self, work: Coroutine[Any, Any, T]) -> T:
        """What `work` gives. It ends when the client is gone, so it must not change anything.

        Raises:
            Disconnected: the client is gone.
        """
        self._vain = task = self._loop.create_task(work)
        try:
            return await task
        except asyncio.CancelledError:
            if self._is_lost:
                raise Disconnected from None
            raise
        finally:
            self._vain = None

    def begin_tls(self, context: ssl.SSLContext) -> None:
        """Is TLS from here on. Input that came before is dropped: it was not protected (RFC 3501
        11.1).
        """
        self.send()
        self._input.clear()
        self._scanned = 0
        self._tls = Tls(context)

    async def secured(self, timeout_s: float) -> None:
        """Waits for the handshake of TLS.

        Raises:
            Disconnected: it failed, or took too long.
        """
        ends_at = self._loop.time() + timeout_s
        while self._tls is not None and not self._tls.is_ready:
            if self._is_eof:
                raise Disconnected
            try:
                await self._wait_for_input(ends_at - self._loop.time())
            except Silence as error:
                raise Disconnected from error

    def channel(self) -> ssl.SSLObject | None:
        """The connection's TLS, None in clear text."""
        return None if self._tls is None else self._tls.channel

    def tls_name(self) -> str:
        """Version and cipher of the connection's TLS, "" in clear text."""
        if self._tls is None:
            return ""
        cipher = self._tls.channel.cipher()
        return f"{self._tls.channel.version()} {cipher[0] if cipher else ''}".strip()

    def close(self) -> None:
        """Sends the rest and closes; a client that does not read it is cut off soon."""
        self.send()
        if self._is_lost:
            return
        if self._tls is not None:
            self.transport.write(self._tls.farewell())
        if self.transport.get_write_buffer_size():
            self._loop.call_later(_LINGER_S, self.abort)
        self.transport.close()

    def abort(self) -> None:
        """Closes at once."""
        if not self._is_lost:
            self.transport.abort()


def _release(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(Silence())
