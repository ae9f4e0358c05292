"""Headers that every answer carries: CORS, security, and a Server field that names no version.

WHATWG Fetch (CORS), RFC 9110 10.2.4. A handler's own value always stands, except for Server.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from aiohttp import web

SERVER = "rmail"
_ALLOW_HEADERS = (
    "Accept, Authorization, Content-Type, Depth, Destination, Idempotency-Key, If, If-Match, "
    "If-None-Match, Lock-Token, Overwrite, Prefer, Range, Timeout"
)
_EXPOSE_HEADERS = (
    "Allow, Content-Disposition, Content-Range, DAV, ETag, Last-Modified, Location, Lock-Token, "
    "Retry-After, WWW-Authenticate"
)
PREFLIGHT_MAX_AGE_S = 86400


def common_headers(methods: Iterable[str]) -> dict[str, str]:
    """The headers of every answer.

    Args:
        methods: what the mounted routes use.
    """
    return {
        "Access-Control-Allow-Origin": "*",
        "Access-Control-Allow-Methods": ", ".join(sorted({*methods, "OPTIONS"})),
        "Access-Control-Allow-Headers": _ALLOW_HEADERS,
        "Access-Control-Expose-Headers": _EXPOSE_HEADERS,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
        "Cache-Control": "no-store",
    }


def add_headers(response: web.StreamResponse, common: Mapping[str, str]) -> None:
    """Lays the common headers under those of `response`."""
    headers = response.headers
    for name, value in common.items():
        if name not in headers:
            headers[name] = value
    headers["Server"] = SERVER


def preflight() -> web.Response:
    """The answer to OPTIONS of anything that no route answers itself."""
    return web.Response(status=204, headers={"Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S)})
