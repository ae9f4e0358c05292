"""The HTTP host: collects the routes that plugins mount, refuses duplicates, and applies session,
errors, CORS, access and limits to each request. It must not know any plugin.

RFC 9110, RFC 9112.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from functools import partial

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars

from rmail_kernel.errors import Invalid, RmailError, TooLarge
from rmail_kernel.http.access import challenge, check_access
from rmail_kernel.http.builtin import builtin_routes
from rmail_kernel.http.client import CLIENTS, Clients
from rmail_kernel.http.connection_rate import ConnectionRate
from rmail_kernel.http.errors import http_error, is_plain, known_error, unexpected_error
from rmail_kernel.http.payload import json_response
from rmail_kernel.http.protocol import HttpProtocol
from rmail_kernel.http.response_headers import add_headers, common_headers, preflight
from rmail_kernel.http.routes import SESSION, Route
from rmail_kernel.http.slow_body import watched_body
from rmail_kernel.kernel import Kernel
from rmail_kernel.net.listeners import Listener

_log = structlog.get_logger("rmail.http")
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_VARIABLE = re.compile(r"\{[^{}:]*")
_SEGMENT = re.compile(r"\{(\w+)\}")
SHUTDOWN_S = 10.0  # how long stop() waits for handlers that outlive the drain


class HttpHost:
    """One HTTP server for all plugins of a process.

    Args:
        routes: what plugins mount, in their order.

    Raises:
        Invalid: two routes of one method and path, or a path that does not parse.
    """

    def __init__(self, kernel: Kernel, routes: Sequence[Route]) -> None:
        self._kernel = kernel
        self._settings = kernel.settings
        self._clients = Clients(kernel.settings)
        self._rate = ConnectionRate(kernel.settings, kernel.clock)
        self._routes = [*routes, *builtin_routes(kernel)]
        _refuse_duplicates(self._routes)
        self._common = common_headers(
            {route.method.upper() for route in self._routes} | {"GET", "HEAD"}
        )
        self._app = self._build()
        self._runner: web.AppRunner | None = None
        self._protocols: set[HttpProtocol] = set()

    @property
    def routes(self) -> list[Route]:
        """All routes, the host's own included."""
        return list(self._routes)

    def listeners(self) -> list[Listener]:
        """The sockets to open: "http", and "https" when TLS is on."""
        settings = self._kernel.settings
        http = settings.http
        found = []
        if http.port is not None:
            found.append(Listener("http", http.host, http.port, partial(self._protocol, "http")))
        if http.tls_port is not None and settings.tls.enabled:
            protocol = partial(self._protocol, "https")
            found.append(
                Listener(
                    "https", http.host, http.tls_port, protocol, implicit_tls=True, is_http=True
                )
            )
        return found

    async def start(self) -> None:
        """Makes ready to serve; the listeners' protocols work from now on."""
        runner = web.AppRunner(self._app, access_log=None, shutdown_timeout=SHUTDOWN_S)
        await runner.setup()
        self._runner = runner
        self._kernel.spawn(self._follow_drain(), "http-drain")

    async def stop(self) -> None:
        """Ends connections: idle ones at once, busy ones (also those whose client has left) after
        their answer or SHUTDOWN_S. Idempotent.
        """
        runner, self._runner = self._runner, None
        if runner is not None:
            for protocol in list(self._protocols):
                protocol.drain()
            await runner.cleanup()

    async def _follow_drain(self) -> None:
        await self._kernel.draining.wait()
        for protocol in list(self._protocols):
            protocol.drain()

    def _protocol(self, listener: str) -> HttpProtocol:
        assert self._runner is not None, "the host is not started"
        assert self._runner.server is not None
        return HttpProtocol(self._kernel, self._runner.server, listener, self._common, self)

    def connected(self, protocol: HttpProtocol, peer_host: str) -> bool:
        """A connection was made; whether it may stay."""
        self._protocols.add(protocol)
        return self._clients.is_proxy(peer_host) or self._rate.opened(peer_host)

    def disconnected(self, protocol: HttpProtocol, peer_host: str) -> None:
        """A connection has ended."""
        self._protocols.discard(protocol)
        if not self._clients.is_proxy(peer_host):
            self._rate.closed(peer_host)

    def _build(self) -> web.Application:
        limits = [route.max_body_bytes or 0 for route in self._routes]
        app = web.Application(client_max_size=max(limits), middlewares=[self._middleware])
        app[CLIENTS] = self._clients
        app.on_response_prepare.append(self._prepare)
        taken = {_key(route.method, route.path) for route in self._routes}
        for route in sorted(self._routes, key=lambda route: route.path):
            methods = [route.method.upper()]
            # RFC 9110 9.3.2: HEAD is GET without the content.
            if methods[0] == "GET" and _key("HEAD", route.path) not in taken:
                methods.append("HEAD")
            for method in methods:
                self._mount(app, method, route)
        return app

    def _mount(self, app: web.Application, method: str, route: Route) -> None:
        async def serve(request: web.Request) -> web.StreamResponse:
            return await self._serve(route, request)

        # aiohttp's own default leaves out braces, which names and patterns may hold.
        path = _SEGMENT.sub(r"{\1:[^/]+}", route.path)
        try:
            app.router.add_route(method, path, serve, expect_handler=_no_continue)
        except ValueError as error:
            raise Invalid(f"Not a route: {method} {route.path}", reason=str(error)) from error

    async def _prepare(self, _request: web.Request, response: web.StreamResponse) -> None:
        add_headers(response, self._common)

    @web.middleware
    async def _middleware(self, request: web.Request, handler: _Handler) -> web.StreamResponse:
        protocol = request.protocol
        assert isinstance(protocol, HttpProtocol)
        protocol.is_busy = True
        self._follow_settings()
        session = self._clients.session(request)
        request[SESSION] = session
        bind_contextvars(session=session.id)
        try:
            self._count_connection(protocol, session.peer_host)
            if request.method == "OPTIONS" and request.match_info.http_exception is not None:
                return preflight()
            response = await handler(request)
        except RmailError as error:
            response = known_error(error)
            if not protocol.counted_for:
                response.force_close()
        except web.HTTPException as error:
            if not is_plain(error):
                raise
            response = http_error(error)
        if self._kernel.draining.is_set():
            response.force_close()
        return response

    def _follow_settings(self) -> None:
        """SIGHUP replaces the kernel's settings object."""
        if self._kernel.settings is not self._settings:
            self._settings = self._kernel.settings
            self._clients.reload(self._settings)
            self._rate.reload(self._settings)

    def _count_connection(self, protocol: HttpProtocol, host: str) -> None:
        """One connection counts once per client address (behind a proxy it carries several)."""
        if protocol.counted_for != host:
            protocol.counted_for = ""
            self._rate.hit(host)
            protocol.counted_for = host

    async def _serve(self, route: Route, request: web.Request) -> web.StreamResponse:
        try:
            with watched_body(request):
                await check_access(self._kernel, route, request)
                request = _limited(route, request)
                await _continue(request)
                return await route.handler(request)
        except RmailError as error:
            _refuse_if_begun(request, error)
            return known_error(error, challenge(route))
        except web.HTTPException:
            raise
        except web.RequestPayloadError:
            return json_response({"error": "Malformed request body"}, 400)
        except ConnectionError:
            raise  # the client is gone
        except Exception as error:  # noqa: BLE001 - a plugin's handler: logged, answered with 500
            _refuse_if_begun(request, error)
            return unexpected_error(error)


def _refuse_if_begun(request: web.Request, error: Exception) -> None:
    """After the first byte of an answer only the end of the connection can tell of an error."""
    if request.writer.output_size > 0:
        _log.error("answer broken off", exc_info=error)
        raise ConnectionResetError("broken off") from error


def _limited(route: Route, request: web.Request) -> web.Request:
    """The request with the route's limit on its body.

    Raises:
        TooLarge: its Content-Length is over the limit.
    """
    limit = route.max_body_bytes
    if limit is None:
        return request
    if request.content_length is None or "Content-Encoding" in request.headers:
        return request.clone(client_max_size=limit)
    if request.content_length > limit:
        raise TooLarge(f"The body is larger than {limit} bytes")
    return request


async def _no_continue(_request: web.Request) -> None:
    """100 is sent after access and size were checked, see `_continue`."""


async def _continue(request: web.Request) -> None:
    """Asks for the body of a client that waits (RFC 9110 10.1.1)."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.version >= (1, 1):
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # the answer itself has not begun


def _key(method: str, path: str) -> tuple[str, str]:
    """What makes two routes one: variables have no names."""
    return method.upper(), _VARIABLE.sub("{", path)


def _refuse_duplicates(routes: Iterable[Route]) -> None:
    seen: set[tuple[str, str]] = set()
    for route in routes:
        key = _key(route.method, route.path)
        if key in seen:
            raise Invalid(f"Two routes for {route.method.upper()} {route.path}")
        seen.add(key)
