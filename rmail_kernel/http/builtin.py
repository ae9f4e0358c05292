"""The host's own routes: /metrics, /healthz and /readyz. The last two tell only yes or no."""

from __future__ import annotations

from functools import partial

from aiohttp import web

from rmail_kernel.errors import Denied
from rmail_kernel.http.client import CLIENTS
from rmail_kernel.http.payload import json_response
from rmail_kernel.http.routes import Access, Route
from rmail_kernel.kernel import Kernel

METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"  # Prometheus text exposition format


def builtin_routes(kernel: Kernel) -> list[Route]:
    """What the host answers itself."""
    return [
        Route("GET", "/healthz", healthz, Access.PUBLIC, summary="Whether the process answers."),
        Route(
            "GET",
            "/readyz",
            partial(readyz, kernel),
            Access.PUBLIC,
            summary="Whether the server takes work.",
        ),
        Route(
            "GET",
            "/metrics",
            partial(metrics, kernel),
            Access.PUBLIC,
            summary="Prometheus metrics, for loopback and http.metrics_allow only.",
        ),
    ]


async def healthz(_request: web.Request) -> web.Response:
    """The process lives and its loop runs."""
    return json_response({"status": "ok"})


async def readyz(kernel: Kernel, _request: web.Request) -> web.Response:
    """200 when the server takes work, 503 otherwise."""
    from rmail_kernel.observe.health import is_ready

    if await is_ready(kernel):
        return json_response({"status": "ok"})
    return json_response({"status": "unavailable"}, 503)


async def metrics(kernel: Kernel, request: web.Request) -> web.Response:
    """All processes' metrics in Prometheus' text format. Denied: they are not for this client."""
    if not request.app[CLIENTS].may_read_metrics(request):
        raise Denied("Metrics are for loopback and http.metrics_allow only")
    from rmail_kernel.observe.exposition import render

    body = await kernel.run(render)
    return web.Response(body=body, headers={"Content-Type": METRICS_TYPE})
