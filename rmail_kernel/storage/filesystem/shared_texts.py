"""search.db-texts: texts that one process read ahead, for the others, until the index has them.

Disposable, and never synced: a record that is not whole ends it. What it lacks, searches read.
"""

from __future__ import annotations

import json
import os
import unicodedata
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Final, NamedTuple

from rmail_kernel.storage.filesystem import fulltext
from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.texts import MessageText

VERSION: Final = 1
MAX_FILE_BYTES: Final = 32 << 20
"""What would make it longer is not written."""
_MAX_LINE_BYTES: Final = 1000
Parse = Callable[[bytes], dict[int, MessageText]]


class _Head(NamedTuple):
    """The line before the texts of a record; all messages from `start` to before `upto`."""

    format: int
    version: int
    unicode: str
    mailbox: int
    uidvalidity: int
    start: int
    upto: int
    size: int
    checksum: int


@dataclass(slots=True)
class Place:
    """How far a process has read the file."""

    inode: int = 0
    offset: int = 0


def path_of(paths: AccountPaths) -> Path:
    """The file of an account."""
    return paths.index.with_name(f"{paths.index.name}-texts")


def drop(paths: AccountPaths) -> None:
    """Removes the file, if there is one that can be removed."""
    with suppress(OSError):
        path_of(paths).unlink()


def share(
    paths: AccountPaths, mailbox: int, uidvalidity: int, start: int, upto: int, raw: bytes
) -> None:
    """Adds a record, if there is room. Blocks."""
    sizes = len(raw), zlib.crc32(raw)
    versions = VERSION, fulltext.VERSION, unicodedata.unidata_version
    head = _Head(*versions, mailbox, uidvalidity, start, upto, *sizes)
    record = json.dumps(head).encode() + b"\n" + raw
    with suppress(OSError):  # others read for themselves
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        fd = os.open(path_of(paths), flags, FILE_MODE)
        try:
            Owner.of(paths.home).take(fd)
            if os.fstat(fd).st_size + len(record) <= MAX_FILE_BYTES:
                os.write(fd, record)
        finally:
            os.close(fd)


def shared(
    paths: AccountPaths, mailbox: int, uidvalidity: int, start: int, place: Place, parse: Parse
) -> tuple[dict[int, MessageText], int]:
    """Texts of the messages from UID `start` on that others have read since `place`, which moves,
    and the UID below which those are all. Blocks.
    """
    found: dict[int, MessageText] = {}
    with suppress(OSError, ValueError), path_of(paths).open("rb") as file:
        stat = os.fstat(file.fileno())
        if place.inode != stat.st_ino or place.offset > stat.st_size:
            place.inode, place.offset = stat.st_ino, 0
        at, place.offset = place.offset, 0  # unless a whole record is met: it may be another file
        file.seek(at)
        while head := _head(file):
            is_new = (head.mailbox, head.uidvalidity) == (mailbox, uidvalidity)
            if is_new and head.start <= start < head.upto:
                raw = file.read(head.size)
                if len(raw) < head.size or zlib.crc32(raw) != head.checksum:
                    break
                found.update(parse(raw))
                start = head.upto
            else:
                file.seek(head.size, os.SEEK_CUR)
            place.offset = file.tell()
        if at == stat.st_size:
            place.offset = at
    return found, start


def _head(file: BufferedReader) -> _Head | None:
    line = file.readline(_MAX_LINE_BYTES)
    if not line.endswith(b"\n"):
        return None
    columns = json.loads(line)
    versions = [VERSION, fulltext.VERSION, unicodedata.unidata_version]
    if not isinstance(columns, list) or columns[:3] != versions:
        return None
    return _Head(*columns)
