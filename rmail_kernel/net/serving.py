"""Accepting on listening sockets: one server per listener."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping, Sequence

from rmail_kernel.errors import ConfigError
from rmail_kernel.net.accepting import Acceptor, Terms
from rmail_kernel.net.crowd import Crowd
from rmail_kernel.net.listeners import Listener
from rmail_kernel.net.tls import TlsContexts
from rmail_kernel.settings import ProxyProtocolSettings

HANDSHAKE_S = 30.0


class Serving:
    """The listeners that accept now.

    Args:
        crowd: what the other workers have; None: there are none.
    """

    def __init__(self, proxies: ProxyProtocolSettings, crowd: Crowd | None) -> None:
        self._proxies = proxies
        self._crowd = crowd
        self._servers: list[asyncio.Server | Acceptor] = []

    async def add(
        self, tls: TlsContexts | None, listener: Listener, listening: socket.socket
    ) -> None:
        """Starts to accept on one socket.

        Raises:
            ConfigError: the listener wants TLS and TLS is off.
        """
        context = None
        if listener.implicit_tls:
            if tls is None:
                raise ConfigError(f"listener {listener.name} needs TLS", path="tls.enabled")
            if not listener.has_own_tls:
                context = tls.http if listener.is_http else tls.server
        is_proxied = listener.name in self._proxies.listeners
        trusted = tuple(self._proxies.trusted) if is_proxied else ()
        crowd = self._crowd if listener.is_lasting else None
        if trusted or crowd is not None:
            terms = Terms(trusted, self._proxies.header_s, context, HANDSHAKE_S)
            self._servers.append(Acceptor(listening, listener.protocol, terms, crowd))
            return
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
    tls: TlsContexts | None,
    listeners: Sequence[Listener],
    sockets: Mapping[str, socket.socket],
    proxies: ProxyProtocolSettings,
    crowd: Crowd | None = None,
) -> Serving:
    """Accepts on the socket of each listener.

    Args:
        tls: the contexts for implicit TLS; None: TLS is off.
        sockets: by listener name.
        proxies: which listeners have proxies before them.
        crowd: what the other workers have; None: there are none.

    Raises:
        ConfigError: a listener wants TLS and TLS is off; none accepts then.
    """
    serving = Serving(proxies, crowd)
    try:
        for listener in listeners:
            await serving.add(tls, listener, sockets[listener.name])
    except BaseException:
        serving.close()
        raise
    return serving
