"""Storing new messages: the bytes first, durable and aside; then their names and rows in a batch.

A message is never wholly in memory when it was not before. RFC 9051 6.3.12.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rmail_kernel import failpoints
from rmail_kernel.errors import NotFound
from rmail_kernel.storage.filesystem import unsettled
from rmail_kernel.storage.filesystem.digest import Digest, digest, digest_of, insert
from rmail_kernel.storage.filesystem.disk import Owner, make_directory, temporary_name, write_file
from rmail_kernel.storage.filesystem.expunging import expunge
from rmail_kernel.storage.filesystem.flagging import count, new_name, word_of
from rmail_kernel.storage.filesystem.layout import file_name
from rmail_kernel.storage.filesystem.mailboxes import create
from rmail_kernel.storage.filesystem.retries import remember, remembered
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Room, Transaction
from rmail_kernel.storage.filesystem.unsettled import SMALL_BYTES
from rmail_kernel.storage.ids import MailboxId, ModSeq, Uid
from rmail_kernel.storage.mail import Appended, AppendItem

_INSERT_MESSAGE = (
    "INSERT INTO message (mailbox, uid, flags, modseq, named, size_bytes, internal_date, save_date)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A message on disk that is not in a mailbox yet."""

    item: AppendItem
    path: Path
    size_bytes: int
    internal_date: int  # seconds since the epoch
    digest: Digest
    raw: bytes | None  # of a small message, whose file is not synced


def is_small(item: AppendItem) -> bool:
    """Whether a message becomes durable with its row, not with its file."""
    return item.content.size <= SMALL_BYTES


def prepare(directory: Path, item: AppendItem, owner: Owner, now: float) -> Prepared:
    """Writes a message to a file aside, synced unless it is small, and computes what FETCH will
    ask for.
    """
    path = temporary_name(directory)
    at = int(item.internal_date.timestamp() if item.internal_date else now)
    raw = item.content.read() if is_small(item) else None

    def write() -> int:
        pieces = item.content.chunks() if raw is None else (raw,)
        return write_file(path, pieces, owner, mtime=at, durable=raw is None)

    try:
        size = write()
    except FileNotFoundError:
        _remake(directory, owner)
        size = write()
    failpoints.reach("append.written")
    try:
        found = _digest(item, raw, path, at)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return Prepared(item, path, size, at, found, raw)


def _digest(item: AppendItem, raw: bytes | None, path: Path, at: int) -> Digest:
    if raw is not None:
        return digest(raw, at)
    if isinstance(item.content.body, bytes):
        return digest(item.content.read(), at)
    return digest_of(path, at)


def _remake(directory: Path, owner: Owner) -> None:
    """The account was removed; and maybe made again, then it has no temporary directory yet."""
    try:
        make_directory(directory, owner)
    except FileNotFoundError:
        raise NotFound("No such account") from None


def append(tx: Transaction, prepared: Sequence[Prepared], room: Room) -> list[Appended]:
    """Puts prepared messages into their mailboxes, in order; see MailStore.append."""
    found = [_known(tx, one.item.op_id) for one in prepared]
    for one, known in zip(prepared, found, strict=True):
        if known is not None:
            one.path.unlink(missing_ok=True)
    fresh = [one for one, known in zip(prepared, found, strict=True) if known is None]
    if not fresh:
        return [known for known in found if known is not None]
    for one in fresh:
        _make_way(tx, one.item)
    tx.book(sum(one.size_bytes for one in fresh), len(fresh), room)
    rows = [_mailbox(tx, one.item) for one in fresh]
    modseq = tx.next_modseq()
    is_small = all(one.raw is not None for one in fresh)
    uids = {
        row.id: _announce(tx, row, rows, is_small=is_small)
        for row in {row.id: row for row in rows}.values()
    }
    stored = iter(
        [
            place(tx, one, row, next(uids[row.id]), modseq)
            for one, row in zip(fresh, rows, strict=True)
        ]
    )
    return [known or next(stored) for known in found]


def _make_way(tx: Transaction, item: AppendItem) -> None:
    """Expunges what the message replaces (RFC 8508 3.4: both are done, or neither)."""
    if item.replaces is not None and tx.find(item.replaces[0]) is not None:
        mailbox, uid = item.replaces
        expunge(tx, mailbox, [uid], only_deleted=False)


def _mailbox(tx: Transaction, item: AppendItem) -> MailboxRow:
    if item.create and tx.find(item.mailbox) is None:
        return create(tx, item.mailbox)
    return tx.mailbox(item.mailbox)


def _announce(
    tx: Transaction, row: MailboxRow, rows: Sequence[MailboxRow], *, is_small: bool
) -> Iterator[int]:
    uids = tx.allocate(row, sum(one.id == row.id for one in rows))
    if is_small:
        tx.intend_arrivals(row, uids)
    else:
        tx.intend(row, uids)
    return iter(uids)


def place(tx: Transaction, one: Prepared, row: MailboxRow, uid: int, modseq: int) -> Appended:
    """Gives one message its row, and its file the name, in the transaction."""
    word = word_of(tx, row, one.item.flags)
    name = file_name(uid, word)
    if one.raw is None:
        tx.rename_in(one.path, tx.shard(row, uid) / name)
        failpoints.reach("append.renamed")
    else:
        tx.arrive(row, uid, one.path, name)
        unsettled.keep(tx, row.id, uid, one.raw)
    tx.db.execute(
        _INSERT_MESSAGE,
        (
            row.id,
            uid,
            word,
            modseq,
            new_name(tx, row, uid, word),
            one.size_bytes,
            one.internal_date,
            tx.now,
        ),
    )
    insert(tx, row.id, uid, one.digest)
    is_claimed = one.item.claims_recent and not row.recent
    if is_claimed:
        row.recent_from = uid + 1
    else:
        row.recent += 1
    row.total += 1
    row.size_bytes += one.size_bytes
    count(row, word, 1)
    tx.touched(row, modseq)
    result = Appended(MailboxId(row.id), row.uidvalidity, Uid(uid), ModSeq(modseq), is_claimed)
    if one.item.op_id is not None:
        remember(tx, one.item.op_id, [row.id, row.uidvalidity, uid, modseq])
    return result


def _known(tx: Transaction, op_id: str | None) -> Appended | None:
    found = remembered(tx, op_id)
    return Appended(*found) if found else None  # type: ignore[arg-type] # our own JSON
