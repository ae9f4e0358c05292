"""The connections of one process: starts them, counts them, ends them when the server drains."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Final

from rmail_imap import command as _commands
from rmail_imap import keepalive, metrics
from rmail_imap.additions import Extension
from rmail_imap.admission import admit
from rmail_imap.catalog import Catalog
from rmail_imap.config import ImapSettings
from rmail_imap.connection import Connection
from rmail_imap.errors import Goodbye
from rmail_imap.session import Session
from rmail_imap.sight import seen
from rmail_imap.value_cache import ValueCache
from rmail_imap.wire import EARLY_INPUT_BYTES, Disconnected, Wire
from rmail_kernel.kernel import Kernel
from rmail_kernel.lanes import Lanes
from rmail_kernel.model import SessionInfo
from rmail_kernel.net.networks import address_of
from rmail_kernel.net.proxied import announced, client_of

__all__ = ["ImapService"]
LONG_COMMANDS: Final = 2
"""Long commands under way: one computes while another one reads."""
_commands.load()


class ImapService:
    """Serves IMAP with one kernel.

    Args:
        kernel: its services.

    Raises:
        ConfigError: extensions clash, or a capability to switch off does not exist.
    """

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._sessions: dict[Wire, Session] = {}
        self._values = ValueCache()
        self.lanes = Lanes(LONG_COMMANDS)
        self._shaking_hands = 0
        found = kernel.bus.collect("register_imap_extensions", Extension, kernel=kernel)
        self._catalog = Catalog(found)
        self._catalog.check(kernel.section("imap", ImapSettings))

    def protocol(self, listener: str, *, is_tls: bool = False) -> Wire:
        """The protocol of one accepted connection. is_tls: from the first byte."""
        return Wire(lambda wire: self._connected(wire, listener, is_tls=is_tls), announced())

    async def watch_drain(self) -> None:
        """Ends sessions that wait for their client once the server drains."""
        await self._kernel.draining.wait()
        for wire in list(self._sessions):
            _end(wire)

    async def watch_progress(self) -> None:
        """Tells clients whose command takes long that it is being worked on (RFC 9585 4)."""
        while not self._kernel.draining.is_set():
            interval_s = self._kernel.section("imap", ImapSettings).progress_s
            with suppress(TimeoutError):
                async with asyncio.timeout(interval_s / 2):
                    await self._kernel.draining.wait()
            for session in list(self._sessions.values()):
                session.tell_progress(interval_s)

    async def tell_metrics(self) -> None:
        """Tells /metrics every now and then which commands there were."""
        while not self._kernel.draining.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(metrics.TELL_S):
                    await self._kernel.draining.wait()
            metrics.tell()

    def _connected(self, wire: Wire, listener: str, *, is_tls: bool) -> None:
        wire.intake.limit_bytes = EARLY_INPUT_BYTES
        tls = self._kernel.tls
        if not is_tls or tls is None:
            self._kernel.spawn(self._serve(wire, listener), "imap")
            return
        settings = self._kernel.section("imap", ImapSettings)
        if self._shaking_hands >= settings.max_connections:
            wire.abort()
            return
        wire.begin_tls(tls.server)  # now, as the next that comes is the handshake
        self._kernel.spawn(self._secure(wire, listener), "imap")

    async def _secure(self, wire: Wire, listener: str) -> None:
        """Waits for TLS (RFC 8314 3.2), then serves."""
        self._shaking_hands += 1
        try:
            await wire.secured(self._kernel.section("imap", ImapSettings).login_timeout_s)
        except Disconnected:
            wire.close()
            return
        finally:
            self._shaking_hands -= 1
        await self._serve(wire, listener)

    async def _serve(self, wire: Wire, listener: str) -> None:
        settings = self._kernel.section("imap", ImapSettings)
        wire.timeout_s = settings.login_timeout_s
        wire.expire_in(settings.login_timeout_s)
        session = Session(
            self._kernel,
            settings,
            wire,
            describe(wire),
            self._catalog.offer,
            self._values,
            self.lanes,
        )
        session.bind()
        keepalive.watch(wire.transport, settings.keepalive_s)
        self._sessions[wire] = session
        if self._kernel.draining.is_set():  # its handshake took until now
            _end(wire)
        try:
            with self._kernel.connection(listener, seen(session)):
                await Connection(session, self._catalog).run(admit(session, len(self._sessions)))
        finally:
            session.close()
            del self._sessions[wire]
            if self._kernel.draining.is_set():
                metrics.tell()


def _end(wire: Wire) -> None:
    wire.end(Goodbye("The server is shutting down", b"UNAVAILABLE"))


def describe(wire: Wire) -> SessionInfo:
    """Where a connection comes from."""
    peer_host, peer_port = client_of(wire.transport, wire.told)
    _, local_port = address_of(wire.transport.get_extra_info("sockname"))
    return SessionInfo(
        id=secrets.token_hex(8),
        protocol="imap",
        peer_host=peer_host,
        peer_port=peer_port,
        local_port=local_port,
        tls=wire.tls_name(),
    )
