"""The bytes of one connection, both ways: bounded buffers, a timeout on every wait.

It knows what a reply is, and nothing of commands. After STARTTLS nothing that came in clear text
may be taken for an answer (RFC 3207 6).
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from rmail_kernel.errors import Invalid
from rmail_relay.client.reply import MAX_LINE_BYTES, Reply, ReplyParser
from rmail_relay.client.verdict import Garbled, Lost, Silent, TlsFailed

BUFFER_BYTES = 1 << 16
"""Unread bytes of the peer; it has to wait when there are more."""
_QUIT_S = 5.0
_LOST = "The peer closed the connection"


class Wire(asyncio.Protocol):
    """One connection. Made by `loop.create_connection`; one reader and one writer at a time.

    Attributes:
        closed: done when the connection is gone.
    """

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._is_lost = False
        self._is_full = False
        self._is_held = False
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.on_idle_end: Callable[[], None] | None = None

    # --- what the event loop calls ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is up."""
        self._transport = transport  # type: ignore[assignment]  # uvloop's are of no common class

    def data_received(self, data: bytes) -> None:
        """More of a reply; too much of it has to wait."""
        self._buffer += data
        if len(self._buffer) > BUFFER_BYTES and not self._is_held:
            self._is_held = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        """The peer says no more; the transport closes itself."""
        self._lose()

    def connection_lost(self, _: Exception | None) -> None:
        """It is over."""
        if not self.closed.done():
            self.closed.set_result(None)
        self._lose()

    def pause_writing(self) -> None:
        """The peer does not take what is written."""
        self._is_full = True

    def resume_writing(self) -> None:
        """There is room again."""
        self._is_full = False
        self._wake()

    # --- what the session calls ---

    @property
    def is_fresh(self) -> bool:
        """Open, and nothing came that was not asked for."""
        return not self._is_lost and not self._buffer and not self._transport.is_closing()

    @property
    def has_bytes(self) -> bool:
        """Whether something came that nobody has read yet."""
        return bool(self._buffer)

    @property
    def has_reply(self) -> bool:
        """Whether something came that nobody has read yet, or the peer left."""
        return bool(self._buffer) or self._is_lost

    @property
    def peer(self) -> tuple[str, int]:
        """Address and port of the other side."""
        host, port = self._transport.get_extra_info("peername")[:2]
        return host, port

    async def read_reply(self, timeout_s: float) -> Reply:
        """The next reply, all of it within the time.

        Raises:
            Lost, Silent, Garbled: there is none.
        """
        parser = ReplyParser()
        try:
            if (reply := self._parse(parser)) is not None:
                return reply
            async with asyncio.timeout(timeout_s):
                while True:
                    if self._is_lost:
                        raise Lost(_LOST)
                    await self._wait()
                    if (reply := self._parse(parser)) is not None:
                        return reply
        except TimeoutError as error:
            self.abort()
            raise Silent("The peer did not answer in time") from error
        except Invalid as error:
            self.abort()
            raise Garbled(error.safe) from error

    async def write(self, raw: bytes, timeout_s: float) -> None:
        """Sends bytes; returns when there is room for more.

        Raises:
            Lost, Silent: they may not have arrived.
        """
        if self._is_lost:
            raise Lost(_LOST)
        self._transport.write(raw)
        if not self._is_full:
            return
        try:
            async with asyncio.timeout(timeout_s):
                while self._is_full and not self._is_lost:
                    await self._wait()
        except TimeoutError as error:
            self.abort()
            raise Silent("The peer took no more of the message in time") from error
        if self._is_lost:
            raise Lost(_LOST)

    async def start_tls(
        self, context: ssl.SSLContext, server_name: str | None, timeout_s: float
    ) -> None:
        """The handshake, after the peer agreed to it or as the first thing.

        Raises:
            TlsFailed: it failed, or bytes came before it; the connection is of no use any more.
        """
        if self._buffer:  # RFC 3207 6: somebody wrote into the clear text
            self.abort()
            raise TlsFailed("The peer sent something before TLS began")
        try:
            async with asyncio.timeout(timeout_s):
                transport = await self._loop.start_tls(
                    self._transport, self, context, server_hostname=server_name
                )
        except (OSError, TimeoutError, ValueError) as error:  # ssl.SSLError is an OSError
            self.abort()
            raise TlsFailed(f"TLS failed: {_reason(error)}") from error
        if transport is None:
            raise TlsFailed("TLS failed: the peer closed the connection")
        self._transport = transport

    @property
    def tls(self) -> str:
        """Version and cipher; "" in clear text."""
        found: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
        if found is None:
            return ""
        cipher = found.cipher()
        return f"{found.version()} {cipher[0]}" if cipher else str(found.version())

    def quit(self) -> None:
        """Says QUIT and closes when the peer has answered or closed, or after some seconds (RFC
        5321 4.1.1.10).
        """
        if self._is_lost or self._transport.is_closing():
            self.abort()
            return
        self._transport.write(b"QUIT\r\n")
        self.on_idle_end = self._transport.close
        self._loop.call_later(_QUIT_S, self.abort)

    def abort(self) -> None:
        """Closes at once."""
        self._is_lost = True
        self._transport.abort()

    # --- inside ---

    def _parse(self, parser: ReplyParser) -> Reply | None:
        while (end := self._buffer.find(b"\n", self._searched)) >= 0:
            raw_line = bytes(self._buffer[:end]).removesuffix(b"\r")
            del self._buffer[: end + 1]
            self._searched = 0
            if (reply := parser.take(raw_line)) is not None:
                self._let_go()
                return reply
        if len(self._buffer) > MAX_LINE_BYTES:
            raise Invalid("The peer sent a line without end")
        self._searched = len(self._buffer)
        self._let_go()
        return None

    def _let_go(self) -> None:
        if self._is_held and len(self._buffer) < BUFFER_BYTES // 2:
            self._is_held = False
            self._transport.resume_reading()

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        if self.on_idle_end is not None:
            self.on_idle_end()

    def _lose(self) -> None:
        self._is_lost = True
        self._wake()


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate is not good: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return error.reason or "no handshake"
    if isinstance(error, TimeoutError):
        return "the peer did not answer in time"
    return "no handshake"
