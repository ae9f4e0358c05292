"""The hub: passes changes from each process to all others over a Unix stream socket. Runs in the
supervisor; a slow process gets merged changes and never holds up another.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import structlog

from rmail_kernel import runfiles
from rmail_kernel.process import unix_socket
from rmail_kernel.process.outbox import LineReader, Outbox

SOCKET_FILE = "hub.sock"
_log = structlog.get_logger("rmail.hub")


class Hub:
    """The clients of now. Used on the event loop only."""

    def __init__(self) -> None:
        self._clients: set[_Client] = set()
        self._server: asyncio.Server | None = None
        self._path = Path()

    async def start(self, mail_root: Path) -> None:
        """Listens at {mail_root}/run/hub.sock, for the store's owner only. The caller holds the
        server's lock, so a socket that lies there belongs to nobody.

        Raises:
            OSError: the socket cannot be made.
        """
        self._path = path = runfiles.make_folder(mail_root, "run") / SOCKET_FILE
        listening = unix_socket.bind(mail_root, path)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(lambda: _Client(self), sock=listening)
        except BaseException:
            listening.close()
            raise

    def close(self) -> None:
        """Ends all connections."""
        if self._server is not None:
            self._server.close()
            self._server = None
            self._path.unlink(missing_ok=True)
        for client in list(self._clients):
            client.close()

    def join(self, client: _Client) -> None:
        """A process connected."""
        self._clients.add(client)

    def leave(self, client: _Client) -> None:
        """A process is gone."""
        self._clients.discard(client)

    def others(self, client: _Client) -> list[_Client]:
        """Everyone but `client`."""
        return [other for other in self._clients if other is not client]


class _Client(asyncio.Protocol):
    """The hub's end of the connection to one process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._reader = LineReader()
        self._transport: asyncio.Transport | None = None
        self.outbox = Outbox()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self.outbox.attach(self._transport)
        self._hub.join(self)

    def data_received(self, data: bytes) -> None:
        try:
            changes = self._reader.feed(data)
        except ValueError as error:
            _log.error("hub client dropped", reason=str(error))
            self.close()
            return
        for other in self._hub.others(self):
            for change in changes:
                other.outbox.add(change)

    def pause_writing(self) -> None:
        self.outbox.pause()

    def resume_writing(self) -> None:
        self.outbox.resume()

    def connection_lost(self, _error: Exception | None) -> None:
        self.outbox.detach()
        self._hub.leave(self)

    def close(self) -> None:
        """Cuts the connection; a slow reader is not waited for."""
        if self._transport is not None:
            self._transport.abort()
