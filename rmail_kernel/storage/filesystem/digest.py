"""What is computed of a message's bytes once and kept: its summary, its EMAILID, its keys.

At delivery, or later from its file: after a rebuild or a migration, or for a file from outside.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from rmail_kernel.mime import (
    MessageKeys,
    Summary,
    encode_keys,
    encode_structure,
    message_keys,
    summarise,
)
from rmail_kernel.mime.structure import Buffer
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.filemap import WINDOW_BYTES, FileMap
from rmail_kernel.storage.filesystem.moments import clamped, moment
from rmail_kernel.storage.filesystem.threads import thread_of
from rmail_kernel.storage.filesystem.transaction import Transaction

SummaryRow = tuple[bytes, bytes, bytes, bytes, int, bytes, str]
_INSERT_SUMMARY = (
    "REPLACE INTO summary (key, envelope, body, bodystructure, headers, has_all_headers, structure,"
    " preview) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_DIGEST = "INSERT INTO digest (key, email, thread, keys) VALUES (?, ?, ?, ?)"
_EMAIL_BYTES = 16


@dataclass(frozen=True, slots=True)
class Digest:
    """All of one message. `email` is the EMAILID in its short form."""

    summary: SummaryRow
    email: bytes
    keys: MessageKeys


def digest(buffer: Buffer, internal_date: int) -> Digest:
    """Reads a message. EMAILID stands for all that may not change (RFC 8474 5.1), so also for
    INTERNALDATE.

    Args:
        internal_date: in seconds since the epoch.
    """
    found = summarise(buffer)
    keys = message_keys(found.envelope, found.raw_references, moment(internal_date))
    return Digest(_row(found), email_id(buffer, internal_date), keys)


def email_id(buffer: Buffer, internal_date: int) -> bytes:
    """The EMAILID of a message in its short form; `internal_date` as above."""
    found = hashlib.blake2b(digest_size=_EMAIL_BYTES)
    for start in range(0, len(buffer), WINDOW_BYTES):
        found.update(buffer[start : start + WINDOW_BYTES])
    found.update(b"%d" % clamped(internal_date))
    return found.digest()


def digest_of(path: Path, internal_date: int) -> Digest:
    """The same of a stored message, read through a map of its file."""
    with path.open("rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            return digest(b"", internal_date)
        with FileMap(file.fileno()) as buffer:
            return digest(buffer, internal_date)


def _row(found: Summary) -> SummaryRow:
    """The columns of the table `summary` after its key."""
    return (
        found.raw_envelope,
        found.raw_body,
        found.raw_bodystructure,
        found.raw_headers,
        int(found.headers_complete),
        encode_structure(found.structure),
        found.preview,
    )


def insert(tx: Transaction, mailbox: int, uid: int, found: Digest) -> None:
    """Keeps the digest of a new message, which enters its thread."""
    key = schema.summary_key(mailbox, uid)
    thread = thread_of(tx, found.keys, found.email)
    tx.db.execute(_INSERT_SUMMARY, (key, *found.summary))
    tx.db.execute(_INSERT_DIGEST, (key, found.email, thread, encode_keys(found.keys)))


def complete(tx: Transaction, mailbox: int, uid: int, found: Digest) -> None:
    """Keeps a digest that was made later, if the message is still there. Ids that it may have been
    given meanwhile stay.
    """
    if not schema.first(tx.db, "SELECT 1 FROM message WHERE mailbox=? AND uid=?", mailbox, uid):
        return
    key = schema.summary_key(mailbox, uid)
    if schema.first(tx.db, "SELECT 1 FROM digest WHERE key=?", key):
        tx.db.execute(_INSERT_SUMMARY, (key, *found.summary))
    else:
        insert(tx, mailbox, uid, found)
    tx.db.execute("DELETE FROM undigested WHERE key=?", (key,))


COPIES = (
    "INSERT INTO summary (key, envelope, body, bodystructure, headers, has_all_headers, structure,"
    " preview) SELECT key + ?, envelope, body, bodystructure, headers, has_all_headers, structure,"
    " preview FROM summary WHERE key BETWEEN ? AND ?",
    "INSERT INTO digest (key, email, thread, keys) SELECT key + ?, email, thread, keys"
    " FROM digest WHERE key BETWEEN ? AND ?",
    "INSERT INTO undigested (key) SELECT key + ? FROM undigested WHERE key BETWEEN ? AND ?",
)
"""What copies of messages share with them: by how much their keys are greater, and a range of the
keys of the originals."""
