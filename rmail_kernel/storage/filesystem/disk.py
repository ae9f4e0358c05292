"""Files that survive a power loss: written aside, synced, renamed, owned by the store's owner.

Nothing here knows what a mailbox is. All functions block; call them in a pool thread.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from rmail_kernel.errors import Corrupt

_serial = count()
_libc = ctypes.CDLL(None, use_errno=True)
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


@dataclass(frozen=True, slots=True)
class Owner:
    """Whom new files belong to: the owner of the store, also when root runs a command."""

    uid: int
    gid: int
    is_needed: bool

    @classmethod
    def of(cls, root: Path) -> Owner:
        """The owner of a directory that exists."""
        found = root.stat()
        return cls(found.st_uid, found.st_gid, os.geteuid() == 0 and found.st_uid != 0)

    def take(self, target: int | Path) -> None:
        """Hands a file or directory over, if we are root and the owner is somebody else."""
        if self.is_needed:
            os.chown(target, self.uid, self.gid)


@contextmanager
def alone(path: Path, owner: Owner) -> Iterator[None]:
    """Of several processes one makes or renews the file at `path`; the others wait for it."""
    fd = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        owner.take(fd)
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def make_directory(path: Path, owner: Owner) -> None:
    """Makes one directory; it may exist."""
    try:
        path.mkdir(DIRECTORY_MODE)
    except FileExistsError:
        return
    owner.take(path)


def make_root(path: Path) -> None:
    """Makes a folder with those above it; it may exist. What is made survives a power loss: without
    its name in the folder above everything below would be lost.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    path.mkdir(DIRECTORY_MODE, parents=True, exist_ok=True)
    for made in missing:
        sync_directory(made.parent)


def sync_directory(path: Path) -> None:
    """Makes the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_file(path: Path) -> None:
    """Makes the content of a file durable."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sync_filesystem(fd: int) -> None:
    """Writes everything that the file system of an open file still holds in memory (syncfs)."""
    if _libc.syncfs(fd):
        raise OSError(ctypes.get_errno(), "syncfs failed")


def temporary_name(directory: Path) -> Path:
    """A name in `directory` that no other process or thread uses."""
    return directory / f"{os.getpid()}.{os.urandom(4).hex()}.{next(_serial)}"


def make_way(path: str) -> None:
    """Has a file that somebody put where one of ours belongs give way. Its new name tells no UID,
    so it is found as a message of its own.
    """
    if os.path.lexists(path):
        os.rename(path, f"{path.rpartition('/')[0]}/{os.urandom(8).hex()}.eml")  # noqa: PTH104 - a Path more is dear


def write_file(
    path: Path,
    pieces: Iterable[bytes],
    owner: Owner,
    *,
    mtime: int | None,
    durable: bool = True,
) -> int:
    """Writes a new file, synced if `durable`, and returns its size; nothing is left of one that
    fails.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        size = 0
        for piece in pieces:
            size += _write_all(fd, piece)
        owner.take(fd)
        if mtime is not None:
            os.utime(fd, (mtime, mtime))
        if durable:
            os.fsync(fd)
    except BaseException:
        os.close(fd)
        path.unlink(missing_ok=True)
        raise
    os.close(fd)
    return size


def _write_all(fd: int, piece: bytes) -> int:
    rest = memoryview(piece)
    while rest:
        rest = rest[os.write(fd, rest) :]
    return len(piece)


def write_json(
    path: Path, value: Mapping[str, object], owner: Owner, *, durable: bool, whole: bool = False
) -> None:
    """Replaces a JSON file atomically; `durable` also syncs file and directory, `whole` the file: a
    power loss may then bring the old one back, but leaves no torn one.
    """
    raw = json.dumps(value, ensure_ascii=False).encode() + b"\n"
    aside = path.with_name(f".{path.name}.{os.getpid()}.{next(_serial)}")
    if durable or whole:
        write_file(aside, (raw,), owner, mtime=None)
    else:
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            _write_all(fd, raw)
            owner.take(fd)
        finally:
            os.close(fd)
    try:
        aside.replace(path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise
    if durable:
        sync_directory(path.parent)


def read_json(path: Path) -> dict[str, object] | None:
    """The object in a JSON file, None if there is no file.

    Raises:
        Corrupt: not a JSON object.
    """
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise Corrupt("A file of the store is not JSON", path=str(path)) from error
    if not isinstance(value, dict):
        raise Corrupt("A file of the store is not a JSON object", path=str(path))
    return value
