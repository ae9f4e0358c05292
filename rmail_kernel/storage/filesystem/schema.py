"""The database of one account: its tables, and how a connection to it is opened.

It is rebuildable: damage, or a version that `migrate` does not know, has it set aside and made anew
from files.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import apsw
import apsw.sqlite_extra
import structlog

_log = structlog.get_logger("rmail.storage")
Row = tuple[Any, ...]
_CHECKSUM_BYTES = 8
VERSION = 3
_BUSY_MS = 10_000
_MAX_LOG_BYTES = 32 << 20
CHECKPOINT_PAGES = 4000
"""From this length on the log is written back."""

# message and summary are two tables so that loading a view reads no envelope.
# summary.key is mailbox << 32 | uid: rows with large values belong in a rowid table.
# digest: what is compared over many messages, apart from the long values, by the same key.
# undigested: messages (same key) whose digest and preview are still to be made from their files.
# reference: the thread that a message id belongs to, both as hashes; see threads.py.
# incoming: messages whose files are not synced yet, by the same key.
# message.named: the flags in the file's name when that name is known to be durable; negative (the
# complement of the last such value) from a flag change until the rename is on disk.
TABLES = """
CREATE TABLE account (
  one INTEGER PRIMARY KEY CHECK (one = 1), modseq INTEGER NOT NULL,
  modseq_reserved INTEGER NOT NULL, next_id INTEGER NOT NULL, uidvalidity INTEGER NOT NULL,
  used_bytes INTEGER NOT NULL, used_messages INTEGER NOT NULL);
CREATE TABLE mailbox (
  id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, special_use TEXT,
  subscribed INTEGER NOT NULL, uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL,
  uid_reserved INTEGER NOT NULL, highestmodseq INTEGER NOT NULL, floor INTEGER NOT NULL,
  total INTEGER NOT NULL, unseen INTEGER NOT NULL, deleted INTEGER NOT NULL,
  recent INTEGER NOT NULL, recent_from INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  objectid TEXT NOT NULL, keywords TEXT NOT NULL, written_uidnext INTEGER NOT NULL);
CREATE TABLE message (
  mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, flags INTEGER NOT NULL,
  modseq INTEGER NOT NULL, named INTEGER NOT NULL, size_bytes INTEGER NOT NULL,
  internal_date INTEGER NOT NULL, save_date INTEGER,
  PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE INDEX message_modseq ON message (mailbox, modseq);
CREATE INDEX message_unnamed ON message (mailbox, uid) WHERE named < 0;
CREATE TABLE summary (
  key INTEGER PRIMARY KEY, envelope BLOB NOT NULL, body BLOB NOT NULL,
  bodystructure BLOB NOT NULL, headers BLOB NOT NULL, has_all_headers INTEGER NOT NULL,
  structure BLOB NOT NULL, preview TEXT);
CREATE TABLE digest (
  key INTEGER PRIMARY KEY, email BLOB NOT NULL, thread INTEGER NOT NULL, keys BLOB NOT NULL);
CREATE TABLE undigested (key INTEGER PRIMARY KEY);
CREATE TABLE reference (id INTEGER PRIMARY KEY, thread INTEGER NOT NULL);
CREATE TABLE incoming (key INTEGER PRIMARY KEY, content BLOB NOT NULL);
CREATE TABLE expunged (
  mailbox INTEGER NOT NULL, modseq INTEGER NOT NULL, uid INTEGER NOT NULL, at INTEGER NOT NULL,
  PRIMARY KEY (mailbox, modseq, uid)) WITHOUT ROWID;
CREATE INDEX expunged_at ON expunged (at);
CREATE TABLE op (id TEXT PRIMARY KEY, at INTEGER NOT NULL, result TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX op_at ON op (at);
CREATE TABLE shard (
  mailbox INTEGER NOT NULL, shard INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  PRIMARY KEY (mailbox, shard)) WITHOUT ROWID;
CREATE TABLE pending_unlink (
  mailbox INTEGER NOT NULL, uid INTEGER NOT NULL, named INTEGER NOT NULL,
  PRIMARY KEY (mailbox, uid)) WITHOUT ROWID;
CREATE TABLE pending_directory (
  id INTEGER PRIMARY KEY, source TEXT NOT NULL, target TEXT);
"""

# By the version that they start from.
_CHANGES = {
    1: "CREATE TABLE incoming (key INTEGER PRIMARY KEY, content BLOB NOT NULL);",
    2: """
ALTER TABLE summary ADD COLUMN preview TEXT;
CREATE TABLE digest (
  key INTEGER PRIMARY KEY, email BLOB NOT NULL, thread INTEGER NOT NULL, keys BLOB NOT NULL);
CREATE TABLE undigested (key INTEGER PRIMARY KEY);
CREATE TABLE reference (id INTEGER PRIMARY KEY, thread INTEGER NOT NULL);
INSERT INTO undigested SELECT mailbox << 32 | uid FROM message ORDER BY mailbox, uid;
""",
}


def _load_checksums() -> bool:
    """Has SQLite keep a checksum in each page of a database that has room for it, and refuse pages
    whose checksum is wrong; whether this build can. All connections made later go through it.
    """
    try:
        db = apsw.Connection(":memory:")
        try:
            apsw.sqlite_extra.load(db, "cksumvfs")
        finally:
            db.close()
    except (apsw.sqlite_extra.NotAvailable, apsw.Error):
        return False
    return True


_HAS_CHECKSUMS = _load_checksums()


def connect(path: Path, busy_ms: int = _BUSY_MS) -> apsw.Connection:
    """A connection to a database that exists, in WAL mode, every commit synced.

    Raises:
        apsw.Error: it cannot be opened or is no database.
        apsw.CorruptError: it is of another version.
    """
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(busy_ms)
        # A statement is planned once, not for each range of UIDs anew.
        db.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)
        if value(db, "PRAGMA user_version") != VERSION:
            raise apsw.CorruptError("another version")
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("PRAGMA cache_size=-8000")
        db.execute(f"PRAGMA wal_autocheckpoint={CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={_MAX_LOG_BYTES}")
    except BaseException:
        db.close()
        raise
    return db


def migrate(path: Path) -> bool:
    """Brings a database of an earlier version to this one, in one transaction that keeps every
    row; whether there was anything to do. What is new of a message is made later, from its file.

    The caller holds the account's lock.
    """
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(_BUSY_MS)
        version = value(db, "PRAGMA user_version")
        if version not in _CHANGES:
            return False
        db.execute("PRAGMA synchronous=FULL")
        db.execute("BEGIN IMMEDIATE")
        for step in range(version, VERSION):
            db.execute(_CHANGES[step])
        db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
        _protect(db)
        return True
    except apsw.SQLError as error:
        raise apsw.CorruptError("not the tables of that version") from error
    finally:
        db.close()


def _protect(db: apsw.Connection) -> None:
    """Gives the pages of a database from before there were checksums room for theirs."""
    if not _HAS_CHECKSUMS or db.reserve_bytes("main") == _CHECKSUM_BYTES:
        return
    db.reserve_bytes("main", _CHECKSUM_BYTES)
    try:
        db.execute("VACUUM")  # one transaction; takes as much room as the database has
    except (apsw.FullError, apsw.IOError) as error:
        _log.warning("a database stays without checksums", error=str(error))


def create(path: Path) -> apsw.Connection:
    """A new database being filled: neither synced nor recoverable until `finish`."""
    db = apsw.Connection(str(path))
    if _HAS_CHECKSUMS:
        db.reserve_bytes("main", _CHECKSUM_BYTES)
    db.execute("PRAGMA journal_mode=OFF")
    db.execute("PRAGMA synchronous=OFF")
    # Pages get checksums from when the first page is in the file on: it goes there before any that
    # have no room in memory.
    for sql in ("BEGIN", TABLES, "COMMIT", "BEGIN"):
        db.execute(sql)
    return db


def finish(db: apsw.Connection) -> None:
    """Commits and closes a database made by `create`; its file is synced by the caller."""
    db.execute("COMMIT")
    db.execute(f"PRAGMA user_version={VERSION}")
    db.execute("ANALYZE")
    db.close()


def faults(db: apsw.Connection, pragma: str = "quick_check(1)") -> list[str]:
    """What is wrong with a database: what a check of SQLite says, and columns that it lacks.

    Raises:
        apsw.Error: so much that it cannot be looked at.
    """
    texts = [str(text) for (text,) in rows(db, f"PRAGMA {pragma}") if text != "ok"]
    return texts + [f"lacks {name}" for name in sorted(_columns_needed() - _columns(db))]


@cache
def _columns_needed() -> frozenset[str]:
    db = apsw.Connection(":memory:")
    try:
        db.execute(TABLES)
        return _columns(db)
    finally:
        db.close()


def _columns(db: apsw.Connection) -> frozenset[str]:
    """The columns of its tables and indexes."""
    sql = (
        "SELECT one.name || '.' || col.name FROM sqlite_schema AS one,"
        " pragma_table_info(one.name) AS col WHERE one.type = 'table' UNION ALL"
        " SELECT one.name || '.' || col.name FROM sqlite_schema AS one,"
        " pragma_index_info(one.name) AS col WHERE one.type = 'index' AND one.sql NOT NULL"
    )
    return frozenset(name for (name,) in rows(db, sql))


def rows(db: apsw.Connection, sql: str, *values: Any) -> Iterator[Row]:
    """The rows of a query."""
    return iter(db.execute(sql, values))


def first(db: apsw.Connection, sql: str, *values: Any) -> Row | None:
    """The first row of a query, or None."""
    cursor = db.execute(sql, values)
    found: Row | None = cursor.fetchone()
    cursor.close()
    return found


def value(db: apsw.Connection, sql: str, *values: Any) -> Any:
    """The first column of the first row, or None."""
    found = first(db, sql, *values)
    return found[0] if found else None


def summary_key(mailbox: int, uid: int) -> int:
    """The key of a message in the table `summary`."""
    return mailbox << 32 | uid


def messages(
    db: apsw.Connection, mailbox: int, uids: Sequence[int] | None, columns: str
) -> list[Row]:
    """Columns of the messages that exist among `uids` (None: all), in UID order.

    Args:
        columns: names of columns of `message`, from our own code only.
    """
    sql = f"SELECT {columns} FROM message WHERE mailbox=?"  # noqa: S608 - see columns
    if uids is None:
        return list(rows(db, f"{sql} ORDER BY uid", mailbox))
    if not uids:
        return []
    wanted = set(uids)  # a UID given twice must not make a gap look like a range
    low, high = min(wanted), max(wanted)
    if high - low + 1 == len(wanted):
        return list(rows(db, f"{sql} AND uid BETWEEN ? AND ? ORDER BY uid", mailbox, low, high))
    sql += " AND uid IN (SELECT value FROM json_each(?)) ORDER BY uid"
    return list(rows(db, sql, mailbox, json.dumps(list(wanted))))
