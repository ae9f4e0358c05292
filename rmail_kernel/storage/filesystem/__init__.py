"""The embedded storage driver: files are the truth, databases beside them are rebuildable."""

from __future__ import annotations

import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from rmail_kernel.errors import ConfigError, Corrupt
from rmail_kernel.storage.drivers import Storage
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.disk import (
    Owner,
    make_directory,
    make_root,
    read_json,
    write_json,
)
from rmail_kernel.storage.filesystem.queue import FilesystemQueue
from rmail_kernel.storage.filesystem.reserve import Reserve
from rmail_kernel.storage.filesystem.state import SqliteState
from rmail_kernel.storage.filesystem.store import FilesystemMailStore

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

__all__ = ["STORE_VERSION", "FilesystemMailStore", "open_storage", "prepare_root"]
STORE_VERSION = 1
MAX_DESCRIPTORS = 65_536


async def open_storage(kernel: Kernel) -> Storage:
    """Opens the store below `mail_root`; the entry point of the driver.

    Raises:
        ConfigError: the store cannot be used: permissions, or a newer version.
    """
    root = kernel.settings.mail_root
    prepare_root(root)
    _allow_descriptors()
    directory = FilesystemDirectory(root, clock=kernel.clock, events=kernel.events)
    state = SqliteState(root / "state.db", kernel.clock)
    size_bytes = kernel.settings.storage.reserve_mb << 20
    reserve = Reserve(root / "reserve", size_bytes, Owner.of(root)) if size_bytes else None
    mail = FilesystemMailStore(
        root, directory, kernel.events, kernel.clock, kernel.pool, reserve=reserve
    )
    await mail.recover()
    queue = FilesystemQueue(root / "queue", kernel.clock, kernel.events, kernel.pool)

    async def close() -> None:
        await queue.close()
        await mail.close()
        await state.close()
        await directory.close()

    return Storage(mail, directory, state, queue, close)


def prepare_root(root: Path) -> None:
    """Makes the store's root, or checks that it is a store of our version. Changes nothing else.

    Raises:
        ConfigError: see open_storage.
    """
    try:
        make_root(root)
        owner = Owner.of(root)
        found = read_json(root / "store.json")
        if found is None:
            write_json(root / "store.json", {"version": STORE_VERSION}, owner, durable=True)
        elif found.get("version") != STORE_VERSION:
            raise ConfigError(
                f"{root} is a store of version {found.get('version')!r}, this program knows"
                f" version {STORE_VERSION}",
                path="mail_root",
            )
        make_directory(root / "domains", owner)
        _check_writable(root)
    except (OSError, Corrupt) as error:
        raise ConfigError(
            f"the store at {root} cannot be used: {error}", path="mail_root"
        ) from error


def _allow_descriptors() -> None:
    """Takes as many descriptors as we are allowed: each open account needs several."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, MAX_DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _check_writable(root: Path) -> None:
    """Asks by doing it, as a read-only file system says no only then. An unnamed file: several
    processes ask at once.
    """
    with tempfile.TemporaryFile(dir=root):
        return
