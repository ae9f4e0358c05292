"""A whole server in the test's own process."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from aiohttp import web

from rmail_kernel import Kernel, config, hookimpl
from rmail_kernel.errors import ConfigError, PluginError
from rmail_kernel.http.routes import Access, Route
from rmail_kernel.net.listeners import Listener
from rmail_kernel.process.single import Server, serve_in_process


class Greeter:
    """Greets and closes, on listeners of the given names."""

    def __init__(self, *names: str, implicit_tls: bool = False) -> None:
        self._names = names
        self._implicit_tls = implicit_tls
        self.events: list[str] = []

    @hookimpl
    def register_listeners(self) -> list[Listener]:
        def protocol() -> asyncio.StreamReaderProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), self._greet)

        tls = self._implicit_tls
        return [Listener(name, "127.0.0.1", 0, protocol, tls) for name in self._names]

    async def _greet(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"hello\n")
        writer.close()
        await writer.wait_closed()

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        self.events.append("start")

    @hookimpl
    async def on_stop(self, kernel: Kernel) -> None:
        self.events.append("stop")


def settings(tmp_path: Path, **keys: object) -> config.Settings:
    data = {"mail_root": str(tmp_path / "store"), "plugins": [], **keys}
    return config.build(data, {}, environ={})


async def test_a_plugin_object_is_served_from_start_to_stop(tmp_path: Path) -> None:
    greeter = Greeter("greeter")
    server = Server(settings(tmp_path), extra_plugins={"greeter": greeter})
    await server.start()
    assert server.kernel.plugins == {"greeter": greeter}
    published = tmp_path / "store" / "run" / "ports.json"
    assert json.loads(published.read_text()) == server.ports
    reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["greeter"])
    assert await reader.read() == b"hello\n"
    writer.close()
    await server.stop()
    await server.stop()
    assert greeter.events == ["start", "stop"]
    assert not published.exists()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.ports["greeter"])


class Routes:
    """Has routes, or might have had some."""

    def __init__(self, *routes: Route) -> None:
        self._routes = routes

    @hookimpl
    def register_routes(self) -> tuple[Route, ...]:
        return self._routes


async def answer(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def test_http_is_up_when_there_is_a_route_and_only_then(tmp_path: Path) -> None:
    http = {"host": "127.0.0.1", "port": 0, "tls_port": None}
    route = Route("GET", "/hello", answer, Access.PUBLIC)
    for routes, names in ((Routes(), set()), (Routes(route), {"http"})):
        server = Server(settings(tmp_path, http=http), extra_plugins={"routes": routes})
        await server.start()
        assert set(server.ports) == names
        for path in ("/hello", "/healthz", "/readyz", "/metrics") if names else ():
            reader, writer = await asyncio.open_connection("127.0.0.1", server.ports["http"])
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
            writer.close()
        await server.stop()


async def test_two_listeners_of_one_name_are_refused(tmp_path: Path) -> None:
    server = Server(settings(tmp_path), extra_plugins={"one": Greeter("x"), "two": Greeter("x")})
    with pytest.raises(ConfigError, match="two listeners are named 'x'"):
        await server.start()


async def test_a_tls_listener_without_tls_is_refused_and_nothing_is_left_open(
    tmp_path: Path,
) -> None:
    plain = settings(tmp_path, tls={"enabled": False})
    greeter = Greeter("x", implicit_tls=True)
    with pytest.raises(ConfigError, match=r"tls.enabled: listener x needs TLS"):
        await Server(plain, extra_plugins={"x": greeter}).start()
    assert greeter.events == ["start", "stop"]
    await (await serve_in_process(plain)).stop()  # the lock is free again


async def test_a_misspelt_hook_of_a_plugin_object_is_refused(tmp_path: Path) -> None:
    class Misspelt:
        @hookimpl
        def on_strat(self) -> None: ...

    with pytest.raises(PluginError, match="there is no hook 'on_strat'"):
        await Server(settings(tmp_path), extra_plugins={"misspelt": Misspelt()}).start()


async def test_a_store_is_served_once(tmp_path: Path) -> None:
    server = await serve_in_process(settings(tmp_path))
    with pytest.raises(ConfigError, match="served already, by process"):
        await serve_in_process(settings(tmp_path))
    await server.stop()
