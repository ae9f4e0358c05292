"""One HTTP connection: aiohttp's protocol with limits, counted by the kernel, ended by the drain,
and with JSON where aiohttp itself answers (RFC 9112 syntax errors).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any, Protocol

import structlog
from aiohttp import hdrs, web
from prometheus_client import Counter

from rmail_kernel.http.errors import unexpected_error
from rmail_kernel.http.payload import json_response
from rmail_kernel.http.response_headers import add_headers
from rmail_kernel.kernel import Kernel
from rmail_kernel.net.networks import address_of
from rmail_kernel.observe.sessions import OpenSession, SessionFacts

_log = structlog.get_logger("rmail.http")

MAX_LINE_BYTES = 8190
MAX_FIELD_BYTES = 16384
MAX_FIELDS = 100
KEEPALIVE_S = 75.0  # also the time in which a request's header must be complete
LINGER_S = 5.0  # how long an unread body is drained after the answer
STALL_S = 60.0  # a client that takes no byte of an answer for so long is cut off

HTTP_REQUESTS = Counter("rmail_http_requests_total", "HTTP answers", ["method", "status"])
_DAV_METHODS = "PROPFIND PROPPATCH REPORT MKCOL MKCALENDAR COPY MOVE LOCK UNLOCK"
_METHODS = frozenset({*hdrs.METH_ALL, *_DAV_METHODS.split()})


class Owner(Protocol):
    """Who keeps count of connections."""

    def connected(self, protocol: HttpProtocol, peer_host: str) -> bool:
        """A connection was made; whether it may stay."""

    def disconnected(self, protocol: HttpProtocol, peer_host: str) -> None:
        """A connection has ended."""


class HttpProtocol(web.RequestHandler):
    """The protocol of one connection.

    Attributes:
        counted_for: the client address that this connection was last counted for.
        is_busy: a request is being answered.
    """

    def __init__(
        self,
        kernel: Kernel,
        server: web.Server,
        listener: str,
        common: Mapping[str, str],
        owner: Owner,
    ) -> None:
        super().__init__(
            server,
            loop=asyncio.get_running_loop(),
            keepalive_timeout=KEEPALIVE_S,
            lingering_time=LINGER_S,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_FIELD_BYTES,
            max_headers=MAX_FIELDS,
            access_log=None,  # type: ignore[arg-type] # aiohttp's way to say: no access log
        )
        self.counted_for = ""
        self.is_busy = False
        self._kernel = kernel
        self._listener = listener
        self._common = common
        self._owner = owner
        self._peer_host, self._peer_port = "", 0
        self._id = secrets.token_hex(8)
        self._open = ExitStack()
        self._stall: asyncio.TimerHandle | None = None
        self._unsent_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client connected (after the handshake, with TLS)."""
        session = OpenSession(self._facts, self.drain)
        self._open.enter_context(self._kernel.connection(self._listener, session))
        self._peer_host, self._peer_port = address_of(transport.get_extra_info("peername"))
        super().connection_made(transport)
        if not self._owner.connected(self, self._peer_host):
            _log.info("too many open connections", peer=self._peer_host)
            self.force_close()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; a handler that runs goes on to its end."""
        self._cancel_stall()
        super().connection_lost(exc)
        self._open.close()
        self._owner.disconnected(self, self._peer_host)

    def _facts(self) -> SessionFacts:
        return SessionFacts(self._id, "http", f"{self._peer_host}:{self._peer_port}")

    def drain(self) -> None:
        """Closes the connection: at once when idle, otherwise after the answer under way."""
        if self.is_busy:
            self.close()
        else:
            self.force_close()

    def log_access(
        self,
        request: web.BaseRequest,
        response: web.StreamResponse,
        time: float | None,  # noqa: ARG002 - aiohttp calls it so
    ) -> None:
        """Called by aiohttp when an answer is complete."""
        self.is_busy = False
        method = request.method if request.method in _METHODS else "other"
        HTTP_REQUESTS.labels(method, response.status).inc()
        _log.debug("answered", method=method, path=request.path, status=response.status)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """The answer to what cannot be parsed, and to errors outside of the host's own handling."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        if status >= 500 and exc is not None:
            response = unexpected_error(exc)
        else:
            _log.info("malformed request", peer=request.remote, reason=str(message)[:200])
            response = json_response({"error": "Malformed HTTP request"}, status)
        add_headers(response, self._common)
        response.force_close()
        return response

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Called by aiohttp, also when the rest of a body, read after the answer, is malformed."""
        error = kw.get("exc_info")
        if isinstance(error, web.RequestPayloadError | web.HTTPException):
            _log.info("malformed request body", peer=self._peer_host)
            return
        super().log_exception(*args, **kw)

    def pause_writing(self) -> None:
        """The client reads more slowly than we write."""
        super().pause_writing()
        self._unsent_bytes = self._buffered()
        self._stall = self._loop.call_later(STALL_S, self._check_stall)

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._cancel_stall()
        super().resume_writing()

    def _buffered(self) -> int:
        transport = self.transport
        return transport.get_write_buffer_size() if transport is not None else 0

    def _check_stall(self) -> None:
        unsent = self._buffered()
        if unsent >= self._unsent_bytes and self.transport is not None:
            _log.info("client stopped reading", unsent_bytes=unsent)
            self.transport.abort()
            return
        self._unsent_bytes = unsent
        self._stall = self._loop.call_later(STALL_S, self._check_stall)

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None
