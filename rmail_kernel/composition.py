"""The composition root: opens the store and builds the services of one process.

It is the only place that knows every service of the kernel; it must not know any plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_kernel.auth.service import AuthService
from rmail_kernel.delivery.aliases import AliasPlugin
from rmail_kernel.delivery.service import Delivering
from rmail_kernel.kernel import Kernel
from rmail_kernel.net.resolver import Resolver
from rmail_kernel.net.tls import TlsContexts
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.drivers import open_storage

if TYPE_CHECKING:
    from rmail_kernel.storage.events import EventBus


async def start(kernel: Kernel, events: EventBus | None = None) -> None:
    """Opens the store, builds the services and tells the plugins; sockets are opened elsewhere.

    Args:
        kernel: with its plugins loaded; `kernel.stop` undoes this, also after a failure.
        events: the bus between processes; None: this process only.

    Raises:
        ConfigError, PluginError, Temporary: it cannot start.
    """
    settings = kernel.settings
    kernel.events = events or LocalEvents()
    storage = await open_storage(kernel)
    kernel.closers.append(storage.close)
    kernel.mail, kernel.directory, kernel.state = storage.mail, storage.directory, storage.state
    kernel.queue = storage.queue
    for domain in settings.domains:
        if not await kernel.directory.has_domain(domain):
            await kernel.directory.add_domain(domain)
    kernel.tls = TlsContexts.open(settings) if settings.tls.enabled else None
    kernel.resolver = Resolver(
        settings.dns.servers, timeout_s=settings.dns.timeout_s, clock=kernel.clock
    )
    kernel.auth = AuthService(kernel)
    kernel.delivery = Delivering(kernel)
    kernel.bus.register(AliasPlugin(kernel), "aliases")
    kernel.closers.append(lambda: kernel.bus.notify("on_stop", kernel=kernel))
    await kernel.bus.start("on_start", kernel=kernel)
