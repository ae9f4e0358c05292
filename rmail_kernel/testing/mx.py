"""A mail exchanger on loopback that keeps what it gets, with the extensions and the misbehaviour
that a test asks for: the internet's MX hosts for tests.

RFC 5321, 1870, 2920, 3030, 3207, 3461, 4954.
"""

from __future__ import annotations

import asyncio
import ssl
from types import TracebackType

from rmail_kernel.testing.mx_script import MxScript
from rmail_kernel.testing.mx_session import MxSession


class FakeMx(MxScript):
    """Takes mail over SMTP, as its script says.

    Attributes:
        connections: how many were made. open, most_open: how many there are, and were, at a time.
    """

    def __init__(self) -> None:
        super().__init__()
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self._server: asyncio.Server | None = None
        self._sessions: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> FakeMx:
        await self.start()
        return self

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Listens, for tests that cannot use the context manager."""
        self._server = await asyncio.start_server(self._serve, host, port, limit=1 << 24)

    async def stop(self) -> None:
        """Stops listening and drops every session."""
        if self._server is not None:
            self._server.close()
        for task in list(self._sessions):
            task.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.stop()

    @property
    def port(self) -> int:
        """The port it listens on."""
        assert self._server is not None, "not started"
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        self.connections += 1
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await MxSession(self, reader, writer).run()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass  # the peer left, or the test is over
        finally:
            self._sessions.discard(task)
            self.open -= 1
            writer.transport.abort()
            async with self.arrived:
                self.arrived.notify_all()
