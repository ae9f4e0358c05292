"""A host alone, on a free port: a kernel without a store, and whatever routes a test mounts."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from rmail_kernel import config
from rmail_kernel.clock import Clock
from rmail_kernel.http.host import HttpHost
from rmail_kernel.http.routes import Access, Route
from rmail_kernel.kernel import Kernel
from rmail_kernel.plugins import new_bus


@dataclass(slots=True)
class Site:
    """A started host.

    Attributes:
        url: base of its plain port. port: that port.
    """

    kernel: Kernel
    host: HttpHost
    server: asyncio.Server
    client: aiohttp.ClientSession
    port: int
    closed: bool = field(default=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def raw(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        """Sends bytes and reads one answer: status, lower-case header fields, content."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request)
            return await read_answer(reader)
        finally:
            writer.close()

    async def close(self) -> None:
        await self.client.close()
        self.server.close()
        await self.host.stop()
        await self.kernel.stop()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    """One HTTP answer from a connection."""
    async with asyncio.timeout(10):
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        fields = {}
        for line in lines[1:-2]:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        body = await reader.readexactly(int(fields.get("content-length", "0")))
    return int(lines[0].split()[1]), fields, body


def error_of(body: bytes) -> str:
    """The `error` text of a JSON answer."""
    text = json.loads(body)["error"]
    assert isinstance(text, str)
    return text


def settings(tmp_path: Path, **sections: Any) -> config.Settings:
    """Settings of a host alone."""
    data: dict[str, Any] = {
        "mail_root": str(tmp_path / "store"),
        "plugins": [],
        "hostname": "mail.example.com",
        "tls": {"enabled": False},
        "process": {"drain_s": 2, "threads": 2},
    }
    data["http"] = {"host": "127.0.0.1", "port": 0, "tls_port": None} | sections.pop("http", {})
    return config.build(data | sections, {}, environ={})


async def open_site(settings: config.Settings, routes: list[Route], clock: Clock | None) -> Site:
    """Starts a host."""
    kernel = Kernel(settings, new_bus(), clock=clock)
    host = HttpHost(kernel, routes)
    await host.start()
    (listener,) = host.listeners()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(listener.protocol, listener.host, listener.port)
    port = server.sockets[0].getsockname()[1]
    return Site(kernel, host, server, aiohttp.ClientSession(), port)


async def hello(_request: web.Request) -> web.Response:
    """The simplest handler."""
    return web.Response(text="hello")


async def echo(request: web.Request) -> web.Response:
    """Answers the body it got."""
    return web.Response(body=await request.read())


def public(method: str, path: str, handler: Any = hello, **options: Any) -> Route:
    """A route for everyone."""
    return Route(method, path, handler, Access.PUBLIC, **options)
