"""A mail exchanger on loopback that keeps what it gets: the internet's MX hosts for tests."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import TracebackType


@dataclass(slots=True)
class Received:
    """One message as it arrived."""

    sender: str
    recipients: list[str] = field(default_factory=list)
    raw: bytes = b""


class FakeMx:
    """Takes mail over SMTP (RFC 5321, without extensions).

    Attributes:
        messages: what was accepted.
        replies: verb ("MAIL", "RCPT", "DATA", "." or "HELO") -> a reply to give instead of success.
    """

    def __init__(self) -> None:
        self.messages: list[Received] = []
        self.replies: dict[str, str] = {}
        self._server: asyncio.Server | None = None
        self._arrived = asyncio.Condition()

    async def __aenter__(self) -> FakeMx:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def wait_for(self, count: int = 1, timeout_s: float = 10.0) -> list[Received]:
        """The messages, once there are at least `count`.

        Raises:
            TimeoutError: not within `timeout_s`.
        """
        async with asyncio.timeout(timeout_s), self._arrived:
            await self._arrived.wait_for(lambda: len(self.messages) >= count)
        return self.messages

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        message = Received("")
        writer.write(b"220 mx.test\r\n")
        while line := await reader.readline():
            verb = line.split(None, 1)[0].upper().decode("ascii", "replace") if line.strip() else ""
            if verb == "QUIT":
                writer.write(b"221 bye\r\n")
                break
            reply = self.replies.get(verb, "354 go" if verb == "DATA" else "250 ok")
            if reply.startswith("2"):
                message = _note(message, verb, line.decode("utf-8", "replace"))
            writer.write(f"{reply}\r\n".encode())
            if reply.startswith("354"):
                await self._data(reader, writer, message)
            await writer.drain()
        writer.close()

    async def _data(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, message: Received
    ) -> None:
        lines = []
        while (line := await reader.readline()) not in (b".\r\n", b""):
            lines.append(line[1:] if line.startswith(b".") else line)
        reply = self.replies.get(".", "250 taken")
        if reply.startswith("2"):
            message.raw = b"".join(lines)
            async with self._arrived:
                self.messages.append(message)
                self._arrived.notify_all()
        writer.write(f"{reply}\r\n".encode())


def _note(message: Received, verb: str, line: str) -> Received:
    path = line.partition("<")[2].partition(">")[0]
    if verb == "MAIL":
        return Received(path)
    if verb == "RCPT":
        message.recipients.append(path)
    return message
