"""Accepting behind a proxy: trusted hosts announce their client before anything else, TLS included.

Whoever is not trusted is taken for what he is; a header from him is no header. Headers are bounded
in size and time, and so are the connections that have not sent theirs.
"""

from __future__ import annotations

import asyncio
import contextvars
import socket
import ssl
from collections.abc import Callable
from functools import partial

import structlog

from rmail_kernel.errors import Invalid
from rmail_kernel.net.networks import address_of, is_within
from rmail_kernel.net.proxy_header import Client, read_client

MAX_WAITING = 512  # connections of one listener without their header, or within a TLS handshake
_PAUSE_S = 0.5  # after an accept that failed, as for want of descriptors
_log = structlog.get_logger("rmail.proxy")
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


class ProxiedServer:
    """Accepts on one socket until it is closed.

    Args:
        protocol: makes the protocol of a connection; it may ask `announced`.
        trusted: networks whose headers are needed and believed.
        header_s: how long a header may take.
        context: for TLS from the first byte behind the header. handshake_s: how long that may take.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        *,
        trusted: tuple[str, ...],
        header_s: float,
        context: ssl.SSLContext | None,
        handshake_s: float | None,
    ) -> None:
        self._listening = listening
        self._protocol = protocol
        self._trusted = trusted
        self._header_s = header_s
        self._context = context
        self._handshake_s = handshake_s
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._accepting = self._loop.create_task(self._accept(), name="accept")

    def close(self) -> None:
        """Stops accepting; connections that stand go on. Idempotent."""
        self._accepting.cancel()
        for task in self._waiting:
            task.cancel()
        self._listening.close()

    async def _accept(self) -> None:
        while True:
            await self._room.acquire()
            try:
                accepted, address = await self._loop.sock_accept(self._listening)
            except OSError as error:
                self._room.release()
                _log.warning("cannot accept", reason=str(error))
                await asyncio.sleep(_PAUSE_S)
                continue
            task = self._loop.create_task(self._begin(accepted, address), name="proxied")
            self._waiting.add(task)
            task.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._waiting.discard(task)
        self._room.release()

    async def _begin(self, accepted: socket.socket, address: object) -> None:
        host, _ = address_of(address)
        accepted.setblocking(False)
        is_taken = False
        try:
            if is_within(host, self._trusted):
                async with asyncio.timeout(self._header_s):
                    _announced.set(await read_client(partial(self._read, accepted)))
            is_taken = True  # from here on the loop closes it
            await self._loop.connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=self._context,
                ssl_handshake_timeout=self._handshake_s if self._context else None,
            )
        except (Invalid, TimeoutError, EOFError) as error:
            _log.info("no PROXY header from a trusted host", peer=host, reason=str(error))
        except (OSError, ssl.SSLError) as error:
            _log.debug("client has gone", peer=host, reason=str(error))
        finally:
            if not is_taken:
                accepted.close()

    async def _read(self, accepted: socket.socket, size: int) -> bytes:
        raw = b""
        while len(raw) < size:
            piece = await self._loop.sock_recv(accepted, size - len(raw))
            if not piece:
                raise EOFError("the connection ended")
            raw += piece
        return raw
