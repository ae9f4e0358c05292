"""Accepting on one socket: workers that have fewer connections come first, and behind a proxy the
client is who the proxy says it is. Connections that are not made yet are bounded in number and in
time.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from rmail_kernel.errors import Invalid
from rmail_kernel.net.crowd import Crowd
from rmail_kernel.net.networks import address_of
from rmail_kernel.net.proxied import hear

MAX_WAITING: Final = 512
"""Connections of one listener without their header, or within a TLS handshake."""
YIELD_S: Final = 0.005
"""How long a connection waits for a worker that has fewer."""
_PAUSE_S: Final = 0.5  # after an accept that failed, as for want of descriptors
_log = structlog.get_logger("rmail.accept")


@dataclass(frozen=True, slots=True)
class Terms:
    """How connections are taken.

    Attributes:
        trusted: networks whose PROXY headers are needed and believed.
        header_s: how long a header may take.
        context: for TLS from the first byte behind the header.
        handshake_s: how long that may take.
    """

    trusted: tuple[str, ...] = ()
    header_s: float = 0.0
    context: ssl.SSLContext | None = None
    handshake_s: float | None = None


class Acceptor:
    """Accepts on one socket until it is closed.

    Args:
        protocol: makes the protocol of a connection; it may ask `announced`.
        crowd: what the other workers have; None: there are none.
    """

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.BaseProtocol],
        terms: Terms,
        crowd: Crowd | None,
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._protocol = protocol
        self._terms = terms
        self._crowd = crowd
        self._loop = asyncio.get_running_loop()
        self._beginning: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_WAITING)
        self._accepting = self._loop.create_task(self._accept(), name="accept")

    def close(self) -> None:
        """Stops accepting; connections that stand go on. Idempotent."""
        self._accepting.cancel()
        for task in self._beginning:
            task.cancel()
        if self._listening.fileno() >= 0:
            self._loop.remove_reader(self._listening)
        self._listening.close()

    async def _accept(self) -> None:
        while True:
            await self._room.acquire()
            try:
                accepted, address = await self._next()
            except OSError as error:
                self._room.release()
                _log.warning("cannot accept", reason=str(error))
                await asyncio.sleep(_PAUSE_S)
                continue
            task = self._loop.create_task(self._begin(accepted, address), name="begin")
            self._beginning.add(task)
            task.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[None]) -> None:
        self._beginning.discard(task)
        self._room.release()

    async def _next(self) -> tuple[socket.socket, object]:
        """The next connection that no other worker takes."""
        while True:
            await self._readable()
            if self._crowd is not None and self._crowd.is_ahead:
                await asyncio.sleep(YIELD_S)
            try:
                accepted = self._listening.accept()
            except BlockingIOError:
                continue  # another worker was first
            if self._crowd is not None:  # until it counts
                self._crowd.expect(1)
                self._loop.call_later(YIELD_S, self._crowd.expect, -1)
            return accepted

    async def _readable(self) -> None:
        ready = self._loop.create_future()
        self._loop.add_reader(self._listening, _set, ready)
        try:
            await ready
        finally:
            if self._listening.fileno() >= 0:  # else the number may be another's already
                self._loop.remove_reader(self._listening)

    async def _begin(self, accepted: socket.socket, address: object) -> None:
        terms = self._terms
        host, _ = address_of(address)
        accepted.setblocking(False)
        is_taken = False
        try:
            await hear(accepted, host, terms.trusted, terms.header_s)
            is_taken = True  # from here on the loop closes it
            await self._loop.connect_accepted_socket(
                self._protocol,
                accepted,
                ssl=terms.context,
                ssl_handshake_timeout=terms.handshake_s if terms.context else None,
            )
        except (Invalid, TimeoutError, EOFError) as error:
            _log.info("no PROXY header from a trusted host", peer=host, reason=str(error))
        except (OSError, ssl.SSLError) as error:
            _log.debug("client has gone", peer=host, reason=str(error))
        finally:
            if not is_taken:
                accepted.close()


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
