"""One SMTP connection: its life cycle, the loop that reads and answers, and its end.

aiosmtpd gives the protocol and the TLS upgrade; reading, dispatch and every command are this
package's own. It knows no command by name. RFC 5321 3, 3.8, 4.5.3.2; RFC 3207 4.2.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import AnyStr

import structlog
from aiosmtpd.smtp import SMTP, Envelope, TLSSetupException
from aiosmtpd.smtp import Session as PeerSession

from rmail_kernel.kernel import Kernel
from rmail_kernel.model import SessionInfo
from rmail_kernel.net.networks import address_of
from rmail_kernel.net.proxied import announced, client_of
from rmail_kernel.observe.sessions import OpenSession, SessionFacts
from rmail_smtp import replies
from rmail_smtp.command import Command
from rmail_smtp.config import SmtpSettings
from rmail_smtp.crowd import Crowd
from rmail_smtp.dispatch import dispatch, guarded
from rmail_smtp.greeting import greet
from rmail_smtp.replies import Reply
from rmail_smtp.roles import Role
from rmail_smtp.session import Session
from rmail_smtp.wire import (
    CHUNK_BYTES,
    BareNewlineError,
    ClosedError,
    EndlessLineError,
    IdleError,
    Pace,
    Wire,
    WireError,
)

_log = structlog.get_logger("rmail.smtp")
logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd logs each command there
_UNUSED = Envelope()
_GREETING = 220
_TURNS = 16
_LINGER_S = 1.0
_LINGER_BYTES = 1 << 22
_CLOSING_S = 10.0  # for the client to take our last words


class SmtpConnection(SMTP):
    """The protocol of one connection.

    Args:
        commands: what the client may say, by verb.
        live: the open sessions of this process; it adds and removes itself.
    """

    line_length_limit = CHUNK_BYTES  # limit of the stream reader that the base class makes

    def __init__(
        self,
        kernel: Kernel,
        role: Role,
        commands: Mapping[bytes, Command],
        live: Crowd,
    ) -> None:
        self._kernel = kernel
        self._role = role
        self._commands = commands
        self._live = live
        self._options = kernel.section("smtp", SmtpSettings)
        self._told = announced()
        self._is_over = False
        self._is_in_handshake = False
        self._id = secrets.token_hex(6)
        self._state: Session
        self.command_size_limits = {}  # the class's own is shared by all connections
        super().__init__(
            handler=None,
            hostname=kernel.settings.hostname,
            ident="rmail",
            enable_SMTPUTF8=True,
            timeout=self._options.session_s,  # of the whole connection; the wire has its own
            tls_context=kernel.tls.server if kernel.tls is not None else None,
            loop=asyncio.get_running_loop(),
        )
        # For who waits in drain, which is one task at most: an empty deque takes 700 bytes.
        self._drain_waiters: list[asyncio.Future[None]] = []

    def _create_envelope(self) -> Envelope:
        """The same for all: transactions are kept by `Session`."""
        return _UNUSED

    def _create_session(self) -> PeerSession:
        """An empty one, for the base class to note the peer in."""
        return PeerSession.__new__(PeerSession)

    def __dir__(self) -> list[str]:
        """Nothing: the base class goes through all names there are for each connection, which
        takes longer than a message, and for a dispatch of its own that is not used here.
        """
        return []

    # --- life cycle, called by asyncio ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection, or the same one again under TLS."""
        super().connection_made(transport)
        info = self._described(transport)
        if self._original_transport is not None:
            self._state.begin_anew(info, self._bindings(transport))
            return
        pace = Pace(self._options.idle_s, self._options.min_bytes_per_s)
        wire = Wire(self._reader, self._writer, pace)
        bindings = self._bindings(transport)
        self._state = Session(self._kernel, self._role, self._options, wire, info, bindings)

    def _described(self, transport: asyncio.BaseTransport) -> SessionInfo:
        """A session that has said nothing yet, at its two ends."""
        peer_host, peer_port = client_of(transport, self._told)
        _, local_port = address_of(transport.get_extra_info("sockname"))
        cipher = transport.get_extra_info("cipher")
        return SessionInfo(
            self._id,
            self._role.protocol,
            peer_host=peer_host,
            peer_port=peer_port,
            local_port=local_port,
            tls=f"{cipher[1]} {cipher[0]}" if cipher else "",
        )

    def _bindings(self, transport: asyncio.BaseTransport) -> Mapping[str, bytes] | None:
        channel = transport.get_extra_info("ssl_object")
        if channel is None or self._kernel.tls is None:
            return None
        return self._kernel.tls.bindings(channel)

    def eof_received(self) -> bool:
        """The client sends no more; it still hears the answers to what it sent."""
        self._reader.feed_eof()
        assert self.transport is not None
        return self.transport.get_extra_info("sslcontext") is None  # TLS has no half-close

    def _timeout_cb(self) -> None:
        if self._is_over:
            self._abort()
        else:
            self._say_last(replies.SESSION_TOO_LONG)

    @property
    def silent_since(self) -> float | None:
        """When the wait for the client began, while no message is under way."""
        return self._state.wire.waits_since if self._is_idle else None

    def end_if_idle(self, reason: Reply = replies.DRAINING) -> None:
        """The server shuts down or is full: a session between two transactions ends now."""
        if self._is_idle:
            self._say_last(reason)

    @property
    def _is_idle(self) -> bool:
        state = self._state
        return not self._is_over and state.transaction is None and not state.is_receiving

    # --- the loop ---------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        structlog.contextvars.bind_contextvars(session=self._id)
        self._live.add(self, self._state.info.peer_host)
        try:
            with self._kernel.connection(
                self._role.listener, OpenSession(self._facts, self.end_if_idle)
            ):
                await self._converse()
        except WireError:
            _log.debug("client has gone", peer=self._state.info.peer_host)
        except Exception:  # noqa: BLE001 - around one connection; others go on
            _log.exception("session failed", peer=self._state.info.peer_host)
        finally:
            self._live.discard(self)
            self._close()

    def _facts(self) -> SessionFacts:
        info = self._state.info
        account = str(info.principal.account) if info.principal else ""
        peer = f"{info.peer_host}:{info.peer_port}"
        return SessionFacts(info.id, info.protocol, peer, account, info.helo, tls=info.tls)

    async def _converse(self) -> None:
        wire = self._state.wire
        greeting = await guarded(greet(self._state, self._live))
        if greeting.code != _GREETING and not greeting.closes:
            # RFC 5321 4.3.2: where no greeting can be given, no session begins.
            greeting = replace(greeting, code=421, closes=True)
        reply: Reply | None = greeting
        turns = 0
        while reply is None or not reply.closes:
            if reply is not None:
                self._state.send(reply)
                reply = None  # what EHLO offers is not kept until the client speaks again
                await wire.flush_if_full()
            turns += 1
            if turns % _TURNS == 0:
                await asyncio.sleep(0)  # others want to run beside one who pipelines without end
            reply = await self._turn()
        self._state.send(reply)
        await wire.flush()
        if reply is not replies.BYE:
            await wire.linger(_LINGER_BYTES, _LINGER_S)

    async def _turn(self) -> Reply | None:
        """Reads one command and gives its answer, or the reason to end."""
        session = self._state
        if self._kernel.draining.is_set() and session.transaction is None:
            return replies.DRAINING
        try:
            reply = await dispatch(self._commands, session, await session.wire.line())
            if reply is replies.READY_FOR_TLS:
                await self._start_tls()
                return None
        except EndlessLineError:
            return replies.ENDLESS_LINE
        except BareNewlineError:
            return replies.BARE_NEWLINE
        except IdleError:
            return replies.IDLE
        end = session.budget.spend(reply, session.options)
        if end is None or reply.closes:
            return reply
        session.send(reply)
        return end

    async def _start_tls(self) -> None:
        # RFC 3207 4.2: nothing that came before the handshake counts after it, least of all
        # commands that somebody added to the clear text.
        self._state.wire.discard()
        self._is_in_handshake = True
        try:
            async with asyncio.timeout(self._options.handshake_s):
                await self.smtp_STARTTLS("")
        except (TLSSetupException, TimeoutError) as error:
            self._abort()
            raise ClosedError from error
        finally:
            self._is_in_handshake = False
        if not self._state.info.tls:  # the connection was lost on the way, in peace
            raise ClosedError

    async def push(self, status: AnyStr) -> None:
        """What the base class has to say: its answer to STARTTLS."""
        raw = status.encode("ascii") if isinstance(status, str) else bytes(status)
        self._state.wire.reply(raw + b"\r\n")
        await self._state.wire.flush()

    def _say_last(self, reply: Reply) -> None:
        if self._is_in_handshake:
            self._abort()  # clear text has no place there
            return
        # A client that left within a TLS handshake has a closed transport and a session still.
        if self.transport is not None and not self._writer.transport.is_closing():
            self._writer.write(reply.encode())
            self._close()

    def _close(self) -> None:
        """Ends our side; a client that takes nothing any more is cut off after a while."""
        self._is_over = True
        self._writer.close()
        if self.transport is not None:  # not lost yet
            self._reset_timeout(_CLOSING_S)

    def _abort(self) -> None:
        self._writer.transport.abort()  # the writer's is the clear text's until TLS has begun
