"""A host that says what it is told to, whatever it is asked."""

from __future__ import annotations

import asyncio
from types import TracebackType


class Liar:
    """Answers each read with the next of `replies`, and then says nothing more.

    Attributes:
        greeting: said first. pause_s: between two bytes of it.
        is_unasked: it does not wait to be asked.
    """

    def __init__(self) -> None:
        self.greeting = b"220 liar\r\n"
        self.pause_s = 0.0
        self.replies: list[bytes] = []
        self.is_unasked = False
        self.connections = 0
        self._gone = asyncio.Event()
        self._server: asyncio.Server | None = None

    @property
    def port(self) -> int:
        """Where it listens."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def __aenter__(self) -> Liar:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._gone.set()
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await self._talk(reader, writer)
        except ConnectionError:
            return
        finally:
            writer.transport.abort()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for at in range(len(self.greeting) if self.pause_s else 0):
            writer.write(self.greeting[at : at + 1])
            await asyncio.sleep(self.pause_s)  # this is what it is about
        writer.write(b"" if self.pause_s else self.greeting)
        for reply in self.replies:
            if not self.is_unasked and not await reader.read(1 << 16):
                return
            writer.write(reply)
            await writer.drain()
        await self._gone.wait()
