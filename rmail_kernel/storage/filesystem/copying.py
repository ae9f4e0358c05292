"""COPY and MOVE inside an account: the target's file is a hard link, no byte is copied.

RFC 9051 6.4.7, RFC 6851. A move is a copy and an expunge in one transaction.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Final

from rmail_kernel import failpoints
from rmail_kernel.errors import NotFound
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.digest import COPIES
from rmail_kernel.storage.filesystem.disk import (
    Owner,
    make_directory,
    make_way,
    temporary_name,
    write_file,
)
from rmail_kernel.storage.filesystem.expunging import COLUMNS, remove
from rmail_kernel.storage.filesystem.flagging import count, new_name, word_of
from rmail_kernel.storage.filesystem.keyword_file import IN_NAMES
from rmail_kernel.storage.filesystem.layout import file_name
from rmail_kernel.storage.filesystem.locate import Names, settled
from rmail_kernel.storage.filesystem.retries import remember, remembered
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Room, Transaction
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, CopyResult

_SYSTEM_BITS = (1 << (FIRST_KEYWORD_BIT - 1)) - 1
_CHUNK_BYTES = 1 << 18
_MANY: Final = 32
"""Messages for which a shard is listed rather than each of its files looked up."""
_RUN: Final = 128
"""Rows that are copied by one statement: SQLite keeps them all before it inserts the first."""
_COPY_INCOMING = (
    "INSERT INTO incoming (key, content) SELECT key + ?, content FROM incoming"
    " WHERE key BETWEEN ? AND ?"
)
_Found = tuple[schema.Row, str]  # a row of COLUMNS, and its file
# The file has as many links as it can have, or the file system has no links.
_NO_LINK = {errno.EMLINK, errno.EPERM, errno.ENOTSUP, errno.EXDEV}


def copy(
    tx: Transaction,
    source: int,
    uids: Sequence[int],
    target: str | int,
    op_id: str | None,
    room: Room,
    *,
    needs_all: bool = False,
) -> CopyResult:
    """Copies messages. See MailStore.copy."""
    known = remembered(tx, op_id)
    if known is not None:
        return _result(known)
    source_row, target_row = tx.mailbox(source), tx.mailbox(target)
    found = _existing(tx, source_row, uids)
    if needs_all and len(found) < len(set(uids)):
        raise NotFound("Some of the messages are gone", expunged=True)
    tx.book(sum(message[3] for message, _ in found), len(found), room)
    modseq = tx.next_modseq() if found else target_row.highestmodseq
    new_uids = _link_all(tx, source_row, target_row, found, modseq)
    _copy_rows(tx, source_row, target_row, found, new_uids)
    return _done(tx, target_row, [message[0] for message, _ in found], new_uids, modseq, op_id)


def move(
    tx: Transaction, source: int, uids: Sequence[int], target: str | int, op_id: str | None
) -> CopyResult:
    """Moves messages; see MailStore.move."""
    known = remembered(tx, op_id)
    if known is not None:
        return _result(known)
    source_row, target_row = tx.mailbox(source), tx.mailbox(target)
    found = _existing(tx, source_row, uids)
    modseq = tx.next_modseq() if found else target_row.highestmodseq
    new_uids = _link_all(tx, source_row, target_row, found, modseq)
    tx.book(sum(message[3] for message, _ in found), len(found))
    _copy_rows(tx, source_row, target_row, found, new_uids)
    if found:
        remove(tx, source_row, [message for message, _ in found], modseq)
    return _done(tx, target_row, [message[0] for message, _ in found], new_uids, modseq, op_id)


def _existing(tx: Transaction, row: MailboxRow, uids: Sequence[int]) -> list[_Found]:
    """The messages that exist, with their files; one whose file was taken away does not."""
    mailbox, names = str(tx.paths.mailbox(row.name)), Names(is_many=len(uids) >= _MANY)
    found = []
    for message in schema.messages(tx.db, row.id, uids, COLUMNS):
        arrival = tx.arrivals.get((row.id, message[0]))
        path = (
            str(arrival.source)
            if arrival is not None
            else names.find(mailbox, message[0], message[1], settled(message[2]))
        )
        if path is not None:
            found.append((message, path))
    return found


def _link_all(
    tx: Transaction,
    source: MailboxRow,
    target: MailboxRow,
    found: Sequence[_Found],
    modseq: int,
) -> list[int]:
    if not found:
        return []
    given = {flags for (_, flags, *_), _ in found}
    # All at once: a place that is free but for the rows to come must not be given out twice.
    _translated(tx, source, target, reduce(or_, given))
    words = {flags: _translated(tx, source, target, flags) for flags in given}
    uids = list(tx.allocate(target, len(found)))
    tx.intend(target, uids)
    unsettled = _unsettled(tx, source.id)
    rows = []
    for uid, ((old, flags, _, size, date), path) in zip(uids, found, strict=True):
        word = words[flags]
        name = file_name(uid, word)
        if old in unsettled:
            tx.arrive(target, uid, _aside(tx, path, date), name)
        else:
            _link(path, f"{tx.shard(target, uid)}/{name}", tx.owner, date)
            tx.made(f"{tx.shard(target, uid)}/{name}")
        failpoints.reach("copy.linked")
        named = word if word <= IN_NAMES else new_name(tx, target, uid, word)
        rows.append((target.id, uid, word, modseq, named, size, date, tx.now))
    tx.db.executemany(
        "INSERT INTO message (mailbox, uid, flags, modseq, named, size_bytes, internal_date,"
        " save_date) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    for word, times in Counter(row[2] for row in rows).items():
        count(target, word, times)
    target.size_bytes += sum(row[5] for row in rows)
    target.total += len(rows)
    target.recent += len(rows)
    tx.touched(target, modseq)
    return uids


def _translated(tx: Transaction, source: MailboxRow, target: MailboxRow, flags: int) -> int:
    """The flags in the keyword table of the target."""
    if source.id == target.id:
        return flags
    keywords = [
        keyword
        for index, keyword in enumerate(source.keywords)
        if flags >> (FIRST_KEYWORD_BIT + index) & 1
    ]
    return flags & _SYSTEM_BITS | word_of(tx, target, keywords)


def _unsettled(tx: Transaction, mailbox: int) -> set[int]:
    """The UIDs of messages whose files are not on disk yet."""
    low, high = schema.summary_key(mailbox, 0), schema.summary_key(mailbox + 1, 0)
    sql = "SELECT key FROM incoming WHERE key >= ? AND key < ?"
    return {key - low for (key,) in schema.rows(tx.db, sql, low, high)}


def _aside(tx: Transaction, source: str, date: int) -> Path:
    """A link that gets its name after the commit, when there is a row with the bytes: a name whose
    file is not on disk would be found empty after a power loss.
    """
    path = temporary_name(tx.paths.temporary)
    try:
        _link(source, str(path), tx.owner, date)
    except FileNotFoundError:  # nobody needs the folder, so it may be gone
        make_directory(tx.paths.temporary, tx.owner)
        _link(source, str(path), tx.owner, date)
    tx.made(path, is_lasting=False)
    return path


def _link(source: str, target: str, owner: Owner, date: int) -> None:
    try:
        try:
            os.link(source, target)
        except FileExistsError:
            make_way(target)
            os.link(source, target)
    except OSError as error:
        if error.errno not in _NO_LINK:
            raise
        make_way(target)
        with Path(source).open("rb") as file:
            pieces = iter(lambda: file.read(_CHUNK_BYTES), b"")
            write_file(Path(target), pieces, owner, mtime=date)


def _copy_rows(
    tx: Transaction,
    source: MailboxRow,
    target: MailboxRow,
    found: Sequence[_Found],
    uids: Sequence[int],
) -> None:
    """What is kept of a message beside its row; also its bytes, while its file is not on disk."""
    old = [message[0] for message, _ in found]
    runs = [
        (
            schema.summary_key(target.id, new) - schema.summary_key(source.id, first),
            schema.summary_key(source.id, first),
            schema.summary_key(source.id, last),
        )
        for first, last, new in _runs(old, uids)
    ]
    for sql in (*COPIES, _COPY_INCOMING):
        tx.db.executemany(sql, runs)


def _runs(old: Sequence[int], new: Sequence[int]) -> Iterator[tuple[int, int, int]]:
    """Originals with UIDs in a row, the first and the last, and the UID of the first one's copy;
    those of copies are always in a row.
    """
    start = 0
    for end in range(1, len(old) + 1):
        is_next = end < len(old) and old[end] == old[end - 1] + 1
        if not is_next or end - start == _RUN:
            yield old[start], old[end - 1], new[start]
            start = end


def _done(
    tx: Transaction,
    target: MailboxRow,
    old: Sequence[int],
    new: Sequence[int],
    modseq: int,
    op_id: str | None,
) -> CopyResult:
    value: list[object] = [target.id, target.uidvalidity, list(old), list(new), modseq]
    if op_id is not None:
        remember(tx, op_id, value)
    return _result(value)


def _result(value: Sequence[object]) -> CopyResult:
    mailbox, uidvalidity, old, new, modseq = value
    assert isinstance(mailbox, int)
    assert isinstance(uidvalidity, int)
    assert isinstance(old, list)
    assert isinstance(new, list)
    assert isinstance(modseq, int)
    return CopyResult(
        MailboxId(mailbox), uidvalidity, list(map(Uid, old)), list(map(Uid, new)), ModSeq(modseq)
    )
