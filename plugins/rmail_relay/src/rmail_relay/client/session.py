"""One session with a server: commands and replies, EHLO, STARTTLS, the end.

RFC 5321 3.2, 4.1.4, 4.5.3.2; RFC 3207.
"""

from __future__ import annotations

import ipaddress
import ssl
from dataclasses import dataclass

from rmail_relay.client import tls
from rmail_relay.client.extensions import Extensions
from rmail_relay.client.farewells import Farewells
from rmail_relay.client.peer import Peer
from rmail_relay.client.reply import Reply
from rmail_relay.client.verdict import LoopsBack, PeerFailure, TlsFailed
from rmail_relay.client.wire import Wire
from rmail_relay.config import Timeouts


@dataclass(frozen=True, slots=True)
class Local:
    """Our side: the name in EHLO, the patience, and the connections that are about to close."""

    hostname: str
    timeouts: Timeouts
    farewells: Farewells


class Session:
    """A connection that takes mail.

    Attributes:
        address: of the peer, as connected.
        extensions: what it offers now.
        is_private: TLS as good as the peer's terms ask for.
        transactions: how many were begun.
        is_clean: nothing of another transaction is left (RFC 5321 4.1.1.4).
    """

    def __init__(self, wire: Wire, peer: Peer, address: str, local: Local) -> None:
        self.wire = wire
        self.peer = peer
        self.address = address
        self.local = local
        self.extensions = Extensions()
        self.is_verified = False
        self.transactions = 0
        self.is_clean = True
        self.tls = ""
        self.idle_until = 0.0

    async def command(self, line: str, timeout_s: float) -> Reply:
        """One command and its reply.

        Raises:
            PeerFailure: there is none, or it is 421: the peer ends the session (RFC 5321 3.8).
        """
        await self.wire.write(line.encode("utf-8") + b"\r\n", timeout_s)
        return await self.reply(timeout_s)

    async def reply(self, timeout_s: float) -> Reply:
        """The next reply. Raises as `command`."""
        reply = await self.wire.read_reply(timeout_s)
        if reply.code == 421:
            raise PeerFailure.of(reply)
        return reply

    def end(self) -> None:
        """Says QUIT."""
        self.local.farewells.say(self.wire)

    @property
    def is_usable(self) -> bool:
        """Whether another transaction may begin (RFC 9422 4.1: MAILMAX)."""
        most = self.extensions.limit("MAILMAX")
        return self.wire.is_fresh and (most is None or self.transactions < most)

    async def say_hello(self) -> None:
        """EHLO, or HELO where that is unknown (RFC 5321 3.2, 4.1.4)."""
        name, timeout_s = self.local.hostname, self.local.timeouts.command_s
        reply = await self.command(f"EHLO {name}", timeout_s)
        if reply.is_positive:
            self.extensions = Extensions.of(reply)
        elif reply.code >= 500:
            reply = await self.command(f"HELO {name}", timeout_s)
            self.extensions = Extensions.none(reply)
        if not reply.is_positive:
            raise PeerFailure.of(reply)
        if self.peer.is_exchange and "." in name and self.extensions.host == name:
            raise LoopsBack(f"Mail for this domain would come back: {self.peer} is this server")

    async def start_tls(self) -> None:
        """STARTTLS and a new EHLO, as the terms ask for it (RFC 3207 4, 4.2).

        Raises:
            TlsFailed: required, and not to be had; or tried, and the connection is spoilt.
        """
        if "STARTTLS" not in self.extensions:
            self._do_without("STARTTLS is not offered")
            return
        reply = await self.command("STARTTLS", self.local.timeouts.command_s)
        if reply.code != 220:
            self._do_without(f"STARTTLS was refused: {reply.code} {reply.text}")
            return
        await self.shake_hands()
        await self.say_hello()  # RFC 3207 4.2: what was heard before counts no more

    def _do_without(self, reason: str) -> None:
        if self.peer.tls.is_required:
            raise TlsFailed(reason, status="4.7.4")

    async def shake_hands(self) -> None:
        """The handshake. TlsFailed: it failed."""
        must_verify = self.peer.tls.is_required and self.peer.is_verified
        try:
            context = tls.verifying(self.peer.ca_file) if must_verify else tls.tolerant()
        except OSError as error:  # ssl.SSLError is one, too
            self.wire.abort()
            raise TlsFailed("The certificates of relay's ca_file cannot be read") from error
        name = _server_name(self.peer.host, context)
        await self.wire.start_tls(context, name, self.local.timeouts.connect_s)
        self.tls = self.wire.tls
        self.is_verified = must_verify


def _server_name(host: str, context: ssl.SSLContext) -> str | None:
    """The name for SNI and the certificate; an address is checked, but no SNI (RFC 6066 3)."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return host
    return host if context.check_hostname else None
