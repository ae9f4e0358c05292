"""A whole server in one process: `rmail run --workers 0`, and what the test kit starts."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack

from rmail_kernel.clock import Clock
from rmail_kernel.config import Settings
from rmail_kernel.kernel import Kernel
from rmail_kernel.net.sockets import open_listeners, ports
from rmail_kernel.process import presence, privileges
from rmail_kernel.process.node import Node, load_kernel, possible_listeners


class Server:
    """A server in this process.

    Attributes:
        kernel: its services, complete after `start`.
        ports: real ports by listener name, after `start`.
    """

    kernel: Kernel
    ports: dict[str, int]

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        extra_plugins: Mapping[str, object] | None = None,
        inherited: Mapping[str, socket.socket] | None = None,
    ) -> None:
        self.ports = {}
        self._settings = settings
        self._clock = clock
        self._extra_plugins = extra_plugins
        self._inherited = inherited or {}
        self._node: Node | None = None
        self._cleanup = ExitStack()

    async def start(self) -> None:
        """Opens sockets and store, and accepts.

        Raises:
            ConfigError, PluginError, Temporary: it cannot start; nothing is left open.
        """
        self.kernel = load_kernel(self._settings, self._clock, self._extra_plugins)
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> None:
        root = self._settings.mail_root
        presence.refuse_second(root)
        patience_s = presence.ORPHANS_S if presence.was_killed(root) else 0.0
        sockets = open_listeners(possible_listeners(self.kernel), self._inherited, patience_s)
        for opened in sockets.values():
            self._cleanup.callback(opened.close)
        privileges.drop(self._settings.process.user, root)
        self._cleanup.enter_context(presence.only_server(root))
        presence.retract_ports(root)
        self._node = Node(self.kernel)
        await self._node.start(sockets)
        for name in sockets.keys() - self._node.serves:
            sockets.pop(name).close()
        self.ports = ports(sockets)
        presence.publish_ports(root, self.ports)
        self._cleanup.callback(presence.retract_ports, root)

    def reload_soon(self, settings: Settings) -> None:
        """Takes new settings and certificates in the background; sessions go on."""
        if self._node is not None:
            self.kernel.spawn(self._node.reload(settings), "reload")

    async def stop(self) -> None:
        """Drains and ends. Idempotent."""
        node, self._node = self._node, None
        if node is not None:
            await node.stop()
        self._cleanup.close()


async def serve_in_process(
    settings: Settings, inherited: Mapping[str, socket.socket] | None = None
) -> Server:
    """A started server in this process; the caller stops it.

    Args:
        inherited: open sockets by listener name.

    Raises:
        ConfigError, PluginError, Temporary: it cannot start; nothing is left open.
    """
    server = Server(settings, inherited=inherited)
    await server.start()
    return server
