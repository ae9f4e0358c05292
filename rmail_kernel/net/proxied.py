"""Who the client is behind a proxy: what a trusted host announces before anything else, also before
TLS.

Whoever is not trusted is taken for what he is; a header from him is no header.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
from functools import partial

from rmail_kernel.net.networks import address_of, is_within
from rmail_kernel.net.proxy_header import Client, read_client

_announced: contextvars.ContextVar[Client | None] = contextvars.ContextVar("client", default=None)


def client_of(transport: asyncio.BaseTransport, told: Client | None) -> Client:
    """Address and port of the client at the other end.

    Args:
        told: what `announced` gave when the protocol was made.
    """
    return told or address_of(transport.get_extra_info("peername"))


def announced() -> Client | None:
    """The client that a trusted proxy has announced for the protocol that is being made now; ask
    it where a listener's `protocol` is called. None: the peer is the client.
    """
    return _announced.get()


async def hear(
    accepted: socket.socket, host: str, trusted: tuple[str, ...], header_s: float
) -> None:
    """Takes the header of a trusted host; what `announced` gives in this task from now on.

    Args:
        host: the address of the peer.
        header_s: how long a header may take.

    Raises:
        Invalid, TimeoutError, EOFError, OSError: it does not come.
    """
    if is_within(host, trusted):
        async with asyncio.timeout(header_s):
            _announced.set(await read_client(partial(_read, accepted)))


async def _read(accepted: socket.socket, size: int) -> bytes:
    loop = asyncio.get_running_loop()
    raw = b""
    while len(raw) < size:
        piece = await loop.sock_recv(accepted, size - len(raw))
        if not piece:
            raise EOFError("the connection ended")
        raw += piece
    return raw
