"""The journal of one process: messages that were promised a place in a mailbox, in files that are
written and synced once for all who wait. A file whose process died is read by the next one.

A file is `rmail journal 1` and records, each with its number, size and CRC-32. It is written from
its beginning again when all that is in it was stored; a record whose number does not follow is an
older one. Functions block.
"""

from __future__ import annotations

import fcntl
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
import structlog

from rmail_kernel import failpoints
from rmail_kernel.content import Content
from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner, make_directory, sync_directory
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.storage.mail import AppendItem

_log = structlog.get_logger("rmail.storage")
JOURNAL_VERSION: Final = 1
MAGIC: Final = b"rmail journal %d\n" % JOURNAL_VERSION
SUFFIX: Final = ".log"
TURN_BYTES: Final = 8 << 20
"""From this size on a file is left for another one."""
_HEAD: Final = struct.Struct("<QII")  # number, size of the rest, its CRC-32


class _Record(msgspec.Struct, frozen=True):
    """What stands before the message: all of an AppendItem but its content."""

    account: str
    mailbox: str
    flags: list[str]
    internal_date: float
    op_id: str


_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(_Record)


@dataclass(slots=True, eq=False)
class Segment:
    """One file. `open`: records in it that are not in a mailbox yet; the loop counts them."""

    path: Path
    is_ours: bool
    fd: int = -1
    end: int = 0
    number: int = 0
    open: int = 0
    is_broken: bool = False

    def close(self) -> None:
        """Closes the file, which ends our lock."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def remove(self) -> None:
        """Takes the file away: all that was in it was stored. What resists does no harm soon."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)
        self.close()


def encode(account: AccountId, item: AppendItem) -> bytes:
    """The record of a message, without its head."""
    assert item.internal_date is not None
    assert item.op_id is not None, "without it a message could be stored twice"
    at = item.internal_date.timestamp()
    record = _Record(account, item.mailbox, sorted(item.flags), at, item.op_id)
    return b"".join([_ENCODER.encode(record), b"\n", *item.content.chunks()])


def _decode(raw: bytes) -> tuple[AccountId, AppendItem]:
    head, _, message = raw.partition(b"\n")
    found = _DECODER.decode(head)
    item = AppendItem(
        found.mailbox,
        Content.of(message),
        frozenset(found.flags),
        datetime.fromtimestamp(found.internal_date, UTC),
        found.op_id,
        create=True,
    )
    return AccountId(found.account), item


def write(segment: Segment, owner: Owner, records: Sequence[bytes]) -> None:
    """Adds records at the end; durable on return.

    Raises:
        OSError: the disk does not take them; the file is of no more use.
    """
    end = segment.end
    try:
        if segment.fd < 0:
            _make(segment, owner)
        pieces: list[bytes] = []
        for raw in records:
            segment.number += 1
            pieces += (_head(segment.number, raw), raw)
        _write_all(segment, b"".join(pieces))
        failpoints.reach("journal.written")
        os.fdatasync(segment.fd)
        failpoints.reach("journal.synced")
    except BaseException:
        segment.is_broken = True
        if end:  # what was not taken must not be found
            with suppress(OSError):
                os.ftruncate(segment.fd, end)
        raise


def _head(number: int, raw: bytes) -> bytes:
    checked = zlib.crc32(raw, zlib.crc32(number.to_bytes(8, "little")))
    return _HEAD.pack(number, len(raw), checked)


def _write_all(segment: Segment, raw: bytes) -> None:
    rest = memoryview(raw)
    while rest:
        written = os.pwrite(segment.fd, rest, segment.end)
        segment.end += written
        rest = rest[written:]


def _make(segment: Segment, owner: Owner) -> None:
    """Makes the file, locked before it has its name: so no other process ever finds it unlocked."""
    make_directory(segment.path.parent, owner)
    fresh = segment.path.with_suffix(".new")
    segment.fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    try:
        owner.take(segment.fd)
        fcntl.flock(segment.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.pwrite(segment.fd, MAGIC, 0)
        os.fsync(segment.fd)
        fresh.rename(segment.path)
        sync_directory(segment.path.parent)
        sync_directory(segment.path.parent.parent)
    except BaseException:
        segment.close()
        fresh.unlink(missing_ok=True)
        raise
    segment.end = len(MAGIC)


def rewind(segment: Segment) -> None:
    """Has the next record take the place of the first, as all of them were stored."""
    if segment.fd >= 0:
        segment.end = len(MAGIC)


def wipe(segment: Segment) -> None:
    """Has whoever comes after a kill find nothing, as all in it was stored. It is not synced: after
    a power loss the ids of the operations tell.
    """
    with suppress(OSError):
        os.pwrite(segment.fd, bytes(_HEAD.size), len(MAGIC))


def abandoned(directory: Path) -> list[Segment]:
    """The files of dead processes, locked for us."""
    found: list[Segment] = []
    with suppress(FileNotFoundError):
        for path in sorted(directory.iterdir()):
            if path.suffix == SUFFIX and (segment := _taken(path)) is not None:
                found.append(segment)
            elif path.suffix == ".new" and (segment := _taken(path)) is not None:
                segment.remove()  # never held anything
    return found


def _taken(path: Path) -> Segment | None:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    segment = Segment(path, is_ours=False, fd=fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == path.stat().st_ino:
            return segment
    except (BlockingIOError, FileNotFoundError):
        pass  # in use, or gone
    segment.close()
    return None


def records(segment: Segment) -> Iterator[tuple[AccountId, AppendItem]]:
    """What was promised in a file, up to the first record that is not whole or is an older one."""
    at = len(MAGIC)
    if os.pread(segment.fd, at, 0) != MAGIC:
        _log.error("a journal of another version is left alone", path=str(segment.path))
        segment.is_broken = True
        return
    number = 0
    while len(raw_head := os.pread(segment.fd, _HEAD.size, at)) == _HEAD.size:
        found, size, _ = _HEAD.unpack(raw_head)
        if number and found != number + 1:
            return
        raw = os.pread(segment.fd, min(size, TURN_BYTES), at + _HEAD.size)
        if raw_head != _head(found, raw):
            return
        number = found
        at += _HEAD.size + size
        try:
            yield _decode(raw)
        except msgspec.DecodeError as error:
            _log.error("a journal record is unknown", path=str(segment.path), error=str(error))
            segment.is_broken = True
