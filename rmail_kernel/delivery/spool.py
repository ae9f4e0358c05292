"""Accepted messages that are not at all their targets yet: one durable file each.

`{mail_root}/spool/{id}.msg` is a line of JSON (records.py) and then the message; `{id}.json`
beside it exists once an attempt left something over. A file is complete or absent, whatever
happens; whoever works on an entry holds a lock on its file. All functions block: call them in a
thread.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rmail_kernel.content import CHUNK_BYTES, Content, ContentWriter
from rmail_kernel.delivery.records import (
    Progress,
    decode_entry,
    decode_progress,
    encode_entry,
    encode_progress,
)
from rmail_kernel.delivery.targets import Entry, Result
from rmail_kernel.errors import Corrupt, Temporary
from rmail_kernel.failpoints import reach

MAX_HEAD_BYTES = 1 << 22  # a thousand targets with long names stay far below
ABANDONED_S = 3600.0
_MESSAGE, _PROGRESS, _BAD = ".msg", ".json", ".bad"


@dataclass(slots=True)
class Held:
    """An entry that this process alone works on, until `release`.

    Attributes:
        attempts: how often delivery was tried before. done: targets that are final, by key.
        owed: keys of those that the sender may not have been told of.
    """

    entry: Entry
    content: Content
    attempts: int
    done: dict[str, Result]
    _file: IO[bytes]
    owed: tuple[str, ...] = ()

    def release(self) -> None:
        """Lets others work on it. Idempotent."""
        self._file.close()


class Spool:
    """The spool directory.

    Args:
        directory: made when it is absent.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, entry: Entry, content: Content) -> Held:
        """Makes an entry; durable on return.

        Raises:
            Temporary: the disk does not take it; nothing is left.
        """
        path, fresh = self._path(entry.id, _MESSAGE), self._path(entry.id, ".tmp")
        try:
            self._ensure()
            file = fresh.open("wb+")
            try:
                # Locked before it has its name, so that no recovery ever finds it unlocked.
                fcntl.flock(file, fcntl.LOCK_EX)
                file.write(encode_entry(entry))
                for piece in content.chunks():
                    file.write(piece)
                _sync(file)
                reach("spool.written")
                fresh.rename(path)
                _sync_directory(self.directory)
                reach("spool.named")
            except BaseException:
                file.close()
                # Under either name: what was not accepted must not be delivered later.
                fresh.unlink(missing_ok=True)
                path.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise Temporary("The message cannot be kept now", reason=str(error)) from error
        return Held(entry, content, 0, {}, file)

    def ids(self) -> list[str]:
        """Entries that exist, sorted."""
        with suppress(FileNotFoundError):
            return sorted(p.stem for p in self.directory.iterdir() if p.suffix == _MESSAGE)
        return []

    def take(self, entry_id: str) -> Held | None:
        """An entry to work on; None: it is gone, or somebody else is at it.

        Raises:
            Corrupt: it makes no sense; it was put aside as `{id}.bad`.
            Temporary: the disk does not give it now.
        """
        path = self._path(entry_id, _MESSAGE)
        try:
            with ExitStack() as undo:
                file = undo.enter_context(path.open("rb"))
                if not _lock(file, path):
                    return None
                held = self._read(entry_id, file)
                undo.pop_all()
                return held
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Temporary("The message cannot be read now", reason=str(error)) from error

    def _read(self, entry_id: str, file: IO[bytes]) -> Held:
        try:
            entry = decode_entry(file.readline(MAX_HEAD_BYTES))
            progress = self._progress(entry_id)
        except Corrupt:
            self._path(entry_id, _MESSAGE).rename(self._path(entry_id, _BAD))
            raise
        with ContentWriter(self.directory) as writer:
            while piece := file.read(CHUNK_BYTES):
                writer.write(piece)
            attempts, done = progress.attempts, dict(progress.done)
            return Held(entry, writer.finish(), attempts, done, file, progress.owed)

    def note(
        self, held: Held, attempts: int, done: Mapping[str, Result], owed: Iterable[str] = ()
    ) -> None:
        """Remembers durably what is final, and of whom the sender is yet to be told.

        Raises:
            Temporary: the disk does not take it.
        """
        progress = Progress(attempts, dict(done), tuple(owed))
        fresh = self._path(held.entry.id, ".new")
        try:
            with fresh.open("wb") as file:
                file.write(encode_progress(progress))
                _sync(file)
            fresh.rename(self._path(held.entry.id, _PROGRESS))
            _sync_directory(self.directory)
        except OSError as error:
            raise Temporary("Progress cannot be kept now", reason=str(error)) from error
        held.attempts, held.done, held.owed = attempts, dict(done), progress.owed

    def remove(self, held: Held) -> None:
        """Forgets a finished entry. A removal lost with the power harms nothing: op ids know it.

        Raises:
            Temporary: the disk does not do it; the entry stays.
        """
        try:
            self._path(held.entry.id, _MESSAGE).unlink(missing_ok=True)
            reach("spool.removed")
            self._path(held.entry.id, _PROGRESS).unlink(missing_ok=True)
        except OSError as error:
            raise Temporary("The spool cannot be cleared now", reason=str(error)) from error
        finally:
            held.release()

    def tidy(self) -> None:
        """Removes leftovers of a crash: unfinished files, and progress of entries that are gone."""
        for path in self.leftovers():
            path.unlink(missing_ok=True)

    def leftovers(self) -> list[Path]:
        """What `tidy` would remove."""
        with suppress(FileNotFoundError):
            return sorted(path for path in self.directory.iterdir() if self._is_leftover(path))
        return []

    def _is_leftover(self, path: Path) -> bool:
        if path.suffix == _PROGRESS:
            return not path.with_suffix(_MESSAGE).exists()
        return path.suffix in (".tmp", ".new") and _is_abandoned(path)

    def _progress(self, entry_id: str) -> Progress:
        try:
            return decode_progress(self._path(entry_id, _PROGRESS).read_bytes())
        except FileNotFoundError:
            return Progress()

    def _path(self, entry_id: str, suffix: str) -> Path:
        return self.directory / f"{entry_id}{suffix}"

    def _ensure(self) -> None:
        if not self.directory.is_dir():
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _sync_directory(self.directory.parent)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(file: IO[bytes]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _lock(file: IO[bytes], path: Path) -> bool:
    """Whether the lock was got and the file still has its name."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(file.fileno()).st_ino == path.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False


def _is_abandoned(path: Path) -> bool:
    # Compared with the system's clock, which set the file's time. A living writer takes seconds.
    with suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > ABANDONED_S
    return False
