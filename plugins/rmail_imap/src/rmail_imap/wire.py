"""One client's byte stream: an asyncio protocol with bounded input and gathered output.

It knows lines and byte counts, not IMAP. It waits for the client; what it holds of the input is the
intake's.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar, cast

from rmail_imap.intake import Intake
from rmail_imap.tls import Tls

T = TypeVar("T")
INPUT_BYTES: Final = 1 << 18
EARLY_INPUT_BYTES: Final = 1 << 16
FLUSH_BYTES: Final = 1 << 16
_LINGER_S: Final = 5.0
_TICK_S: Final = 0.001  # of the loop's clock
_END_BYTES: Final = 64  # of a line that is dropped: enough to see whether it announces a literal


class Disconnected(Exception):
    """The client is gone."""


class Silence(Exception):
    """The client sends nothing for too long."""


class LineTooLong(Exception):
    """No line end within the limit."""


class Wire(asyncio.BufferedProtocol):
    """A connection.

    Args:
        connected: called once the connection stands.
        told: the client that a proxy has announced, kept for whoever asks.

    Attributes:
        intake: what came and nobody has taken.
        transport: the socket's; TLS is done here.
        timeout_s: longest wait for the client; past it Silence, Disconnected if it reads nothing.
        deadline_at: moment of the loop's clock at which waiting ends, whatever comes in.
        written_bytes: what was given to `write` so far.
        sent_bytes: over the connection, as they were sent.
        ending: raised instead of waiting for more input, when set.
    """

    __slots__ = (
        "_alarm",
        "_connected",
        "_is_eof",
        "_is_lost",
        "_is_reading_paused",
        "_is_woken",
        "_is_writing_paused",
        "_loop",
        "_output",
        "_output_bytes",
        "_reader",
        "_silent_at",
        "_vain",
        "_writer",
        "deadline_at",
        "ending",
        "intake",
        "sent_bytes",
        "timeout_s",
        "told",
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
        self.intake = Intake(INPUT_BYTES)
        self._output: list[bytes] = []
        self._output_bytes = 0
        self._reader: asyncio.Future[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._silent_at = 0.0
        self._writer: asyncio.Future[None] | None = None
        self._is_eof = self._is_lost = self._is_woken = False
        self._is_reading_paused = self._is_writing_paused = False
        self.sent_bytes = self.written_bytes = 0
        self.timeout_s = 60.0
        self.deadline_at: float | None = None
        self.ending: Exception | None = None
        self._vain: asyncio.Task[Any] | None = None

    # --- called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        connected = self._connected
        del self._connected  # it is called once, and there are very many connections
        connected(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's name
        """Where the next read goes: as much of it as there is room for."""
        return self.intake.place()

    def buffer_updated(self, nbytes: int) -> None:
        """Takes a read out of the common buffer."""
        try:
            self.intake.accept(nbytes)
        except (ssl.SSLError, ValueError):
            self._break_off()
        else:
            if self.intake.tls is not None:
                self._tell_tls()
        if self.intake.is_full and not self._is_reading_paused:
            self.transport.pause_reading()
            self._is_reading_paused = True
        _release(self._reader)

    def eof_received(self) -> bool:
        self._is_eof = True
        _release(self._reader)
        # What is still in work may be answered; TLS has no half-open connections.
        return self.intake.tls is None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's name
        self._is_eof = self._is_lost = True
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
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

    async def read_line(self, limit: int) -> bytes:
        """The next line with its line end.

        Raises:
            LineTooLong: it is longer than `limit`; nothing was taken.
        """
        intake = self.intake
        while not (count := intake.line_bytes(limit)):
            if len(intake) >= limit:
                raise LineTooLong
            await self._more()
        return intake.take(count)

    async def read_exactly(self, count: int) -> bytes:
        """The next `count` bytes; for counts within the limits of a command."""
        while len(self.intake) < count:
            await self._more()
        return self.intake.take(count)

    async def read_some(self, most: int) -> bytes:
        """At least one and at most `most` bytes."""
        if not len(self.intake):
            await self._more()
        return self.intake.take(min(most, len(self.intake)))

    async def discard_line(self, most: int) -> bytes:
        """Drops input up to and with the next line end; the last bytes of it.

        Raises:
            LineTooLong: it is further than `most`.
        """
        intake, end = self.intake, b""
        while not (count := intake.line_bytes(len(intake))):
            most -= len(intake)
            if most < 0:
                raise LineTooLong
            end = (end + intake.take(len(intake)))[-_END_BYTES:]
            await self._more()
        return (end + intake.take(count))[-_END_BYTES:]

    async def wait(self, timeout_s: float) -> None:
        """Until there is input, `wake` was called, or time is up."""
        if self._is_woken:
            self._is_woken = False
            return
        if self._advance():
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
        before = len(self.intake)
        if self._advance():
            return
        if self._is_eof:
            raise Disconnected
        timeout_s = self.timeout_s
        if self.deadline_at is not None:
            timeout_s = min(timeout_s, max(0.0, self.deadline_at - self._loop.time()))
        while len(self.intake) == before:
            if self.ending is not None:
                raise self.ending
            await self._wait_for_input(timeout_s)
            if self._is_eof and len(self.intake) == before:
                raise Disconnected

    async def _wait_for_input(self, timeout_s: float) -> None:
        if self._is_reading_paused:
            self.transport.resume_reading()
            self._is_reading_paused = False
        self._reader = self._loop.create_future()
        self._silent_at = self._loop.time() + timeout_s
        if self._alarm is None or self._alarm.when() - self._silent_at > _TICK_S:
            self._set_alarm()
        try:
            await self._reader
        finally:
            self._reader = None

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = self._loop.call_at(self._silent_at, self._ring)

    def _ring(self) -> None:
        """Ends a wait that has taken its time. One alarm serves many waits: a client that sends
        something puts it off, and it is set anew only when it rings too early.
        """
        self._alarm = None
        if self._reader is None or self._reader.done():
            return
        if self._silent_at - self._loop.time() > _TICK_S:
            self._set_alarm()
        else:
            self._reader.set_exception(Silence())

    def _advance(self) -> bool:
        """Whether there is more input than there was, without the client's doing anything."""
        if self.intake.is_plain:
            return False
        try:
            has_more = self.intake.advance()
        except (ssl.SSLError, ValueError):
            self._break_off()
            return False
        self._tell_tls()
        return has_more

    def _tell_tls(self) -> None:
        """Sends what TLS itself has to say, and hears that nothing more comes."""
        tls = self.intake.tls
        if tls is None:
            return
        self._is_eof = self._is_eof or tls.is_over
        if not self._is_lost and (answer := tls.outgoing()):
            self.transport.write(answer)

    def _break_off(self) -> None:
        """Ends a connection whose TLS or compression is broken, with nothing but an alert (RFC 8446
        6.2).
        """
        if not self._is_lost:
            if self.intake.tls is not None:
                self.transport.write(self.intake.tls.outgoing())
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
        """Sends what is gathered and waits while the client does not read.

        Raises:
            Disconnected: the client is gone, or it did not read for too long.
        """
        self.send()
        if self._is_writing_paused and not self._is_lost:
            self._writer = self._loop.create_future()
            timer = self._loop.call_later(self.timeout_s, _expire, self._writer)
            try:
                await self._writer
            except Silence:  # a literal may be half said: not even a farewell can follow
                self.abort()
                raise Disconnected from None
            finally:
                timer.cancel()
                self._writer = None
        if self._is_lost:
            raise Disconnected

    def send(self) -> None:
        """Hands what is gathered to the transport, without waiting."""
        tls, deflate, tracer = self.intake.tls, self.intake.deflate, self.intake.tracer
        if tls is not None and not tls.is_ready:
            return  # nothing is said within a handshake
        if self._output and not self._is_lost:
            raw = b"".join(self._output)
            if tracer is not None:
                tracer("server", raw)
            packed = raw if deflate is None else deflate.pack(raw)
            self.sent_bytes += len(packed)
            self.transport.write(packed if tls is None else tls.seal(packed))
        self._output.clear()
        self._output_bytes = 0

    # --- compression

    def start_compression(self) -> None:
        """Compresses from here on, and takes what comes for compressed (RFC 4978 3)."""
        self.send()
        try:
            self.intake.start_compression()
        except ValueError:
            self._break_off()

    def end_compression(self) -> None:
        """No compression from here on (RFC 8437 4)."""
        self.send()
        self.intake.end_compression()

    # --- the connection

    async def unless_lost(self, work: Awaitable[T]) -> T:
        """What `work` gives. It ends when the client is gone, so it must not change anything.

        Raises:
            Disconnected: the client is gone.
        """
        self._vain = task = asyncio.current_task()
        try:
            return await work
        except asyncio.CancelledError:
            if task is not None and self._is_lost and not task.uncancel():
                raise Disconnected from None
            raise
        finally:
            self._vain = None

    def begin_tls(self, context: ssl.SSLContext) -> None:
        """Is TLS from here on; input that came before is dropped."""
        self.send()
        self.intake.begin_tls(Tls(context))

    async def secured(self, timeout_s: float) -> None:
        """Waits for the handshake of TLS.

        Raises:
            Disconnected: it failed, or took too long.
        """
        ends_at = self._loop.time() + timeout_s
        while (tls := self.intake.tls) is not None and not tls.is_ready:
            if self._is_eof:
                raise Disconnected
            try:
                await self._wait_for_input(ends_at - self._loop.time())
            except Silence as error:
                raise Disconnected from error

    def channel(self) -> ssl.SSLObject | None:
        """The connection's TLS, None in clear text."""
        tls = self.intake.tls
        return None if tls is None else tls.channel

    def tls_name(self) -> str:
        """Version and cipher of the connection's TLS, "" in clear text."""
        channel = self.channel()
        if channel is None:
            return ""
        cipher = channel.cipher()
        return f"{channel.version()} {cipher[0] if cipher else ''}".strip()

    def close(self) -> None:
        """Sends the rest and closes; a client that does not read it is cut off soon."""
        self.send()
        if self._is_lost:
            return
        if self.intake.tls is not None:
            self.transport.write(self.intake.tls.farewell())
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
