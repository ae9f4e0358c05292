"""Who is at the other end: the client's address behind trusted proxies, the session of a request
and the address under which the client reached us. A forwarded header counts only when the peer is
in `http.trusted_proxies`.

RFC 7239 is not read; X-Forwarded-For, -Proto and -Host are what proxies send.
"""

from __future__ import annotations

import re
import secrets
import ssl

from aiohttp import web

from rmail_kernel.config import Settings
from rmail_kernel.model import SessionInfo
from rmail_kernel.net.networks import Networks, address_of, ip_of, is_loopback

_HOST = re.compile(r"(?:[A-Za-z0-9.\-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?\Z")
_MAX_HOPS = 32
_FORWARDED = ("X-Forwarded-For", "Forwarded", "X-Real-IP")


class Clients:
    """Reads addresses of requests by the settings."""

    def __init__(self, settings: Settings) -> None:
        self.reload(settings)

    def reload(self, settings: Settings) -> None:
        """Takes new settings."""
        http = settings.http
        self._hostname = settings.hostname
        self._base_url = http.base_url or ""
        self._proxies = Networks(http.trusted_proxies)
        self._metrics = Networks(http.metrics_allow)

    def session(self, request: web.Request) -> SessionInfo:
        """A new session of protocol "http" for one request."""
        peer_host, peer_port = _address(request, "peername")
        address = self.address(request, peer_host)
        return SessionInfo(
            id=secrets.token_hex(8),
            protocol="http",
            peer_host=address,
            peer_port=peer_port if address == peer_host else 0,
            local_port=_address(request, "sockname")[1],
            tls=_tls(request),
        )

    def address(self, request: web.Request, peer_host: str) -> str:
        """The client's IP address: the last hop of X-Forwarded-For that is not a trusted proxy."""
        if peer_host not in self._proxies:
            return peer_host
        listed = ",".join(request.headers.getall("X-Forwarded-For", []))
        for hop in reversed(listed.split(",")[-_MAX_HOPS:]):
            address = ip_of(hop.strip())
            if address is None:
                break
            if str(address) not in self._proxies:
                return str(address)
        return peer_host

    def is_proxy(self, peer_host: str) -> bool:
        """Whether the peer is a trusted proxy: its connections are those of many clients."""
        return peer_host in self._proxies

    def may_read_metrics(self, request: web.Request) -> bool:
        """Whether the client is on loopback or in `http.metrics_allow`. A request that a proxy
        without our trust passed on is not from loopback, whatever its peer is.
        """
        peer_host, _ = _address(request, "peername")
        address = self.address(request, peer_host)
        if address in self._metrics:
            return True
        is_passed_on = any(name in request.headers for name in _FORWARDED)
        return is_loopback(address) and not (is_passed_on and peer_host == address)

    def base_url(self, request: web.Request) -> str:
        """Scheme, host and port under which clients reach this server, without a final slash."""
        if self._base_url:
            return self._base_url
        scheme = "https" if _tls(request) else "http"
        host = request.headers.get("Host", "")
        if _address(request, "peername")[0] in self._proxies:
            forwarded = request.headers.get("X-Forwarded-Proto", scheme).strip().lower()
            scheme = forwarded if forwarded in ("http", "https") else scheme
            host = request.headers.get("X-Forwarded-Host", host).strip()
        if not _HOST.match(host):
            host = f"{self._hostname}:{_address(request, 'sockname')[1]}"
        return f"{scheme}://{host}"


CLIENTS = web.AppKey("clients", Clients)


def base_url(request: web.Request) -> str:
    """Scheme, host and port under which clients reach this server (`http.base_url`, or as this
    request says), without a final slash.
    """
    return request.app[CLIENTS].base_url(request)


def _address(request: web.Request, which: str) -> tuple[str, int]:
    return address_of(request.get_extra_info(which))


def _tls(request: web.Request) -> str:
    """Version and cipher of the connection, '' in clear text."""
    tls = request.get_extra_info("ssl_object")
    if not isinstance(tls, ssl.SSLObject | ssl.SSLSocket):
        return ""
    cipher = tls.cipher()
    return f"{tls.version()} {cipher[0] if cipher else ''}".strip()
