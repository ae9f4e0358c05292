"""One client's byte stream: an asyncio protocol with a bounded input buffer and gathered output.

It knows lines and byte counts, not IMAP. Input is paused above a high-water mark.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from rmail_imap.deflate import Deflate
from rmail_kernel.observe.sessions import Tracer

T = TypeVar("T")
HIGH_WATER_BYTES: Final = 1 << 17
FLUSH_BYTES: Final = 1 << 16
_LINGER_S: Final = 5.0


class Disconnected(Exception):
    """The client is gone."""


class Silence(Exception):
    """The client neither sends nor reads for too long."""


class LineTooLong(Exception):
    """No line end within the limit."""


class Wire(asyncio.Protocol):
    """A connection.

    Args:
        connected: called once the connection stands.
        told: the client that a proxy has announced, kept for whoever asks.

    Attributes:
        transport: the current transport, the TLS one after start_tls.
        timeout_s: longest wait for the client, in either direction; Silence past it.
        deadline_at: moment of the loop's clock at which waiting ends, whatever comes in.
        high_water_bytes: so much input and one more read may wait to be taken.
        tracer: hears what passes, uncompressed.
        written_bytes: what was given to `write` so far.
        received_bytes, sent_bytes: over the connection, as they were sent.
        ending: raised instead of waiting for more input, when set.
    """

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
        self.received_bytes = self.sent_bytes = self.written_bytes = 0
        self.tracer: Tracer | None = None
        self.high_water_bytes = HIGH_WATER_BYTES
        self.timeout_s = 60.0
        self.deadline_at: float | None = None
        self.ending: Exception | None = None
        self._vain: asyncio.Task[Any] | None = None

    # --- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._connected(self)

    def data_received(self, data: bytes) -> None:
        self.received_bytes += len(data)
        if self._deflate is None:
            self._input += data
            if self.tracer is not None:
                self.tracer("client", data)
        else:
            self._deflate.packed += data
            self._unpack()
        if self.pending_bytes > self.high_water_bytes and not self._is_reading_paused:
            self.transport.pause_reading()
            self._is_reading_paused = True
        _release(self._reader)

    def eof_received(self) -> bool:
        self._is_eof = True
        _release(self._reader)
        # What is still in work may be answered; TLS has no half-open connections.
        return self.transport.get_extra_info("sslcontext") is None

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
        """Input that nobody has taken."""
        return len(self._input) + (len(self._deflate.packed) if self._deflate else 0)

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
        self._unpack()
        if self._is_eof and len(self._input) == before:
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
        raw = bytes(self._input[:count])
        del self._input[:count]
        self._scanned = 0
        return raw

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
        if self._output and not self._is_lost:
            raw = b"".join(self._output)
            if self.tracer is not None:
                self.tracer("server", raw)
            packed = raw if self._deflate is None else self._deflate.pack(raw)
            self.sent_bytes += len(packed)
            self.transport.write(packed)
        self._output.clear()
        self._output_bytes = 0

    # --- compression

    @property
    def is_compressed(self) -> bool:
        """Whether COMPRESS is in force."""
        return self._deflate is not None

    def keep_alive(self, seconds: float) -> None:
        """Lets the system find out that the client is gone without a word."""
        opened = self.transport.get_extra_info("socket")
        if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
            return
        whole = max(1, round(seconds))
        options = (
            (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
            (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, whole),
            (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, whole // 3)),
            (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
            (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000 * whole),
        )
        for level, option, value in options:
            opened.setsockopt(level, option, value)

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
        if self._deflate is None:
            return
        try:
            while raw := self._deflate.unpack(HIGH_WATER_BYTES + 1 - len(self._input)):
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

    async def start_tls(self, context: ssl.SSLContext, timeout_s: float) -> None:
        """Becomes TLS. Input that came before is dropped: it was not protected (RFC 3501 11.1)."""
        self.send()
        self._input.clear()
        self._scanned = 0
        self._is_reading_paused = False  # start_tls resumes
        transport = await self._loop.start_tls(
            self.transport, self, context, server_side=True, ssl_handshake_timeout=timeout_s
        )
        if transport is None or self._is_lost:
            raise Disconnected
        self.transport = transport

    def ssl_object(self) -> ssl.SSLObject | None:
        """The connection's TLS, None in clear text."""
        tls = self.transport.get_extra_info("ssl_object")
        return tls if isinstance(tls, ssl.SSLObject) else None

    def tls_name(self) -> str:
        """Version and cipher of the connection's TLS, "" in clear text."""
        tls = self.transport.get_extra_info("ssl_object")
        if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
            return ""
        cipher = tls.cipher()
        return f"{tls.version()} {cipher[0] if cipher else ''}".strip()

    def close(self) -> None:
        """Sends the rest and closes; a client that does not read it is cut off soon."""
        self.send()
        if self._is_lost:
            return
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
