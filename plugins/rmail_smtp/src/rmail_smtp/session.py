"""One SMTP connection: the command loop, its limits and its end.

aiosmtpd gives the protocol's life cycle and the TLS upgrade; reading, dispatch and every command
are this package's own. RFC 5321 3, 4.3, 4.5.3. It must never show a client an exception's text.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import secrets
from collections.abc import Awaitable
from dataclasses import replace
from typing import TYPE_CHECKING, AnyStr

import structlog
from aiosmtpd.smtp import SMTP, TLSSetupException

from rmail_kernel.errors import RmailError
from rmail_kernel.model import Principal, SessionInfo

from . import replies
from .config import SmtpSettings
from .errors import reply_to
from .extensions import BY_KEYWORD
from .greeting import greet
from .hello import READY_FOR_TLS
from .replies import Reply
from .roles import Role
from .table import COMMANDS
from .transaction import Transaction
from .wire import (
    CHUNK_BYTES,
    BareNewlineError,
    ClosedError,
    EndlessLineError,
    IdleError,
    Wire,
    WireError,
)

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

_log = structlog.get_logger("rmail.smtp")
logging.getLogger("mail.log").setLevel(logging.WARNING)  # aiosmtpd logs each command there
_LINGER_S = 1.0
_LINGER_BYTES = 1 << 22
# Browsers can be made to speak to any port; what they say first is no SMTP.
_HTTP_VERBS = frozenset({b"GET", b"POST", b"PUT", b"HEAD", b"OPTIONS", b"CONNECT"})


class SmtpSession(SMTP):
    """The protocol of one connection.

    Attributes:
        info: who is at the other end, as hooks and logs see it.
        transaction: what MAIL began, or None.
        wire: the bytes of the connection.
        is_receiving: between DATA and its answer.
    """

    line_length_limit = CHUNK_BYTES  # limit of the stream reader that the base class makes
    commands = COMMANDS

    def __init__(self, kernel: Kernel, role: Role, live: set[SmtpSession]) -> None:
        self.kernel = kernel
        self.role = role
        self.options: SmtpSettings = kernel.section("smtp", SmtpSettings)
        self.info = SessionInfo(secrets.token_hex(6), role.protocol)
        self.transaction: Transaction | None = None
        self.is_receiving = False
        self.wire: Wire
        self._live = live
        self._said_hello = False
        self._errors = 0
        self._failed_logins = 0
        self._idle_commands = 0
        self.command_size_limits = {}  # the class's own is shared by all connections
        super().__init__(
            handler=None,
            hostname=kernel.settings.hostname,
            ident="rmail",
            enable_SMTPUTF8=True,
            timeout=self.options.session_s,  # of the whole connection; the wire has its own
            tls_context=kernel.tls.server if kernel.tls is not None else None,
            loop=asyncio.get_running_loop(),
        )

    # --- life cycle, called by asyncio ------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection, or the same one again under TLS."""
        super().connection_made(transport)
        if self._original_transport is None:
            self.wire = Wire(self._reader, self._writer, self.options.idle_s)
        self.info = _described(self.info, transport)

    def eof_received(self) -> bool:
        """The client sends no more; it still hears the answers to what it sent."""
        self._reader.feed_eof()
        assert self.transport is not None
        return self.transport.get_extra_info("sslcontext") is None  # TLS has no half-close

    def _timeout_cb(self) -> None:
        self._say_last(replies.SESSION_TOO_LONG)

    # --- what commands use ------------------------------------------------------------------

    @property
    def siblings(self) -> int:
        """Open sessions of this process, this one included."""
        return len(self._live)

    def send(self, reply: Reply) -> None:
        """Says something before the command's final answer."""
        self.wire.reply(reply.encode())

    def offers(self, keyword: str) -> bool:
        """Whether EHLO offers an extension to this session now."""
        return self.info.is_extended and BY_KEYWORD[keyword].is_offered(self)

    async def is_authenticated(self) -> bool:
        """Whether there was a login and its account still stands."""
        principal = self.info.principal
        if principal is None:
            return False
        if not await self.kernel.auth.is_current(principal):
            self.info = replace(self.info, principal=None)
            return False
        return True

    def said_hello(self, name: str, *, is_extended: bool) -> None:
        """HELO or EHLO was accepted: a transaction ends (RFC 5321 4.1.4)."""
        self._said_hello = True
        self.transaction = None
        self.info = replace(self.info, helo=name, is_extended=is_extended)

    def logged_in(self, principal: Principal) -> None:
        """AUTH succeeded."""
        self.info = replace(self.info, principal=principal)

    def failed_login(self) -> None:
        """AUTH failed."""
        self._failed_logins += 1

    def accepted_message(self) -> None:
        """A message was accepted, so the client does what it came for."""
        self._idle_commands = 0

    def end_if_idle(self) -> None:
        """The server shuts down: a session between two transactions ends now, others soon."""
        if self.transaction is None and not self.is_receiving:
            self._say_last(replies.DRAINING)

    # --- the loop ---------------------------------------------------------------------------

    async def _handle_client(self) -> None:
        structlog.contextvars.bind_contextvars(session=self.info.id)
        self._live.add(self)
        try:
            with self.kernel.connection(self.role.listener):
                await self._converse()
        except WireError:
            _log.debug("client has gone", peer=self.info.peer_host)
        except Exception:  # noqa: BLE001 - around one connection; others go on
            _log.exception("session failed", peer=self.info.peer_host)
        finally:
            self._live.discard(self)
            self._writer.close()

    async def _converse(self) -> None:
        reply: Reply | None = await self._guarded(greet(self))
        while reply is None or not reply.closes:
            if reply is not None:
                self.send(reply)
                await self.wire.flush_if_full()
            reply = await self._turn()
        self.send(reply)
        await self.wire.flush()
        if reply is not replies.BYE:
            await self.wire.linger(_LINGER_BYTES, _LINGER_S)

    async def _turn(self) -> Reply | None:
        """Reads one command and gives its answer, or the reason to end."""
        if self.kernel.draining.is_set() and self.transaction is None:
            return replies.DRAINING
        try:
            raw_line = await self.wire.line()
            reply = await self._guarded(self._dispatch(raw_line))
            if reply is READY_FOR_TLS:
                await self._start_tls()
                return None
        except EndlessLineError:
            return replies.ENDLESS_LINE
        except BareNewlineError:
            return replies.BARE_NEWLINE
        except IdleError:
            return replies.IDLE
        return self._within_budget(reply)

    async def _dispatch(self, raw_line: bytes) -> Reply:
        raw_verb, _, raw_argument = raw_line.partition(b" ")
        verb = raw_verb.upper()  # RFC 5321 2.4: verbs in any case
        command = COMMANDS.get(verb)
        if command is None:
            return replies.NOT_SMTP if verb in _HTTP_VERBS else replies.UNKNOWN_COMMAND
        _log.debug("command", verb=verb.decode("ascii"))
        if len(raw_line) > command.max_line_bytes:
            return replies.LINE_TOO_LONG
        if command.needs_hello and not self._said_hello:
            return replies.HELLO_FIRST
        raw_argument = raw_argument.strip()  # RFC 5321 4.1.1: trailing white space is tolerated
        if raw_argument and not command.takes_argument:
            return Reply(501, "5.5.4", f"Syntax: {command.syntax}")
        return await command.run(self, raw_argument)

    async def _guarded(self, work: Awaitable[Reply]) -> Reply:
        """The answer of one command, also when it failed."""
        try:
            return await work
        except RmailError as error:
            _log.info("command failed", reason=str(error), detail=error.fields)
            return reply_to(error)
        except WireError:
            raise
        except Exception:  # noqa: BLE001 - a bug costs one command, not the connection
            error_id = secrets.token_hex(4)
            _log.exception("unexpected error", error_id=error_id)
            return Reply(451, "4.3.0", f"Internal error {error_id}, try again later")

    def _within_budget(self, reply: Reply) -> Reply:
        """The reply itself, unless the session has used up its patience."""
        self._errors += reply.is_error
        self._idle_commands += 1
        if self._failed_logins >= self.options.max_auth_failures:
            end = replies.TOO_MANY_FAILURES
        elif self._errors >= self.options.max_errors:
            end = replies.TOO_MANY_ERRORS
        elif self._idle_commands > self.options.max_idle_commands:
            end = replies.TOO_MANY_COMMANDS
        else:
            return reply
        if reply.closes:
            return reply
        self.send(reply)
        return end

    async def _start_tls(self) -> None:
        # RFC 3207 4.2: nothing that came before the handshake counts after it, least of all
        # commands that somebody added to the clear text.
        self.wire.discard()
        try:
            await self.smtp_STARTTLS("")
        except TLSSetupException as error:
            raise ClosedError from error
        self._said_hello = False
        self.transaction = None

    async def push(self, status: AnyStr) -> None:
        """What the base class has to say: its answer to STARTTLS."""
        raw = status.encode("ascii") if isinstance(status, str) else bytes(status)
        self.wire.reply(raw + b"\r\n")
        await self.wire.flush()

    def _say_last(self, reply: Reply) -> None:
        if self.transport is not None:
            self._writer.write(reply.encode())
            self._writer.close()


def _described(info: SessionInfo, transport: asyncio.BaseTransport) -> SessionInfo:
    """A session that has said nothing yet, at its two ends."""
    peer = transport.get_extra_info("peername") or ("", 0)
    local = transport.get_extra_info("sockname") or ("", 0)
    cipher = transport.get_extra_info("cipher")
    return SessionInfo(
        info.id,
        info.protocol,
        peer_host=plain_address(str(peer[0])),
        peer_port=peer[1],
        local_port=local[1],
        tls=f"{cipher[1]} {cipher[0]}" if cipher else "",
    )


def plain_address(host: str) -> str:
    """An IPv4 client of an IPv6 socket under its own name."""
    if not host.startswith("::ffff:"):
        return host.partition("%")[0]
    mapped = ipaddress.IPv6Address(host).ipv4_mapped
    return str(mapped) if mapped is not None else host
