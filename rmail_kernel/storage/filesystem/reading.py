"""Reading messages: rows as `Fetched`, and the bytes of their files by offset."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from operator import attrgetter
from pathlib import Path

import apsw

from rmail_kernel.errors import Temporary
from rmail_kernel.mime import decode_keys
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.locate import find_file, message_name, message_path, settled
from rmail_kernel.storage.filesystem.moments import moment, moment_or_none
from rmail_kernel.storage.filesystem.threads import email_text, thread_text
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import Fetched, Field, MessageReader

SMALL_BYTES = 1 << 18
"""Messages up to this size are read when opened and need no descriptor afterwards."""
_AT_ONCE_BYTES = 1 << 17
_SLOW_S = 0.002
_SUMMARY = (
    Field.ENVELOPE
    | Field.BODY
    | Field.BODYSTRUCTURE
    | Field.HEADERS
    | Field.STRUCTURE
    | Field.PREVIEW
)
_DIGEST = Field.IDS | Field.KEYS
_SUMMARY_COLUMNS = (
    (Field.ENVELOPE, "envelope"),
    (Field.BODY, "body"),
    (Field.BODYSTRUCTURE, "bodystructure"),
    (Field.HEADERS, "headers"),
    (Field.HEADERS, "has_all_headers"),
    (Field.STRUCTURE, "structure"),
    (Field.PREVIEW, "preview"),
)
_VALUES = (
    (Field.ENVELOPE, attrgetter("raw_envelope")),
    (Field.BODY, attrgetter("raw_body")),
    (Field.BODYSTRUCTURE, attrgetter("raw_bodystructure")),
    (Field.HEADERS, attrgetter("raw_headers")),
    (Field.STRUCTURE, attrgetter("raw_structure")),
    (Field.PREVIEW, attrgetter("preview")),
    (Field.IDS, attrgetter("thread_id")),
    (Field.KEYS, attrgetter("keys")),
)
_BETWEEN = "WHERE key BETWEEN ? AND ?"
_AMONG = "WHERE key IN (SELECT value FROM json_each(?))"
_COLUMNS = "uid, modseq, flags, named, size_bytes, internal_date, save_date"


class SmallMessage:
    """A message that was read when it was opened."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    @property
    def size(self) -> int:
        """Bytes in all."""
        return len(self._raw)

    @property
    def raw(self) -> bytes:
        """All of them."""
        return self._raw

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

    @property
    def raw(self) -> None:
        """They are not at hand."""

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
    folder = str(mailbox)
    late_at = time.perf_counter() + _SLOW_S
    for one in found:
        raw = _read_now(message_name(folder, one.uid, one.flags), one.size_bytes)
        if raw is None:
            break
        contents.append(SmallMessage(raw))
        if time.perf_counter() > late_at:
            break
    return contents


def _read_now(path: str, size: int) -> bytes | None:
    """What a small file holds, if the page cache has all of it (preadv2(2), RWF_NOWAIT)."""
    if size > _AT_ONCE_BYTES:
        return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None  # whatever it is, opening it the slow way tells
    try:
        buffer = bytearray(size + 1)
        count = os.preadv(fd, (buffer,), 0, os.RWF_NOWAIT)
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
        Fetched(
            Uid(uid),
            ModSeq(modseq),
            flags,
            size,
            at := moment(date),
            at if saved == date else moment_or_none(saved),
        )
        for uid, modseq, flags, _, size, date, saved in rows
    ]
    if fields & _SUMMARY and found:
        columns = ", ".join(name if fields & bit else "NULL" for bit, name in _SUMMARY_COLUMNS)
        for one, row in _keyed(db, "summary", mailbox, found, columns):
            _put(one, row)
    if fields & _DIGEST and found:
        has_ids, has_keys = bool(fields & Field.IDS), bool(fields & Field.KEYS)
        for one, row in _keyed(db, "digest", mailbox, found, "email, thread, keys"):
            if has_ids:
                one.email_id, one.thread_id = email_text(row[0]), thread_text(row[1])
            if has_keys:
                one.keys = decode_keys(row[2])
    return found, {row[0]: settled(row[3]) for row in rows}


def _keyed(
    db: apsw.Connection, table: str, mailbox: int, found: Sequence[Fetched], columns: str
) -> Iterator[tuple[Fetched, schema.Row]]:
    """Each message that has a row, with it; table and columns are names of our own."""
    keys = [schema.summary_key(mailbox, one.uid) for one in found]
    sql = f"SELECT key, {columns} FROM {table}"  # noqa: S608 - see above
    if keys[-1] - keys[0] + 1 == len(keys):
        rows = schema.rows(db, f"{sql} {_BETWEEN}", keys[0], keys[-1])
    else:
        rows = schema.rows(db, f"{sql} {_AMONG}", str(keys))
    known = {row[0]: row[1:] for row in rows}
    for key, one in zip(keys, found, strict=True):
        if key in known:
            yield one, known[key]


def incomplete(found: Sequence[Fetched], fields: Field) -> list[Fetched]:
    """The messages of which something that was asked for is yet to be made from their files."""
    values = [value for bit, value in _VALUES if fields & bit]
    if not any(None in map(value, found) for value in values):
        return []
    return [one for one in found if any(value(one) is None for value in values)]


def _put(one: Fetched, row: schema.Row) -> None:
    one.raw_envelope, one.raw_body, one.raw_bodystructure, one.raw_headers = row[:4]
    one.has_all_headers, one.raw_structure, one.preview = bool(row[4]), row[5], row[6]


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
