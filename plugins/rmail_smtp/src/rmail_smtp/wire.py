"""One connection's bytes: command lines, message chunks and replies, each bounded in size and time.

RFC 5321 2.3.8 (lines end in CR LF, and only so), 4.5.3.2 (timeouts), RFC 2920 3.2 (replies to a
group of commands go out together).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

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
    """The client neither sent nor took anything for too long."""


class ClosedError(WireError):
    """The client has gone."""


class Wire:
    """Reads and writes one connection.

    Args:
        idle_s: seconds to wait for the client to send or to take something.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, idle_s: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._idle_s = idle_s
        self._pending = bytearray()
        self._replies = bytearray()

    async def line(self) -> bytes:
        """The next line, without its CR LF.

        Raises:
            EndlessLineError, BareNewlineError: it is not a line; the connection is of no more use.
            ClosedError, IdleError: the client has gone, or said nothing for idle_s.
        """
        seen = 0
        while (end := self._pending.find(b"\n", seen)) < 0:
            seen = len(self._pending)
            if seen > MAX_LINE_BYTES:
                raise EndlessLineError
            self._pending += await self._receive()
        raw = bytes(self._pending[: end + 1])
        del self._pending[: end + 1]
        if len(raw) > MAX_LINE_BYTES:
            raise EndlessLineError
        # RFC 5321 2.3.8: what others take for a line end must never end or hide in a line here.
        if not raw.endswith(b"\r\n") or b"\r" in raw[:-2]:
            raise BareNewlineError
        return raw[:-2]

    async def chunk(self) -> bytes:
        """Some more bytes, at least one. Raises ClosedError and IdleError like `line`."""
        if self._pending:
            raw = bytes(self._pending)
            self._pending.clear()
            return raw
        return await self._receive()

    async def exactly(self, size: int) -> AsyncIterator[bytes]:
        """The next `size` bytes in pieces. Raises ClosedError and IdleError like `line`."""
        while size > 0:
            raw = await self.chunk()
            if len(raw) > size:
                self.unread(raw[size:])
                raw = raw[:size]
            size -= len(raw)
            yield raw

    def unread(self, raw: bytes) -> None:
        """Gives back what was read too far."""
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

    async def _receive(self) -> bytes:
        await self.flush()
        try:
            async with asyncio.timeout(self._idle_s):
                raw = await self._reader.read(CHUNK_BYTES)
        except TimeoutError as error:
            raise IdleError from error
        except ConnectionError as error:
            raise ClosedError from error
        if not raw:
            raise ClosedError
        return raw
