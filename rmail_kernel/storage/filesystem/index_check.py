"""Checking a full-text index against itself and against the messages. Looks only; blocks.

What the index has not reached yet is no fault: it follows in the background.
"""

from __future__ import annotations

import apsw

from rmail_kernel.storage.filesystem import fulltext, schema
from rmail_kernel.storage.filesystem.account import Moved, Reader, snapshot
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.fulltext import Covered
from rmail_kernel.storage.filesystem.layout import AccountPaths

_DAMAGE = (apsw.CorruptError, apsw.NotADBError, apsw.SQLError)


def index_faults(paths: AccountPaths, owner: Owner) -> list[str]:
    """What is wrong with search.db; nothing when there is none. Waits until nobody changes it: FTS5
    checks itself as a writer.

    Raises:
        OSError, apsw.Error: the disk does not answer.
    """
    if not paths.index.exists():
        return []
    with fulltext.locked(paths, owner, wait=True):
        return _checked(paths) if paths.index.exists() else []


def _checked(paths: AccountPaths) -> list[str]:
    try:
        db = fulltext.connect(paths.index)
    except _DAMAGE as error:
        return [f"search.db cannot be used: {error}"]
    try:
        return _faults(paths, db)
    except _DAMAGE as error:
        return [f"search.db is damaged: {error}"]
    except Moved:
        return []  # the account's database is being made anew, and the index after it
    finally:
        db.close()


def _faults(paths: AccountPaths, db: apsw.Connection) -> list[str]:
    damage = schema.value(db, "PRAGMA quick_check(1)")
    if damage != "ok":
        return [f"search.db is damaged: {damage}"]
    for table in fulltext.FIELDS:
        db.execute(f"INSERT INTO {table} ({table}, rank) VALUES ('integrity-check', 0)")  # noqa: S608 - of FIELDS
    # First the index, then the messages: a message that is expunged between the two looks is in
    # neither, and a new one lies above what is indexed.
    with snapshot(db):
        reach = dict(_reach(db))
        reader = Reader(paths)
        try:
            missing = sum(_missing(db, reader.db, one, at) for one, at in reach.items())
        finally:
            reader.db.close()
    return [f"search.db lacks {missing} messages that it should have"] if missing else []


def _reach(db: apsw.Connection) -> list[tuple[int, Covered]]:
    found = schema.rows(db, "SELECT id, uidvalidity, uidnext, modseq FROM mailbox")
    return [(mailbox, Covered(*rest)) for mailbox, *rest in found]


def _missing(index: apsw.Connection, mail: apsw.Connection, mailbox: int, at: Covered) -> int:
    """How many messages of a mailbox it says it has and has not."""
    uidvalidity = schema.value(mail, "SELECT uidvalidity FROM mailbox WHERE id=?", mailbox)
    if uidvalidity != at.uidvalidity:
        return 0  # of another time; no search believes it
    low = schema.summary_key(mailbox, 0)
    sql = "SELECT id FROM body_docsize WHERE id BETWEEN ? AND ?"
    there = {key - low for (key,) in schema.rows(index, sql, low, low + 0xFFFFFFFF)}
    sql = "SELECT uid FROM message WHERE mailbox=? AND uid<?"
    return sum(uid not in there for (uid,) in schema.rows(mail, sql, mailbox, at.uidnext))
