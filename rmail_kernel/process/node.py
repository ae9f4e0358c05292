"""What one process does of a server: its kernel, plugins, HTTP host, accepting, singleton tasks.

It opens no sockets; whoever owns it hands them over.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog

from rmail_kernel import plugins
from rmail_kernel.clock import Clock
from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError
from rmail_kernel.http.routes import Route
from rmail_kernel.kernel import Kernel
from rmail_kernel.net.listeners import Listener
from rmail_kernel.net.serving import Serving, serve
from rmail_kernel.observe import lag
from rmail_kernel.process.control import Control
from rmail_kernel.process.lease import Singletons
from rmail_kernel.tasks import SingletonTask

if TYPE_CHECKING:
    from rmail_kernel.http.host import HttpHost
    from rmail_kernel.storage.events import EventBus

RENEW_S = 12 * 3600.0  # how often a self-signed certificate is looked at
_log = structlog.get_logger("rmail.node")


def load_kernel(
    settings: Settings,
    clock: Clock | None = None,
    extra_plugins: Mapping[str, object] | None = None,
) -> Kernel:
    """A kernel with its plugins, not started.

    Args:
        extra_plugins: instances to register besides those that the settings name.

    Raises:
        PluginError: a plugin cannot be loaded.
    """
    kernel = Kernel(settings, plugins.new_bus(), clock=clock)
    kernel.plugins = plugins.load(kernel.bus, settings.plugins)
    for name, plugin in (extra_plugins or {}).items():
        kernel.bus.register(plugin, name)
        kernel.plugins[name] = plugin
    kernel.bus.check()
    return kernel


def possible_listeners(kernel: Kernel) -> list[Listener]:
    """Every listener that may be served, asked of a kernel that is not started: the sockets to
    open. HTTP is among them when a plugin might have routes.

    Raises:
        ConfigError: two have one name. PluginError: a plugin answered rubbish.
    """
    listeners = kernel.bus.collect("register_listeners", Listener, kernel=kernel)
    if kernel.bus.has("register_routes"):
        from rmail_kernel.http.host import HttpHost

        listeners += HttpHost(kernel, []).listeners()
    return _distinct(listeners)


def _distinct(listeners: list[Listener]) -> list[Listener]:
    seen: set[str] = set()
    for listener in listeners:
        if listener.name in seen:
            raise ConfigError(f"two listeners are named {listener.name!r}", path="plugins")
        seen.add(listener.name)
    return listeners


class Node:
    """The running services of one process.

    Attributes:
        kernel: its kernel.
        serves: names of the listeners that it accepts on.
    """

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.serves: frozenset[str] = frozenset()
        self._host: HttpHost | None = None
        self._serving: Serving | None = None
        self._singletons: Singletons | None = None
        self._control = Control(kernel)

    async def start(
        self, sockets: Mapping[str, socket.socket], events: EventBus | None = None
    ) -> None:
        """Starts the kernel, accepts on the sockets, then starts the singleton tasks.

        Raises:
            RmailError: it cannot start; call `stop` all the same.
        """
        from rmail_kernel import composition  # the store's modules; a supervisor needs none

        kernel = self.kernel
        await composition.start(kernel, events)
        listeners = kernel.bus.collect("register_listeners", Listener, kernel=kernel)
        listeners += await self._start_host()
        tasks = kernel.bus.collect("register_tasks", SingletonTask, kernel=kernel)
        tasks += [*kernel.delivery.tasks(), *kernel.auth.tasks()]
        self._singletons = Singletons(kernel.settings.mail_root, tasks)
        self._serving = await serve(
            kernel.tls,
            _distinct(listeners),
            sockets,
            kernel.settings.proxy_protocol,
            kernel.crowd,
        )
        self.serves = frozenset(listener.name for listener in listeners)
        await self._control.start()
        self._singletons.start(kernel.spawn)
        kernel.spawn(lag.watch(), "loop lag")
        if kernel.tls is not None:
            kernel.spawn(self._renew_certificate(), "certificate")

    async def _start_host(self) -> list[Listener]:
        routes = self.kernel.bus.collect("register_routes", Route, kernel=self.kernel)
        if not routes:
            return []
        from rmail_kernel.http.host import HttpHost

        self._host = HttpHost(self.kernel, routes)
        await self._host.start()
        return self._host.listeners()

    async def reload(self, settings: Settings) -> None:
        """Takes new settings and certificates; sessions go on."""
        kernel = self.kernel
        kernel.settings = settings
        if kernel.tls is not None:
            await kernel.run(kernel.tls.reload, settings)
        await kernel.bus.notify("on_reload", kernel=kernel)

    async def stop(self, drain_s: float | None = None) -> None:
        """Stops accepting, lets sessions end, then closes all. Idempotent, also after a failed
        start.

        Args:
            drain_s: seconds that sessions may go on, at most `process.drain_s`; None: that.
        """
        self._control.close()
        if self._serving is not None:
            self._serving.close()
            self._serving = None
            if self._singletons is not None:
                await self._singletons.stop()
            await self._drain(drain_s)
        if self._host is not None:
            host, self._host = self._host, None
            await host.stop()
        await self.kernel.stop()

    async def _drain(self, drain_s: float | None) -> None:
        try:
            async with asyncio.timeout(drain_s):
                is_idle = await self.kernel.drain()
        except TimeoutError:
            is_idle = False
        if not is_idle:
            _log.warning("sessions were cut")

    async def _renew_certificate(self) -> None:
        while True:
            await asyncio.sleep(RENEW_S)
            kernel = self.kernel
            if kernel.tls is not None and kernel.settings.tls.cert_file is None:
                await kernel.run(kernel.tls.reload, kernel.settings)
