"""Choosing a storage driver: entry points of `rmail.storage` name `async (kernel) -> Storage`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING

from rmail_kernel.errors import ConfigError
from rmail_kernel.storage.accounts import Directory
from rmail_kernel.storage.mail import MailStore
from rmail_kernel.storage.queue import Queue
from rmail_kernel.storage.state import State

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

GROUP = "rmail.storage"


@dataclass(frozen=True, slots=True)
class Storage:
    """The stores of one process and how to let go of them."""

    mail: MailStore
    directory: Directory
    state: State
    queue: Queue
    close: Callable[[], Awaitable[None]]


async def open_storage(kernel: Kernel) -> Storage:
    """Opens the driver that `storage.driver` names.

    Raises:
        ConfigError: no such driver, or the store cannot be used (permissions, newer version).
    """
    name = kernel.settings.storage.driver
    found = [point for point in entry_points(group=GROUP) if point.name == name]
    if not found:
        known = ", ".join(sorted({point.name for point in entry_points(group=GROUP)}))
        raise ConfigError(f"no such driver; installed are: {known}", path="storage.driver")
    opener: Callable[[Kernel], Awaitable[Storage]] = found[0].load()
    return await opener(kernel)
