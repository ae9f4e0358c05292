"""Accepting on listening sockets: one asyncio server per listener."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rmail_kernel.errors import ConfigError
from rmail_kernel.net.listeners import Listener

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

HANDSHAKE_S = 30.0


class Serving:
    """The servers that accept now."""

    def __init__(self) -> None:
        self._servers: list[asyncio.Server] = []

    async def add(self, kernel: Kernel, listener: Listener, listening: socket.socket) -> None:
        """Starts to accept on one socket.

        Raises:
            ConfigError: the listener wants TLS and TLS is off.
        """
        context = None
        if listener.implicit_tls:
            if kernel.tls is None:
                raise ConfigError(f"listener {listener.name} needs TLS", path="tls.enabled")
            is_http = listener.name == "https"
            context = kernel.tls.http if is_http else kernel.tls.server
        server = await asyncio.get_running_loop().create_server(
            listener.protocol,
            sock=listening,
            ssl=context,
            ssl_handshake_timeout=HANDSHAKE_S if context else None,
            backlog=listener.backlog,
        )
        self._servers.append(server)

    def close(self) -> None:
        """Stops accepting; open connections go on. Idempotent."""
        for server in self._servers:
            server.close()
        self._servers.clear()


async def serve(
    kernel: Kernel, listeners: Sequence[Listener], sockets: Mapping[str, socket.socket]
) -> Serving:
    """Accepts on the socket of each listener.

    Raises:
        ConfigError: a listener wants TLS and TLS is off; none accepts then.
    """
    serving = Serving()
    try:
        for listener in listeners:
            await serving.add(kernel, listener, sockets[listener.name])
    except BaseException:
        serving.close()
        raise
    return serving
