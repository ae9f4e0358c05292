"""Removing messages, and claiming \\Recent. RFC 9051 6.4.3, RFC 7162 3.2.7, RFC 3501 2.3.2.

Rows go with the commit, files after it; the UIDs stay known as expunged for a while.
"""

from __future__ import annotations

from collections.abc import Sequence

from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.flagging import count
from rmail_kernel.storage.filesystem.locate import settled
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import Flag

KEYED = ("summary", "digest", "undigested", "incoming")
"""Tables with rows of messages by `schema.summary_key`."""
COLUMNS = "uid, flags, named, size_bytes, internal_date"


def expunge(
    tx: Transaction, mailbox: int, uids: Sequence[int] | None, *, only_deleted: bool
) -> tuple[list[Uid], ModSeq]:
    """Removes messages; see MailStore.expunge."""
    row = tx.mailbox(mailbox)
    if only_deleted and not row.deleted:
        return [], ModSeq(row.highestmodseq)
    found = schema.messages(tx.db, row.id, uids, COLUMNS)
    if only_deleted:
        found = [message for message in found if message[1] & Flag.DELETED]
    if not found:
        return [], ModSeq(row.highestmodseq)
    modseq = tx.next_modseq()
    remove(tx, row, found, modseq)
    return [Uid(message[0]) for message in found], ModSeq(modseq)


def remove(tx: Transaction, row: MailboxRow, found: Sequence[schema.Row], modseq: int) -> None:
    """Takes messages (rows of COLUMNS) out of a mailbox; their files go after the commit."""
    keys = [(row.id, message[0]) for message in found]
    tx.db.executemany("DELETE FROM message WHERE mailbox=? AND uid=?", keys)
    for table in KEYED:
        tx.db.executemany(
            f"DELETE FROM {table} WHERE key=?",  # noqa: S608 - constants
            [(schema.summary_key(*key),) for key in keys],
        )
    tx.db.executemany(
        "INSERT INTO expunged (mailbox, modseq, uid, at) VALUES (?, ?, ?, ?)",
        [(row.id, modseq, message[0], tx.now) for message in found],
    )
    files = [(row, message[0], message[1]) for message in found]
    tx.db.executemany(
        "REPLACE INTO pending_unlink (mailbox, uid, named) VALUES (?, ?, ?)",
        [(row.id, message[0], settled(message[2])) for message in found],
    )
    tx.unlinks += files
    for uid, flags, _, _, _ in found:
        count(row, flags, -1)
        row.recent -= uid >= row.recent_from
    size = sum(message[3] for message in found)
    row.total -= len(found)
    row.size_bytes -= size
    tx.book(-size, -len(found))
    tx.touched(row, modseq)


def claim_recent(tx: Transaction, mailbox: int) -> frozenset[Uid]:
    """Takes \\Recent; see MailStore.claim_recent."""
    row = tx.mailbox(mailbox)
    found = schema.rows(
        tx.db, "SELECT uid FROM message WHERE mailbox=? AND uid>=?", row.id, row.recent_from
    )
    claimed = frozenset(Uid(uid) for (uid,) in found)
    row.recent, row.recent_from = 0, row.uidnext
    return claimed


def forget_mailbox(tx: Transaction, row: MailboxRow) -> None:
    """Drops all rows of a mailbox."""
    tx.book(-row.size_bytes, -row.total)
    low, high = schema.summary_key(row.id, 0), schema.summary_key(row.id + 1, 0)
    for table in KEYED:
        tx.db.execute(f"DELETE FROM {table} WHERE key >= ? AND key < ?", (low, high))  # noqa: S608 - constants
    for table in ("message", "expunged", "shard", "pending_unlink"):
        tx.db.execute(f"DELETE FROM {table} WHERE mailbox=?", (row.id,))  # noqa: S608 - constants
    tx.db.execute("DELETE FROM mailbox WHERE id=?", (row.id,))
    tx.forget(row)
    tx.changes[row.id] = tx.next_modseq()
