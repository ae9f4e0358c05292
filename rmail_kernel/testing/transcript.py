"""Protocol tests as transcripts: `C:` lines are sent, `S:` lines must come, nothing may be left.

An `S:` line is a pattern: `*` stands for any text within the line, everything else is literal.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from types import TracebackType

TIMEOUT_S = 10.0
_MAX_LINE_BYTES = 1 << 24


def trusting_context() -> ssl.SSLContext:
    """A TLS context that takes the server's self-signed certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Transcript:
    """One client connection under test.

    Args:
        host, port: where to connect.
        tls: TLS from the first byte.

    Used as an async context manager; leaving it in peace checks that nothing is left unread.
    """

    def __init__(self, host: str, port: int, *, tls: bool = False) -> None:
        self._target = (host, port)
        self._tls = trusting_context() if tls else None
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def __aenter__(self) -> Transcript:
        async with asyncio.timeout(TIMEOUT_S):
            self.reader, self.writer = await asyncio.open_connection(
                *self._target, ssl=self._tls, limit=_MAX_LINE_BYTES
            )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self._expect_silence()
        finally:
            self.writer.close()
            await asyncio.gather(self.writer.wait_closed(), return_exceptions=True)

    async def run(self, script: str) -> list[str]:
        """Plays a transcript; blank lines and `#` comments are skipped.

        Returns:
            The server's lines, without line ends, in order.

        Raises:
            AssertionError: the server said something else, closed, or said nothing for TIMEOUT_S.
        """
        heard = []
        for raw in script.strip().splitlines():
            line = raw.strip()
            if line.startswith("C:"):
                await self.send(line[2:].removeprefix(" ").encode() + b"\r\n")
            elif line.startswith("S:"):
                heard.append(await self.expect(line[2:].removeprefix(" ")))
            elif line and not line.startswith("#"):
                raise ValueError(f"neither C: nor S: but {line!r}")
        return heard

    async def send(self, raw: bytes) -> None:
        """Sends bytes as they are."""
        self.writer.write(raw)
        async with asyncio.timeout(TIMEOUT_S):
            await self.writer.drain()

    async def expect(self, pattern: str) -> str:
        """Reads one line, which must match the pattern."""
        line = await self.line()
        expression = ".*".join(map(re.escape, pattern.split("*")))
        assert re.fullmatch(expression, line, re.S), f"expected {pattern!r}, got {line!r}"
        return line

    async def line(self) -> str:
        """Reads one line, without its CRLF."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                raw = await self.reader.readline()
        except TimeoutError as error:
            raise AssertionError("the server said nothing") from error
        assert raw.endswith(b"\r\n"), f"the server closed after {raw!r}"
        return raw[:-2].decode("utf-8", "surrogateescape")

    async def until(self, pattern: str) -> list[str]:
        """Reads lines up to and with the first that matches."""
        lines: list[str] = []
        expression = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.S)
        while not lines or not expression.fullmatch(lines[-1]):
            lines.append(await self.line())
        return lines

    async def expect_close(self) -> None:
        """The server closes without another byte."""
        async with asyncio.timeout(TIMEOUT_S):
            rest = await self.reader.read()
        assert rest == b"", f"unread: {rest!r}"

    async def start_tls(self) -> None:
        """Switches to TLS, as after STARTTLS."""
        async with asyncio.timeout(TIMEOUT_S):
            await self.writer.start_tls(trusting_context())

    async def _expect_silence(self) -> None:
        if not self.writer.is_closing() and self.writer.can_write_eof():
            self.writer.write_eof()
        else:
            self.writer.close()
        try:
            async with asyncio.timeout(TIMEOUT_S):
                rest = await self.reader.read()
        except (ConnectionError, TimeoutError):
            return
        farewell = rest.startswith((b"* BYE", b"421"))
        assert rest == b"" or farewell, f"unread: {rest!r}"
