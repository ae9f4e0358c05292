"""The files below `domains/`: one lock for writers, atomic durable writes, the generation counter,
folders that come and go as a whole.

Blocking: called in a thread (except `generation`). Nothing below `domains/` may ever be seen
half-written, and all of it belongs to the owner of the store's root, also when root runs a command.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog

from rmail_kernel.errors import ConfigError, Temporary
from rmail_kernel.failpoints import reach
from rmail_kernel.storage.filesystem.disk import (
    FILE_MODE,
    Owner,
    make_directory,
    make_root,
    sync_directory,
)

LOCK_WAIT_S = 10.0
_POLL_S = 0.005
_NEW, _DELETED = "new-", "deleted-"
_log = structlog.get_logger("rmail.directory")
Generation = tuple[int, int, int]


class RecordFiles:
    """Reads and writes below `root/domains`."""

    def __init__(self, root: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self.root = root
        self.domains = root / "domains"
        self._generation_path = str(self.domains / ".generation")
        self._lock_path = self.domains / ".lock"
        self._staging = self.domains / ".staging"
        self._lock_wait_s = lock_wait_s
        self._owner = Owner(0, 0, is_needed=False)

    def open(self) -> None:
        """Makes what is missing and removes what a crash left over.

        Raises:
            ConfigError: the store cannot be used by this user.
        """
        try:
            make_root(self.root)
            self._owner = Owner.of(self.root)
            for folder in (self.domains, self._staging):
                self.make_folder(folder)
            os.close(self._open(self._generation_path))
            self._sweep()
        except OSError as error:
            raise ConfigError(
                f"the store {self.root} cannot be used: {error.strerror} ({error.filename})",
                path="mail_root",
            ) from error

    def generation(self) -> Generation | None:
        """What differs after every write by any process; one stat. None: the counter is gone."""
        try:
            stat = os.stat(self._generation_path)
        except FileNotFoundError:
            return None
        return stat.st_size, stat.st_ino, stat.st_mtime_ns

    def count(self) -> int:
        """The generation as a number: how many writes there were. Stands still under the lock."""
        found = self.generation()
        return found[0] if found else 0

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Holds the writers' lock; afterwards every process knows that something changed.

        Raises:
            Temporary: the lock was not free within LOCK_WAIT_S, or a file could not be written.
        """
        try:
            with self._locked():
                try:
                    yield
                finally:
                    self._bump()
        except OSError as error:
            raise Temporary("The account store cannot be written", reason=str(error)) from error

    def write(self, path: Path, data: bytes) -> None:
        """Replaces a file atomically and durably. Only under the lock."""
        temporary = path.with_name(f".{path.name}.tmp")
        fd = self._open(str(temporary), os.O_TRUNC)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(fd)
        temporary.rename(path)
        sync_directory(path.parent)

    def make_folder(self, path: Path) -> None:
        """Makes one folder, for the store's owner, durably; it may exist."""
        make_directory(path, self._owner)
        sync_directory(path.parent)

    def stage(self) -> Path:
        """A new folder in which something is built before `publish` shows it."""
        path = self._staging / f"{_NEW}{secrets.token_hex(8)}"
        self.make_folder(path)
        return path

    def publish(self, staged: Path, path: Path) -> None:
        """Shows a staged folder under its name, as a whole."""
        reach("directory.publish")
        staged.rename(path)
        sync_directory(path.parent)

    def withdraw(self, path: Path) -> Path:
        """Takes a folder away as a whole; its remains are for `remove`, outside the lock."""
        gone = self._staging / f"{_DELETED}{secrets.token_hex(8)}"
        path.rename(gone)
        sync_directory(path.parent)
        sync_directory(self._staging)
        return gone

    def remove(self, gone: Path) -> None:
        """Deletes what `withdraw` took away; what resists is left to the next start."""
        reach("directory.remove")
        shutil.rmtree(gone, ignore_errors=True)
        if gone.exists():
            _log.warning("a deleted folder could not be removed", path=str(gone))

    def _sweep(self) -> None:
        left = list(self._staging.iterdir())
        if any(path.name.startswith(_NEW) for path in left):
            with self._locked():  # what is still new under the lock has no living maker
                for path in self._staging.glob(f"{_NEW}*"):
                    self.remove(path)
        for path in left:
            if path.name.startswith(_DELETED):
                self.remove(path)

    def _bump(self) -> None:
        """Grows the (sparse) counter file by a byte: its size is the generation, so two writes
        within one tick of the clock still differ.
        """
        fd = self._open(self._generation_path)
        try:
            os.ftruncate(fd, os.fstat(fd).st_size + 1)
            os.fsync(fd)
        finally:
            os.close(fd)

    def _open(self, path: str | Path, flags: int = 0) -> int:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | flags, FILE_MODE)
        self._owner.take(fd)
        return fd

    @contextmanager
    def _locked(self) -> Iterator[None]:
        fd = self._open(self._lock_path)
        try:
            self._wait_for(fd)
            yield
        finally:
            os.close(fd)

    def _wait_for(self, fd: int) -> None:
        deadline = time.monotonic() + self._lock_wait_s
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= deadline:
                    raise Temporary("The account store is busy") from error
            time.sleep(_POLL_S)
