"""Reading messages: rows as `Fetched`, and the bytes of their files by offset."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from operator import attrgetter
from pathlib import Path

import apsw

from rmail_kernel.errors import Temporary
from rmail_kernel.mime import decode_keys
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.locate import find_file, message_name, message_path, settled
from rmail_kernel.storage.filesystem.moments import moment, moment_or_none
from rmail_kernel.storage.filesystem.threads import email_text, thread_text
from rmail_kernel.storage.mail import Fetched, Field
from rmail_kernel.storage.reader import MessageReader

SMALL_BYTES = 1 << 18
"""Messages up to this size are read when opened and need no descriptor afterwards."""
_AT_ONCE_BYTES = 1 << 17
_SLOW_S = 0.002
_SUMMARY_COLUMNS = (
    (Field.ENVELOPE, "envelope"),
    (Field.BODY, "body"),
    (Field.BODYSTRUCTURE, "bodystructure"),
    (Field.HEADERS, "headers"),
    (Field.HEADERS, "has_all_headers"),
    (Field.STRUCTURE, "structure"),
    (Field.NONE, "content"),
    (Field.NONE, "email_id"),
    (Field.NONE, "thread_id"),
    (Field.PREVIEW, "preview"),
)
"""As the attributes of Fetched follow one another."""
_NO_SUMMARY = (None, None, None, None, False, None)
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
        """The bytes from `start` to `end` (exclusive; None: the end). Temporary: not now."""
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


def piece_at_hand(folder: str, uid: int, word: int, start: int, count: int | None) -> bytes | None:
    """Bytes of a message (count None: to its end), if its file has the name of its flags and the
    page cache has them. For the event loop.
    """
    try:
        fd = os.open(message_name(folder, uid, word), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        left = max(0, os.fstat(fd).st_size - start)
        size = left if count is None else min(left, count)
        if size > _AT_ONCE_BYTES:
            return None
        buffer = bytearray(size)
        read = os.preadv(fd, (buffer,), start, os.RWF_NOWAIT) if size else 0
        return bytes(buffer) if read == size else None
    except OSError:
        return None  # not cached, or a file system that cannot tell
    finally:
        os.close(fd)


@dataclass(frozen=True, slots=True)
class _Wanted:
    """What some fields need, worked out once: operations on flags are dear.

    Attributes:
        columns: of the table `summary`, "" for none.
        values: of a message; none of them is None once it is complete.
    """

    columns: str
    has_ids: bool
    has_keys: bool
    has_content: bool
    values: tuple[Callable[[Fetched], object], ...]


@lru_cache(maxsize=256)
def _wanted(fields: Field) -> _Wanted:
    asked = [bit for bit in Field if fields & bit]
    values = tuple(value for bit, value in _VALUES if bit in asked)
    if Field.PREVIEW_LAZY in asked:
        asked.append(Field.PREVIEW)  # it is no fault if there is none
    has_summary = any(bit in asked for bit, _ in _SUMMARY_COLUMNS)
    columns = [
        name if bit in asked else "0" if name == "has_all_headers" else "NULL"
        for bit, name in _SUMMARY_COLUMNS
    ]
    return _Wanted(
        ", ".join(columns) if has_summary else "",
        Field.IDS in asked,
        Field.KEYS in asked,
        Field.CONTENT in asked,
        values,
    )


def read_rows(
    db: apsw.Connection, mailbox: int, uids: Sequence[int], fields: Field
) -> tuple[list[Fetched], dict[int, int]]:
    """Messages without their content, and the flags that their files' names last had, which is
    empty when no content is asked for.
    """
    wanted = _wanted(fields)
    rows = schema.messages(db, mailbox, uids, _COLUMNS)
    found = list(map(_fetched, rows, _summaries(db, mailbox, rows, wanted)))
    if (wanted.has_ids or wanted.has_keys) and found:
        for one, row in _keyed(db, "digest", mailbox, found, "email, thread, keys"):
            if wanted.has_ids:
                one.email_id, one.thread_id = email_text(row[0]), thread_text(row[1])
            if wanted.has_keys:
                one.keys = decode_keys(row[2])
    return found, {row[0]: settled(row[3]) for row in rows} if wanted.has_content else {}


def _fetched(row: schema.Row, summary: schema.Row) -> Fetched:
    uid, modseq, flags, _, size, date, saved = row
    at = moment(date)
    save_date = at if saved == date else moment_or_none(saved)
    return Fetched(uid, modseq, flags, size, at, save_date, *summary)


def _summaries(
    db: apsw.Connection, mailbox: int, rows: Sequence[schema.Row], wanted: _Wanted
) -> Iterable[schema.Row]:
    """The summary of each message."""
    if not (wanted.columns and rows):
        return repeat(_NO_SUMMARY, len(rows))
    keys = [schema.summary_key(mailbox, row[0]) for row in rows]
    found = list(_by_key(db, "summary", keys, wanted.columns))
    if len(found) == len(keys):
        return found
    known = {row[0]: row[1:] for row in _by_key(db, "summary", keys, f"key, {wanted.columns}")}
    return [known.get(key, _NO_SUMMARY) for key in keys]


def _keyed(
    db: apsw.Connection, table: str, mailbox: int, found: Sequence[Fetched], columns: str
) -> Iterator[tuple[Fetched, schema.Row]]:
    """Each message that has a row, with it; table and columns are names of our own."""
    keys = [schema.summary_key(mailbox, one.uid) for one in found]
    known = {row[0]: row[1:] for row in _by_key(db, table, keys, f"key, {columns}")}
    for key, one in zip(keys, found, strict=True):
        if key in known:
            yield one, known[key]


def _by_key(
    db: apsw.Connection, table: str, keys: Sequence[int], columns: str
) -> Iterator[schema.Row]:
    """The rows of ascending keys, ascending."""
    sql = f"SELECT {columns} FROM {table}"  # noqa: S608 - names of our own
    if keys[-1] - keys[0] + 1 == len(keys):
        return schema.rows(db, f"{sql} {_BETWEEN} ORDER BY key", keys[0], keys[-1])
    return schema.rows(db, f"{sql} {_AMONG} ORDER BY key", str(keys))


def incomplete(found: Sequence[Fetched], fields: Field) -> list[Fetched]:
    """The messages of which something that was asked for is yet to be made from their files."""
    values = _wanted(fields).values
    if not any(None in map(value, found) for value in values):
        return []
    return [one for one in found if any(value(one) is None for value in values)]


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
