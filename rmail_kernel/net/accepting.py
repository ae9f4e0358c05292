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
from functools import partial
from typing import Final

import structlog

from rmail_kernel.errors import Invalid
from rmail_kernel.net.crowd import Crowd
from rmail_kernel.net.networks import address_of
from rmail_kernel.net.proxied import hear

MAX_WAITING: Final = 512
"""Connections of one listener without their header, or within a TLS handshake."""
YIELD_S: Final = 0.001
YIELDS: Final = 5
"""How long, and how many times, a connection waits for a worker that has fewer."""
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
        self._later: asyncio.TimerHandle | None = None
        self._is_closed = False
        self._listen()

    def close(self) -> None:
        """Stops accepting; connections that stand go on. Idempotent."""
        if self._is_closed:
            return
        self._rest()
        self._is_closed = True
        for task in self._beginning:
            task.cancel()
        self._listening.close()

    def _listen(self) -> None:
        self._later = None
        if not self._is_closed and len(self._beginning) < MAX_WAITING:
            self._loop.add_reader(self._listening, self._ready)

    def _rest(self, pause_s: float | None = None, then: Callable[[], None] | None = None) -> None:
        """Looks at no connection, None: until it is told to."""
        self._loop.remove_reader(self._listening)
        if self._later is not None:
            self._later.cancel()
        self._later = (
            None if pause_s is None else self._loop.call_later(pause_s, then or self._listen)
        )

    def _ready(self) -> None:
        self._take_or_yield(YIELDS)

    def _take_or_yield(self, yields: int) -> None:
        """Takes a connection, if one is left; after those that have fewer, unless they do not."""
        if yields and self._crowd is not None and self._crowd.is_ahead:
            self._rest(YIELD_S, partial(self._take_or_yield, yields - 1))
            return
        if self._later is not None:
            self._listen()
        self._take()

    def _take(self) -> None:
        try:
            accepted, address = self._listening.accept()
        except BlockingIOError:
            return  # another worker was first
        except OSError as error:
            _log.warning("cannot accept", reason=str(error))
            self._rest(_PAUSE_S)
            return
        if self._crowd is not None:
            self._crowd.expect(1)
        task = self._loop.create_task(self._begin(accepted, address), name="begin")
        self._beginning.add(task)
        task.add_done_callback(self._begun)
        if len(self._beginning) >= MAX_WAITING:
            self._rest()

    def _begun(self, task: asyncio.Task[None]) -> None:
        if self._crowd is not None:  # by now it counts
            self._crowd.expect(-1)
        is_full = len(self._beginning) >= MAX_WAITING
        self._beginning.discard(task)
        if is_full:
            self._listen()

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
