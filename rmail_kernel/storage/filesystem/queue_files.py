"""The spool files of the queue: everything that `queue.db` knows can be read from them again.

`{name}.msg` is a line of JSON, the jobs that share it, and then the message; until its rows are
committed it is `{name}.new`. `{name}.log` has a line for each later change of a job. All functions
block: call them in a thread.

A small file is not synced when it is written: until it is, its row has its bytes (`settle`).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from rmail_kernel.content import SPOOL_BYTES, Content, SpoolFile
from rmail_kernel.errors import Corrupt, NotFound
from rmail_kernel.storage.filesystem.disk import (
    FILE_MODE,
    Owner,
    make_directory,
    sync_directory,
    sync_file,
    write_file,
)
from rmail_kernel.storage.queue import NewJob

FILE_VERSION = 1
SMALL_BYTES = 32_768
MAX_HEAD_BYTES = 1 << 24
Place = tuple[str, int, bytes | None]
"""The file of a job, where the message begins in it, and its bytes where they are at hand."""
_NAME = re.compile(r"[0-9a-f]{32}\Z")
_WRONG = (KeyError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class SpooledJob:
    """A job as its files tell it."""

    job: NewJob
    attempts: int = 0
    error: str = ""
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A file that has no name of its own yet, and where its message begins.

    Attributes:
        raw: the whole of a small file, which is not synced; None: it is.
    """

    path: Path
    created_at: float
    head_bytes: int
    size_bytes: int
    raw: bytes | None = None

    @property
    def name(self) -> str:
        """The name that it will have."""
        return self.path.stem


@dataclass(frozen=True, slots=True)
class Spooled:
    """A spool file: its jobs that are not finished, when it came, where its message begins."""

    created_at: float
    jobs: tuple[SpooledJob, ...]
    head_bytes: int
    size_bytes: int


class SpoolFiles:
    """The folder `queue/spool`.

    Args:
        folder: made when absent, the one above it exists.
    """

    def __init__(self, folder: Path, owner: Owner) -> None:
        self.folder = folder
        self._owner = owner
        make_directory(folder, owner)
        sync_directory(folder.parent)

    def write(self, jobs: Sequence[NewJob], created_at: float, content: Content | None) -> Written:
        """Writes a file under a name of its own; `place` gives it its name."""
        path = self.folder / f"{os.urandom(16).hex()}.tmp"
        head = {"version": FILE_VERSION, "created": created_at, "jobs": list(map(asdict, jobs))}
        raw_head = json.dumps(head, ensure_ascii=False).encode() + b"\n"
        if content is None or content.size <= SMALL_BYTES:
            raw = raw_head + (content.read() if content is not None else b"")
            size = write_file(path, (raw,), self._owner, mtime=None, durable=False)
            return Written(path, created_at, len(raw_head), size - len(raw_head), raw)
        body = content.chunks()
        size = write_file(path, chain((raw_head,), body), self._owner, mtime=None)
        return Written(path, created_at, len(raw_head), size - len(raw_head))

    def place(self, written: Written) -> None:
        """Gives a written file its name; `sync` makes that durable."""
        written.path.rename(written.path.with_suffix(".new"))

    def sync(self) -> None:
        """Makes all names durable."""
        sync_directory(self.folder)

    def accept(self, name: str) -> None:
        """Marks a file whose rows are committed."""
        with suppress(FileNotFoundError):
            self._path(name, ".new").rename(self._path(name, ".msg"))

    def settle(self, files: Iterable[tuple[str, bytes]]) -> None:
        """Syncs small files, and writes those anew that a power loss took or tore."""
        for name, raw in files:
            try:
                path = self._existing(name)
                is_whole = path.read_bytes() == raw
            except (NotFound, FileNotFoundError):
                path, is_whole = self._path(name, ".msg"), False
            if is_whole:
                with suppress(FileNotFoundError):  # finished meanwhile
                    sync_file(path)
            else:
                aside = self.folder / f"{os.urandom(16).hex()}.tmp"
                write_file(aside, (raw,), self._owner, mtime=None)
                aside.replace(path)
        self.sync()

    def log(self, name: str, line: dict[str, Any]) -> None:
        """Writes down a change of a job, for the case that the database is lost."""
        raw = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        path = self._path(name, ".log")
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, FILE_MODE)
        try:
            self._owner.take(fd)
            os.write(fd, raw)
        finally:
            os.close(fd)

    def remove(self, name: str) -> None:
        """Forgets a file; the log last, since without it all jobs of the file are open."""
        for suffix in (".msg", ".new", ".msg"):  # it may be renamed meanwhile
            with suppress(FileNotFoundError):
                self._path(name, suffix).unlink()
                break
        self._path(name, ".log").unlink(missing_ok=True)

    def put_aside(self, name: str) -> None:
        """Keeps a file that makes no sense away from the others."""
        for suffix in (".new", ".msg"):
            with suppress(FileNotFoundError):
                self._path(name, suffix).rename(self._path(name, ".bad"))

    def names(self) -> Iterator[tuple[str, bool, float]]:
        """Each file: its name, whether its rows were committed, and when it was written."""
        with os.scandir(self.folder) as found:
            for entry in found:
                name, _, suffix = entry.name.partition(".")
                if _NAME.match(name) and suffix in ("new", "msg"):
                    with suppress(FileNotFoundError):
                        yield name, suffix == "msg", entry.stat().st_mtime

    def leftovers(self, before: float) -> Iterator[Path]:
        """Unfinished files, and logs of files that are gone, last written `before` a time."""
        for path in list(self.folder.iterdir()):
            is_one = path.suffix == ".tmp" or (
                path.suffix == ".log"
                and not any(self._path(path.stem, s).exists() for s in (".new", ".msg"))
            )
            with suppress(FileNotFoundError):
                if is_one and path.stat().st_mtime < before:
                    yield path

    def read(self, name: str) -> Spooled:
        """What a file and its log tell.

        Raises:
            Corrupt: it makes no sense. NotFound: it is gone.
        """
        path = self._existing(name)
        with path.open("rb") as file:
            raw = file.readline(MAX_HEAD_BYTES)
            size = os.fstat(file.fileno()).st_size
        try:
            head = json.loads(raw)
            if head["version"] != FILE_VERSION:
                raise Corrupt("A spool file of another version", name=name)
            jobs = {record["id"]: SpooledJob(NewJob(**record)) for record in head["jobs"]}
            created_at = float(head["created"])
        except _WRONG as error:
            raise Corrupt("An unreadable spool file", name=name, reason=repr(error)) from error
        self._replay(name, jobs)
        return Spooled(created_at, tuple(jobs.values()), len(raw), size - len(raw))

    def _replay(self, name: str, jobs: dict[str, SpooledJob]) -> None:
        with suppress(FileNotFoundError):
            for raw in self._path(name, ".log").read_bytes().splitlines():
                with suppress(*_WRONG):  # the last line may be torn
                    line = json.loads(raw)
                    if line.get("done"):
                        jobs.pop(line["id"], None)
                    elif known := jobs.get(line["id"]):
                        jobs[line["id"]] = _changed(known, line)

    def read_ahead(self, places: Mapping[str, Place]) -> dict[str, Place]:
        """The places with the bytes of their files, as far as these are small and can be read."""
        found: dict[str, Place] = {}
        for job_id, (name, head_bytes, kept) in places.items():
            raw = self._start(name, head_bytes + SMALL_BYTES + 1) if kept is None else kept
            if head_bytes <= len(raw) <= head_bytes + SMALL_BYTES:
                found[job_id] = (name, head_bytes, raw)
        return found

    def _start(self, name: str, limit_bytes: int) -> bytes:
        """The first bytes of a file, b"" when it cannot be read now."""
        with suppress(OSError), self._path(name, ".msg").open("rb", buffering=0) as file:
            return file.read(limit_bytes)
        return b""

    def content(self, name: str, head_bytes: int) -> Content:
        """The message in a file, behind its first line.

        Raises:
            NotFound: it is gone. Corrupt: it is shorter than that.
        """
        file = SpoolFile.opened(self._existing(name))
        if file.size < head_bytes:
            raise Corrupt("A spool file is cut off", name=name)
        if file.size - head_bytes > SPOOL_BYTES:
            return Content(b"", file, head_bytes)
        return Content.of(os.pread(file.fileno(), SPOOL_BYTES, head_bytes))

    def _existing(self, name: str) -> Path:
        for suffix in (".msg", ".new", ".msg"):  # it may be renamed meanwhile
            path = self._path(name, suffix)
            if path.exists():
                return path
        raise NotFound("The spool file is gone", name=name)

    def _path(self, name: str, suffix: str) -> Path:
        return self.folder / f"{name}{suffix}"


def _changed(known: SpooledJob, line: dict[str, Any]) -> SpooledJob:
    job = replace(
        known.job,
        due_at=float(line.get("due", known.job.due_at)),
        record=line.get("record", known.job.record),
    )
    return SpooledJob(
        job,
        attempts=int(line.get("attempts", known.attempts)),
        error=str(line.get("error", known.error)),
        is_held=bool(line.get("held", known.is_held)),
    )
