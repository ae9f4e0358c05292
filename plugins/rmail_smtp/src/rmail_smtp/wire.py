"""One connection's bytes: command lines, message chunks and replies, each bounded in size and time.

RFC 5321 2.3.8 (lines end in CR LF, and only so), 4.5.3.2 (timeouts), RFC 2920 3.2 (replies to a
group of commands go out together).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

CHUNK_BYTES = 1 << 16
MAX_LINE_BYTES = 12_288  # RFC 4954 4: the longest line there is, an AUTH exchange
MAX_PENDING_REPLY_BYTES = 1 << 16


class WireError(Exception):
    """The conversation cannot go on."""


class EndlessLineError(WireError):
    """A line did not end within MAX_LINE_BYTES."""


class BareNewlineError(WireError):
    """A line ended in LF alone, or held a CR."""


class IdleError(WireError):
    """The client neither sent nor took anything for too long, or not enough of it."""


class ClosedError(WireError):
    """The client has gone."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How slow a client may be.

    Args:
        idle_s: seconds to wait for a command, for some bytes of a message, or for the client to
            take something.
        min_bytes_per_s: of a message, on an average, once idle_s was spent waiting for it.
    """

    idle_s: float
    min_bytes_per_s: int = 0


class Wire:
    """Reads and writes one connection.

    Args:
        pace: how long to wait for the client.

    Attributes:
        waits_since: when the wait for the client began that is under way, time of the loop.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pace: Pace
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._idle_s = pace.idle_s
        self._min_bytes_per_s = pace.min_bytes_per_s
        self._clock = asyncio.get_running_loop().time
        self._waited_s = 0.0  # for the message that is under way, and what it brought
        self._received_bytes = 0
        self.waits_since: float | None = None
        self._pending = bytearray()
        self._replies = bytearray()

    async def line(self) -> bytes:
        """The next line, without its CR LF.

        Raises:
            EndlessLineError, BareNewlineError: it is not a line; the connection is of no more use.
            ClosedError, IdleError: the client has gone, or the line took longer than idle_s,
                however many bytes of it came (RFC 5321 4.5.3.2.7).
        """
        seen = 0
        due_at = None
        while (end := self._pending.find(b"\n", seen)) < 0:
            seen = len(self._pending)
            if seen > MAX_LINE_BYTES:
                raise EndlessLineError
            if due_at is None:
                due_at = self._clock() + self._idle_s
            self._pending += await self._receive(due_at)
        raw = bytes(self._pending[: end + 1])
        del self._pending[: end + 1]
        if len(raw) > MAX_LINE_BYTES:
            raise EndlessLineError
        # RFC 5321 2.3.8: what others take for a line end must never end or hide in a line here.
        if not raw.endswith(b"\r\n") or b"\r" in raw[:-2]:
            raise BareNewlineError
        return raw[:-2]

    def begin_message(self) -> None:
        """A message begins: its pace is measured from here on."""
        self._waited_s = 0.0
        self._received_bytes = 0

    async def chunk(self) -> bytes:
        """Some more bytes, at least one.

        Raises:
            ClosedError, IdleError: the client has gone, sent nothing for idle_s, or is too slow.
        """
        if self._pending:
            raw = bytes(self._pending)
            self._pending.clear()
        else:
            raw = await self._receive(self._clock() + self._idle_s)
        self._received_bytes += len(raw)
        least_bytes = (self._waited_s - self._idle_s) * self._min_bytes_per_s
        if self._received_bytes < least_bytes:
            raise IdleError
        return raw

    async def exactly(self, size: int) -> AsyncIterator[bytes]:
        """The next `size` bytes in pieces. Raises ClosedError and IdleError like `chunk`."""
        while size > 0:
            raw = await self.chunk()
            if len(raw) > size:
                self.unread(raw[size:])
                raw = raw[:size]
            size -= len(raw)
            yield raw

    def unread(self, raw: bytes) -> None:
        """Gives back what was read too far."""
        self._received_bytes -= len(raw)
        self._pending[:0] = raw

    def discard(self) -> None:
        """Forgets what was received and not yet read (RFC 3207 4.2)."""
        self._pending.clear()

    def reply(self, raw: bytes) -> None:
        """Adds a reply; it goes out before the next wait for the client at the latest."""
        self._replies += raw

    async def flush(self) -> None:
        """Sends the replies. Raises ClosedError, and IdleError when the client takes none."""
        if not self._replies:
            return
        raw = bytes(self._replies)
        self._replies.clear()
        if self._writer.transport.is_closing():
            raise ClosedError
        self._writer.write(raw)
        if not self._writer.transport.get_write_buffer_size():
            return  # nearly always: the kernel has taken all of it
        try:
            async with asyncio.timeout(self._idle_s):
                await self._writer.drain()
        except TimeoutError as error:
            raise IdleError from error
        except ConnectionError as error:
            raise ClosedError from error

    async def flush_if_full(self) -> None:
        """Sends the replies when a client pipelines commands without end."""
        if len(self._replies) > MAX_PENDING_REPLY_BYTES:
            await self.flush()

    async def linger(self, limit_bytes: int, limit_s: float) -> None:
        """Ends our side and drops what the client still sends, for a moment: closing with input
        unread would reset the connection and take the last reply with it (RFC 2525 2.17).
        """
        if not self._writer.can_write_eof():
            return
        with suppress(TimeoutError, ConnectionError):
            self._writer.write_eof()
            async with asyncio.timeout(limit_s):
                while limit_bytes > 0 and (raw := await self._reader.read(CHUNK_BYTES)):
                    limit_bytes -= len(raw)

    async def _receive(self, due_at: float) -> bytes:
        await self.flush()
        self.waits_since = began_at = self._clock()
        try:
            async with asyncio.timeout_at(due_at):
                raw = await self._reader.read(CHUNK_BYTES)
        except TimeoutError as error:
            raise IdleError from error
        except ConnectionError as error:
            raise ClosedError from error
        finally:
            self.waits_since = None
        if not raw:
            raise ClosedError
        # Only waiting counts: what we do with a message is not the client's fault.
        self._waited_s += self._clock() - began_at
        return raw
