"""Reading messages: rows as `Fetched`, and the bytes of their files by offset."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path

import apsw

from rmail_kernel.errors import Temporary
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.appending import SummaryRow
from rmail_kernel.storage.filesystem.locate import find_file, message_path, settled
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import Fetched, Field, MessageReader

SMALL_BYTES = 1 << 18
"""Messages up to this size are read when opened and need no descriptor afterwards."""
_AT_ONCE_BYTES = 1 << 17
_SLOW_S = 0.001
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST_S = (datetime.min.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
LAST_S = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // timedelta(seconds=1)
_SUMMARY = Field.ENVELOPE | Field.BODY | Field.BODYSTRUCTURE | Field.HEADERS | Field.STRUCTURE
_SUMMARY_COLUMNS = (
    (Field.ENVELOPE, "envelope"),
    (Field.BODY, "body"),
    (Field.BODYSTRUCTURE, "bodystructure"),
    (Field.HEADERS, "headers"),
    (Field.HEADERS, "has_all_headers"),
    (Field.STRUCTURE, "structure"),
)
_SUMMARY_VALUES = (
    (Field.ENVELOPE, attrgetter("raw_envelope")),
    (Field.BODY, attrgetter("raw_body")),
    (Field.BODYSTRUCTURE, attrgetter("raw_bodystructure")),
    (Field.HEADERS, attrgetter("raw_headers")),
    (Field.STRUCTURE, attrgetter("raw_structure")),
)
_COLUMNS = "uid, modseq, flags, named, size_bytes, internal_date, save_date"


class SmallMessage:
    """A message that was read when it was opened."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self._raw)

    async def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` to `end` (exclusive; None: the end)."""
        return self._raw[start:end]

    def close(self) -> None:
        """Nothing to let go of."""


class LargeMessage:
    """A message that is read from its file in the pool, also after it was expunged."""

    def __init__(self, fd: int, size: int, pool: ThreadPoolExecutor) -> None:
        self._fd = fd
        self._size = size
        self._pool = pool

    @property
    def size(self) -> int:
        """Bytes in all."""
        return self._size

    async def read(self, start: int = 0, end: int | None = None) -> bytes:
        """The bytes from `start` to `end` (exclusive; None: the end)."""
        end = self._size if end is None else min(end, self._size)
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._pool, self._pread, start, end)
        except OSError as error:
            raise Temporary("The message cannot be read", error=str(error)) from error

    def _pread(self, start: int, end: int) -> bytes:
        pieces = []
        fd = os.dup(self._fd)  # close() may come while this reads
        try:
            while start < end and (piece := os.pread(fd, end - start, start)):
                pieces.append(piece)
                start += len(piece)
        finally:
            os.close(fd)
        return b"".join(pieces)

    def close(self) -> None:
        """Closes the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def open_message(path: Path, pool: ThreadPoolExecutor) -> MessageReader:
    """Opens a message file."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if size > SMALL_BYTES:
            fd, large = -1, LargeMessage(fd, size, pool)
            return large
        return SmallMessage(os.pread(fd, size, 0))
    finally:
        if fd >= 0:
            os.close(fd)


def read_cached(mailbox: Path, found: Sequence[Fetched]) -> list[MessageReader | None]:
    """The first messages, for as long as they are small and reading them does not wait for the
    disk: then a thread would take longer than the reading. For the event loop.
    """
    contents: list[MessageReader | None] = []
    for one in found:
        started = time.perf_counter()
        raw = _read_now(message_path(mailbox, one.uid, one.flags), one.size_bytes)
        if raw is None:
            break
        contents.append(SmallMessage(raw))
        if time.perf_counter() - started > _SLOW_S:
            break
    return contents


def _read_now(path: Path, size: int) -> bytes | None:
    """What a small file holds, if the page cache has all of it (preadv2(2), RWF_NOWAIT)."""
    if size > _AT_ONCE_BYTES:
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # whatever it is, opening it the slow way tells
    try:
        buffer = bytearray(size + 1)
        count = os.preadv(fd, [buffer], 0, os.RWF_NOWAIT)
        return bytes(memoryview(buffer)[:size]) if count == size else None
    except OSError:
        return None  # not cached, or a file system that cannot tell
    finally:
        os.close(fd)


def read_rows(
    db: apsw.Connection, mailbox: int, uids: Sequence[int], fields: Field
) -> tuple[list[Fetched], dict[int, int]]:
    """Messages without their content, and the flags that their files' names last had."""
    rows = schema.messages(db, mailbox, uids, _COLUMNS)
    found = [
        Fetched(Uid(uid), ModSeq(modseq), flags, size, moment(date), _moment_or_none(saved))
        for uid, modseq, flags, _, size, date, saved in rows
    ]
    if fields & _SUMMARY and found:
        keys = [schema.summary_key(mailbox, one.uid) for one in found]
        columns = ", ".join(name if fields & bit else "NULL" for bit, name in _SUMMARY_COLUMNS)
        sql = f"SELECT key, {columns} FROM summary"  # noqa: S608 - names of our own
        where = "WHERE key IN (SELECT value FROM json_each(?))"
        known = {row[0]: row[1:] for row in schema.rows(db, f"{sql} {where}", str(keys))}
        for key, one in zip(keys, found, strict=True):
            if key in known:
                _put(one, known[key])
    return found, {row[0]: settled(row[3]) for row in rows}


def without_summary(found: Sequence[Fetched], fields: Field) -> list[Fetched]:
    """The messages whose summary was asked for and is not there: it is there whole or not at all,
    so one of its fields tells.
    """
    for bit, value in _SUMMARY_VALUES:
        if fields & bit:
            return [one for one in found if value(one) is None]
    return []


def put_summary(one: Fetched, summary: SummaryRow, fields: Field) -> None:
    """Fills in the fields that were asked for."""
    asked = [bit for bit, _ in _SUMMARY_COLUMNS]
    _put(one, tuple(v if fields & bit else None for bit, v in zip(asked, summary, strict=True)))


def _put(one: Fetched, row: schema.Row) -> None:
    one.raw_envelope, one.raw_body, one.raw_bodystructure, one.raw_headers = row[:4]
    one.has_all_headers, one.raw_structure = bool(row[4]), row[5]


def open_file(
    mailbox: Path, one: Fetched, named: int, pool: ThreadPoolExecutor
) -> MessageReader | None:
    """The content of a message; None: its file is not there."""
    try:
        return open_message(message_path(mailbox, one.uid, one.flags), pool)
    except FileNotFoundError:
        pass
    for _ in range(2):  # it may be renamed between being found and being opened
        path = find_file(mailbox, one.uid, one.flags, named)
        if path is None:
            return None
        try:
            return open_message(path, pool)
        except FileNotFoundError:
            continue
    return None


def moment(seconds: int) -> datetime:
    """A time of the database, aware, UTC; the nearest there is for one outside of the calendar,
    so that a file with a strange mtime cannot make its mailbox unreadable.
    """
    return _EPOCH + timedelta(seconds=min(max(seconds, FIRST_S), LAST_S))


def _moment_or_none(seconds: int | None) -> datetime | None:
    return None if seconds is None else moment(seconds)
