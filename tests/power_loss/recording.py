"""Runs a process under the recorder and reads what it did to its disk, in order.

The disk is a folder; what lies outside of it is not recorded, but for the file of marks, in which
the process says what it has answered.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SOURCE = Path(__file__).with_name("recorder.c")
_ROOT = Path(__file__).parents[2]
_RECORD = struct.Struct("<cQQQqqqIII")
Name = tuple[int, str]  # the folder's object, the name in it
ROOT_OBJECT = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """A name that goes, comes, or both at once. `mtimes`: of the folders afterwards, in ns."""

    item: int
    gone: Name | None
    come: Name | None
    mtimes: tuple[tuple[int, int], ...]
    is_folder: bool = False  # it is made by this


@dataclass(frozen=True, slots=True)
class Write:
    """Bytes at an offset; `data` None: the file gets `offset` as its size."""

    item: int
    offset: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's mtime in ns."""

    item: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Sync:
    """fsync of a file or folder."""

    item: int


@dataclass(frozen=True, slots=True)
class Mark:
    """What the process says of itself."""

    value: dict[str, Any]


Event = Entry | Write | Stamp | Sync | Mark


@dataclass(frozen=True, slots=True)
class Recording:
    """What happened. `mapped`: last names of files that were changed through shared memory, too."""

    events: list[Event]
    mapped: frozenset[str]


def is_possible() -> bool:
    """Whether the recorder knows this system's calls: 64-bit Linux."""
    return sys.platform.startswith("linux") and struct.calcsize("P") == 8


@functools.cache
def _library() -> Path:
    """The recorder, built once."""
    folder = Path(tempfile.mkdtemp(prefix="rmail-recorder-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    built = folder / "recorder.so"
    command = ["gcc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-pthread", "-o", str(built)]
    subprocess.run([*command, str(_SOURCE)], check=True)
    return built


def record(folder: Path, module: str, *arguments: str) -> Recording:
    """Runs `python -m module {folder}/disk {folder}/marks *arguments` to its end. The disk may be
    there, with something on it: the recording begins with making that.
    """
    disk, marks, log = folder / "disk", folder / "marks", folder / "log"
    disk.mkdir(exist_ok=True)
    marks.touch()
    reader = _Reader(disk.stat().st_ino, marks.stat().st_ino)
    reader.find(disk, ROOT_OBJECT)
    subprocess.run(
        [sys.executable, "-m", module, str(disk), str(marks), *arguments],
        cwd=_ROOT,
        env=os.environ
        | {"LD_PRELOAD": str(_library()), "POWER_LOG": str(log), "PYTHONDONTWRITEBYTECODE": "1"},
        check=True,
        timeout=300,
    )
    for raw in _records(log.read_bytes()):
        reader.take(*raw)
    return Recording(reader.events, frozenset(reader.mapped))


def _records(raw: bytes) -> Iterator[tuple[Any, ...]]:
    at = 0
    while at < len(raw):
        *head, name_size, name2_size, data_size = _RECORD.unpack_from(raw, at)
        at += _RECORD.size
        pieces = []
        for size in (name_size, name2_size, data_size):
            pieces.append(raw[at : at + size])
            at += size
        yield (*head, os.fsdecode(pieces[0]), os.fsdecode(pieces[1]), pieces[2])


class _Reader:
    """Turns records into events: inode numbers, which are used again, into objects."""

    def __init__(self, disk: int, marks: int) -> None:
        self.events: list[Event] = []
        self.mapped: set[str] = set()
        self._marks = marks
        self._said = b""
        self._objects = {disk: ROOT_OBJECT}
        self._names: dict[Name, int] = {}
        self._count = ROOT_OBJECT

    def find(self, path: Path, folder: int) -> None:
        """Takes in what is below a folder, as if it had just been made and synced."""
        for one in sorted(path.iterdir()):
            found = one.stat()
            is_new = found.st_ino not in self._objects
            if is_new:
                self._count += 1
                self._objects[found.st_ino] = self._count
            item = self._objects[found.st_ino]
            self._names[folder, one.name] = item
            mtimes: tuple[tuple[int, int], ...] = ((folder, path.stat().st_mtime_ns),)
            if one.is_dir():
                mtimes = (*mtimes, (item, found.st_mtime_ns))
            self.events.append(Entry(item, None, (folder, one.name), mtimes, one.is_dir()))
            if one.is_dir():
                self.find(one, item)
            elif is_new:
                self.events.append(Write(item, 0, one.read_bytes()))
                self.events.append(Stamp(item, found.st_mtime_ns))
                self.events.append(Sync(item))
        self.events.append(Sync(folder))

    def take(
        self,
        kind: bytes,
        inode: int,
        parent: int,
        parent2: int,
        offset: int,
        mtime: int,
        mtime2: int,
        name: str,
        name2: str,
        data: bytes,
    ) -> None:
        """Takes in the next record."""
        if kind in b"CMLUR":
            self._take_entry(kind, inode, parent, parent2, mtime, mtime2, name, name2)
        elif kind == b"W" and inode == self._marks:
            self._hear(data)
        elif kind == b"F":
            self.events += [Sync(item) for item in self._objects.values()]
        elif inode in self._objects:
            self._take_change(kind, self._objects[inode], offset, mtime, data)

    def _hear(self, data: bytes) -> None:
        self._said += data
        while b"\n" in self._said:
            line, _, self._said = self._said.partition(b"\n")
            self.events.append(Mark(json.loads(line)))

    def _take_change(self, kind: bytes, item: int, offset: int, mtime: int, data: bytes) -> None:
        if kind == b"W":
            self.events.append(Write(item, offset, data))
        elif kind == b"T":
            self.events.append(Write(item, offset, None))
        elif kind == b"A":
            self.events.append(Stamp(item, mtime))
        elif kind == b"P":
            self.mapped.update(name for (_, name), one in self._names.items() if one == item)
        else:
            assert kind in b"SD"
            self.events.append(Sync(item))

    def _take_entry(
        self,
        kind: bytes,
        inode: int,
        parent: int,
        parent2: int,
        mtime: int,
        mtime2: int,
        name: str,
        name2: str,
    ) -> None:
        folder = self._objects.get(parent)
        if kind == b"R":
            target = self._objects.get(parent2)
            if folder is None and target is None:
                return
            assert folder is not None, "nothing may be moved onto the disk"
            assert target is not None, "nothing may be moved off the disk"
            self._add((folder, name), (target, name2), ((folder, mtime), (target, mtime2)))
        elif folder is None:
            return
        elif kind == b"U":
            self._add((folder, name), None, ((folder, mtime),))
        else:
            if kind != b"L":
                self._count += 1
                self._objects[inode] = self._count
            item = self._objects[inode]
            is_folder = kind == b"M"
            mtimes = ((folder, mtime), *([(item, mtime2)] if is_folder else []))
            self._names[folder, name] = item
            self.events.append(Entry(item, None, (folder, name), mtimes, is_folder))

    def _add(self, gone: Name, come: Name | None, mtimes: tuple[tuple[int, int], ...]) -> None:
        item = self._names.pop(gone)
        if come is not None:
            self._names[come] = item
        self.events.append(Entry(item, gone, come, mtimes))
