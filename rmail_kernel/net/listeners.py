"""What a plugin says about a socket it serves. Opening, inheriting and accepting is the process
layer's work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Listener:
    """A named listening socket.

    Args:
        name: unique, appears in ports.json and in systemd's LISTEN_FDNAMES ("smtp", "submission",
            "imaps", ...).
        host: address to bind, "0.0.0.0" means IPv4 any, "::" both families.
        port: TCP port; 0 picks a free one.
        protocol: makes the asyncio protocol of one accepted connection (for aiosmtpd,
            StreamReaderProtocol, aiohttp). It asks `net.proxied.announced` there for the client
            behind a proxy.
        implicit_tls: TLS from the first byte with the kernel's context.
        backlog: length of the accept queue.
        is_http: the handshake offers http/1.1 by ALPN (RFC 7301).
        has_own_tls: the protocol does implicit TLS by itself, and gets what comes as it comes.
        is_lasting: clients stay long, so each goes to the worker that has fewest connections; that
            takes longer than to let in who comes and goes.
    """

    name: str
    host: str
    port: int
    protocol: Callable[[], asyncio.BaseProtocol]
    implicit_tls: bool = False
    backlog: int = 1024
    is_http: bool = False
    has_own_tls: bool = False
    is_lasting: bool = False
