"""Clients that send a body too slowly: reading it raises 408 (RFC 9110 15.5.9). A handler that
has the whole body is never interrupted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiohttp import web

INTERVAL_S = 30.0
MIN_BYTES = 1024  # within each interval


class _Watch:
    def __init__(self, request: web.Request, interval_s: float) -> None:
        self._content = request.content
        self._interval_s = interval_s
        self._seen_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(interval_s, self._check)

    def cancel(self) -> None:
        self._timer.cancel()

    def _check(self) -> None:
        if self._content.is_eof():
            return
        if self._content.total_bytes - self._seen_bytes < MIN_BYTES:
            self._content.set_exception(web.HTTPRequestTimeout())
            return
        self._seen_bytes = self._content.total_bytes
        self._timer = self._loop.call_later(self._interval_s, self._check)


@contextmanager
def watched_body(request: web.Request, interval_s: float = INTERVAL_S) -> Iterator[None]:
    """While it is open, a body that arrives slower than MIN_BYTES per interval fails to be read."""
    if request.content.is_eof():
        yield
        return
    watch = _Watch(request, interval_s)
    try:
        yield
    finally:
        watch.cancel()
