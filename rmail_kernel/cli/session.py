"""Opening the store for one command, beside a running server: settings and storage, no plugins and
no sockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from rmail_kernel import config, plugins
from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError
from rmail_kernel.kernel import Kernel
from rmail_kernel.observe import logs
from rmail_kernel.plugins import new_bus
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Directory
from rmail_kernel.storage.drivers import open_storage
from rmail_kernel.storage.mail import MailStore
from rmail_kernel.storage.queue import Queue
from rmail_kernel.storage.state import State

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Session:
    """The open store of one command. `kernel` has no plugins and nothing but its stores."""

    kernel: Kernel
    settings: Settings
    mail: MailStore
    directory: Directory
    state: State
    queue: Queue


def load_settings(path: Path) -> Settings:
    """The settings in a file, checked against the sections of the installed plugins.

    Raises:
        ConfigError: the file or a setting is wrong. PluginError: plugins clash.
    """
    return config.load(path, plugins.sections(plugins.installed()))


@asynccontextmanager
async def open_session(settings: Settings, *, create: bool = False) -> AsyncIterator[Session]:
    """Opens the store and closes it at the end.

    Args:
        settings: the configuration.
        create: make a store where there is none.

    Raises:
        ConfigError: there is no store, or it cannot be used.
    """
    if not create and settings.storage.driver == "filesystem" and not settings.mail_root.is_dir():
        raise ConfigError(
            f"there is no store at {settings.mail_root}; `rmail init` makes one", path="mail_root"
        )
    logs.configure(settings.log.model_copy(update={"level": "warning", "format": "console"}))
    kernel = Kernel(settings, new_bus())
    kernel.events = LocalEvents()
    try:
        storage = await open_storage(kernel)
        try:
            kernel.mail, kernel.directory = storage.mail, storage.directory
            kernel.state, kernel.queue = storage.state, storage.queue
            yield Session(
                kernel,
                settings,
                storage.mail,
                storage.directory,
                storage.state,
                storage.queue,
            )
        finally:
            await storage.close()
    finally:
        await kernel.stop()


def with_store(path: Path, work: Callable[[Session], Awaitable[T]]) -> T:
    """Loads the settings, opens the store and runs `work` on it.

    Raises:
        ConfigError, PluginError: it cannot be opened; and whatever `work` raises.
    """

    async def run() -> T:
        async with open_session(load_settings(path)) as session:
            return await work(session)

    return asyncio.run(run())
