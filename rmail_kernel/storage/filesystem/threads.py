"""Which thread a new message belongs to, by message ids, over all mailboxes of the account.

A message joins the thread in which its own id, or else its nearest known ancestor, was seen. It
stays there: "The server MUST NOT change the THREADID of a message once reported" (RFC 8474 5.2), so
threads are never merged. Subjects do not count (as in the REFS algorithm of IMAP THREAD): equal
ones would join what has nothing to do with each other, across years.
"""

from __future__ import annotations

import hashlib
import json
import re

from rmail_kernel.mime import MessageKeys
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.transaction import Transaction

_EMAIL = re.compile(r"E[0-9a-f]{32}")
_THREAD = re.compile(r"T[0-7][0-9a-f]{15}")
MAX_ANCESTORS = 20
"""References of one message that are looked up and noted: the first, and the last of the others."""


def thread_of(tx: Transaction, keys: MessageKeys, email: bytes) -> int:
    """The thread of a message, which its ids lead to from now on.

    Args:
        email: what its thread is named after when it has no ids.
    """
    ancestors = list(keys.references)
    if len(ancestors) > MAX_ANCESTORS:
        ancestors = [ancestors[0], *ancestors[1 - MAX_ANCESTORS :]]
    oldest_first = [*ancestors, *([keys.message_id] if keys.message_id else [])]
    ids = [_number(one.encode("utf-8", "surrogateescape")) for one in oldest_first]
    if not ids:
        return _number(email)
    known = _known(tx, ids)
    found = next((known[one] for one in reversed(ids) if one in known), None)
    # A rebuild names it again so, whatever message comes first, if all of them tell of the first.
    thread = ids[0] if found is None else found
    tx.db.executemany(
        "INSERT OR IGNORE INTO reference (id, thread) VALUES (?, ?)",
        [(one, thread) for one in ids if one not in known],
    )
    return thread


def forget_threads(tx: Transaction) -> None:
    """Drops the ids of threads that have no message left, if every message tells its thread."""
    if schema.first(tx.db, "SELECT 1 FROM undigested LIMIT 1") is None:
        tx.db.execute("DELETE FROM reference WHERE thread NOT IN (SELECT thread FROM digest)")


def _known(tx: Transaction, ids: list[int]) -> dict[int, int]:
    if len(ids) == 1:
        found = schema.value(tx.db, "SELECT thread FROM reference WHERE id=?", ids[0])
        return {} if found is None else {ids[0]: int(found)}
    sql = "SELECT id, thread FROM reference WHERE id IN (SELECT value FROM json_each(?))"
    return dict(schema.rows(tx.db, sql, json.dumps(ids)))


def _number(raw: bytes) -> int:
    """63 bits, for SQLite's integers are signed."""
    return int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big") >> 1


def email_text(email: bytes) -> str:
    """The EMAILID of a message (RFC 8474 5.1)."""
    return f"E{email.hex()}"


def thread_text(thread: int) -> str:
    """The THREADID of a thread (RFC 8474 5.2)."""
    return f"T{thread:016x}"


def email_of(text: str) -> bytes | None:
    """The EMAILID that `email_text` gave as this text."""
    return bytes.fromhex(text[1:]) if _EMAIL.fullmatch(text) else None


def thread_number(text: str) -> int | None:
    """The thread that `thread_text` gave as this text."""
    return int(text[1:], 16) if _THREAD.fullmatch(text) else None
