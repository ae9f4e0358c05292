"""Filling the full-text index of one account: it follows what account.db says, slice by slice.

One process at a time does it, under a lock of its own; nothing waits for it. What it has not
reached yet, searches read themselves.
"""

from __future__ import annotations

import enum
from pathlib import Path
from typing import Final

import apsw
import structlog

from rmail_kernel.storage.filesystem import fulltext, schema, shared_texts, shortgrams, tables
from rmail_kernel.storage.filesystem.account import Moved, Reader, snapshot
from rmail_kernel.storage.filesystem.disk import Owner
from rmail_kernel.storage.filesystem.fulltext import Covered
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.remembering import Box, Texts
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.texts import ROWS, MessageText, stored_text

_log = structlog.get_logger("rmail.storage")
SLICE: Final = 256
SLICE_BYTES: Final = 1 << 20
GONE: Final = 2000
"""Rows of messages that are gone, removed at a time."""
_MERGE_PAGES: Final = 200


class Outcome(enum.Enum):
    """What a slice left: more to do, nothing, or another process is at it."""

    MORE = enum.auto()
    DONE = enum.auto()
    BUSY = enum.auto()


def index_slice(
    paths: AccountPaths, owner: Owner, *, anew: bool, wait: bool, kept: Texts | None = None
) -> Outcome:
    """Indexes some messages, or removes some that are gone.

    Args:
        anew: the index is removed before.
        wait: for the process that is at it, rather than to answer BUSY.
        kept: texts that were read before; those that are indexed are dropped.

    Raises:
        OSError, apsw.Error: trouble that a later attempt may not meet; damage is mended by it.
    """
    try:
        with fulltext.locked(paths, owner, wait=wait) as is_held:
            return _index_slice(paths, owner, anew, kept) if is_held else Outcome.BUSY
    except (FileNotFoundError, Moved):
        return Outcome.DONE  # the account is gone, or has no database: its next use comes back


def lag(paths: AccountPaths) -> int:
    """How many messages are to be indexed, at least 1 if there is anything to do. Blocks.

    Raises:
        OSError, apsw.Error: trouble; if it is of the index, indexing mends it.
    """
    try:
        reader = Reader(paths)
    except (FileNotFoundError, Moved):
        return 0
    try:
        rows = tables.mailbox_rows(reader.db)
    finally:
        reader.db.close()
    every = sum(row.total for row in rows)
    if not paths.index.exists():
        return every
    try:
        db = fulltext.connect(paths.index)
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError):
        return max(every, 1)
    try:
        known = {one for (one,) in schema.rows(db, "SELECT id FROM mailbox")}
        gone = len(known - {row.id for row in rows})
        return gone + sum(_lag(row, fulltext.covered(db, row.id)) for row in rows)
    finally:
        db.close()


def _lag(row: MailboxRow, at: Covered | None) -> int:
    if at is None:
        return row.total
    if at.uidvalidity != row.uidvalidity or row.highestmodseq < at.modseq:
        return row.total + 1
    new = min(row.total, row.uidnext - at.uidnext)
    return new + (at.modseq < row.highestmodseq)


def _index_slice(paths: AccountPaths, owner: Owner, anew: bool, kept: Texts | None) -> Outcome:
    reader = Reader(paths)
    try:
        db = _open(paths, owner, anew=anew)
        try:
            with snapshot(reader.db):
                db.execute("BEGIN IMMEDIATE")
                has_more = _Slice(paths, reader.db, db, kept or Texts(0)).run()
            reader.check()
            db.execute("COMMIT")
            if not has_more:
                shared_texts.drop(paths)
                _merge(db)
            return Outcome.MORE if has_more else Outcome.DONE
        finally:
            db.close()
    except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError):
        fulltext.remove(paths)
        raise
    finally:
        reader.db.close()


def _open(paths: AccountPaths, owner: Owner, *, anew: bool) -> apsw.Connection:
    """The index, made where there is none that can be used."""
    if not anew and paths.index.exists():
        try:
            return fulltext.connect(paths.index)
        except (apsw.CorruptError, apsw.NotADBError, apsw.SQLError) as error:
            _log.info("search.db is made anew", path=str(paths.index), error=str(error))
    fulltext.remove(paths)
    fulltext.create(paths, owner)
    return fulltext.connect(paths.index)


def _merge(db: apsw.Connection) -> None:
    """Joins segments, a bounded amount at a time: searches look into each of them."""
    for table in fulltext.FIELDS:
        sql = f"INSERT INTO {table} ({table}, rank) VALUES ('merge', ?)"  # noqa: S608 - of FIELDS
        db.execute(sql, (_MERGE_PAGES,))


def _text(directory: Path, row: schema.Row) -> MessageText:
    """The text of a message; nothing, and not sure of it, if it cannot be read."""
    try:
        return stored_text(directory, row)
    except (OSError, ValueError) as error:
        _log.info("message not indexed", uid=row[0], error=str(error))
        return MessageText()


class _Slice:
    """One transaction: `mail` is account.db, in one snapshot, and is only read."""

    def __init__(
        self, paths: AccountPaths, mail: apsw.Connection, index: apsw.Connection, kept: Texts
    ) -> None:
        self._paths = paths
        self._mail = mail
        self._index = index
        self._kept = kept
        self._gathered = shortgrams.Gathered()
        self._messages = SLICE
        self._bytes = SLICE_BYTES

    def run(self) -> bool:
        """Whether there is more to do."""
        rows = tables.mailbox_rows(self._mail)
        known = {one for (one,) in schema.rows(self._index, "SELECT id FROM mailbox")}
        for mailbox in known - {row.id for row in rows}:
            if self._forget(mailbox):
                return True
        return any(self._advance(row) for row in rows)  # those behind one that is cut may wait

    def _forget(self, mailbox: int) -> bool:
        """Removes the rows of a mailbox; whether some are left."""
        low = schema.summary_key(mailbox, 0)
        sql = "SELECT id FROM body_docsize WHERE id BETWEEN ? AND ? LIMIT ?"
        keys = [key for (key,) in schema.rows(self._index, sql, low, low + 0xFFFFFFFF, GONE)]
        self._remove(keys)
        if not keys:
            sql = "DELETE FROM unsure WHERE key BETWEEN ? AND ?"
            self._index.execute(sql, (low, low + 0xFFFFFFFF))
            self._index.execute("DELETE FROM mailbox WHERE id=?", (mailbox,))
            shortgrams.forget(self._index, low, low + 0xFFFFFFFF)
        return bool(keys)

    def _remove(self, keys: list[int]) -> None:
        rows = [(key,) for key in keys]
        for table in fulltext.FIELDS:
            self._index.executemany(f"DELETE FROM {table} WHERE rowid=?", rows)  # noqa: S608 - of FIELDS
        self._index.executemany("DELETE FROM unsure WHERE key=?", rows)
        self._forget_blocks({key // shortgrams.BLOCK for key in keys})

    def _forget_blocks(self, blocks: set[int]) -> None:
        """Removes the bitmaps of blocks that no message is left of. The newest may still grow."""
        sql = "SELECT max(id) FROM body_docsize WHERE id BETWEEN ? AND ?"
        for block in blocks:
            first = block * shortgrams.BLOCK
            last = first + shortgrams.BLOCK - 1
            if schema.value(self._index, sql, first, last) is None:
                shortgrams.forget(self._index, first, last)

    def _advance(self, row: MailboxRow) -> bool:
        """Follows one mailbox for a slice; whether there is more to do."""
        at = fulltext.covered(self._index, row.id)
        if at is None:
            at = Covered(row.uidvalidity, 1, row.highestmodseq)
        elif at.uidvalidity != row.uidvalidity or row.highestmodseq < at.modseq:
            # Rows of another time; UIDVALIDITY 0 has no view, so no search meets them.
            self._save(row, Covered(0, 1, 0))
            return self._forget(row.id) or True
        if at.modseq < row.highestmodseq:
            modseq = self._follow_expunges(row, at)
            at = Covered(at.uidvalidity, at.uidnext, modseq)
            self._save(row, at)
        if at.modseq == row.highestmodseq and at.uidnext < row.uidnext:
            at = Covered(at.uidvalidity, self._add(row, at.uidnext), at.modseq)
            self._save(row, at)
        return at.modseq < row.highestmodseq or at.uidnext < row.uidnext

    def _save(self, row: MailboxRow, at: Covered) -> None:
        self._index.execute(
            "INSERT OR REPLACE INTO mailbox (id, uidvalidity, uidnext, modseq) VALUES (?, ?, ?, ?)",
            (row.id, at.uidvalidity, at.uidnext, at.modseq),
        )

    def _follow_expunges(self, row: MailboxRow, at: Covered) -> int:
        """Removes what was expunged; the MODSEQ that is reached."""
        if at.modseq < row.floor:
            self._sweep(row)
            return row.highestmodseq
        sql = (
            "SELECT uid, modseq FROM expunged WHERE mailbox=? AND modseq>?"
            " ORDER BY modseq, uid LIMIT ?"
        )
        found = list(schema.rows(self._mail, sql, row.id, at.modseq, GONE))
        self._remove([schema.summary_key(row.id, uid) for uid, _ in found if uid < at.uidnext])
        # The last MODSEQ may be cut in two; what is left of it is met by the next slice, unless
        # it fills a slice by itself: then its rows stay, which does no harm.
        if len(found) < GONE:
            return row.highestmodseq
        last: int = found[-1][1]
        return last - 1 if found[0][1] < last else last

    def _sweep(self, row: MailboxRow) -> None:
        """The list of expunges does not reach back: compares with the messages that are there."""
        low = schema.summary_key(row.id, 0)
        there = {uid for (uid,) in schema.messages(self._mail, row.id, None, "uid")}
        sql = "SELECT id FROM body_docsize WHERE id BETWEEN ? AND ?"
        keys = [key for (key,) in schema.rows(self._index, sql, low, low + 0xFFFFFFFF)]
        self._remove([key for key in keys if key - low not in there])

    def _add(self, row: MailboxRow, uidnext: int) -> int:
        """Indexes the next messages; the UID below which all are indexed."""
        directory = self._paths.mailbox(row.name)
        rows = self._next(row, uidnext)
        if self._mail.in_transaction:
            self._mail.execute("COMMIT")  # of a snapshot that is held for long, the log grows
        box = Box(str(self._paths.home), row.id, row.uidvalidity)
        known = self._kept.known(box, [one[0] for one in rows])
        for one in rows:
            text = known.get(one[0]) or _text(directory, one)
            self._put(schema.summary_key(row.id, one[0]), text)
            uidnext = one[0] + 1
        self._kept.forget(box, uidnext)
        self._gathered.save(self._index)
        return uidnext if self._is_full else row.uidnext

    @property
    def _is_full(self) -> bool:
        return self._messages <= 0 or self._bytes < 0

    def _next(self, row: MailboxRow, uidnext: int) -> list[schema.Row]:
        """The next messages of a mailbox that fit into the slice. None that are newer than `row`,
        for there may be no snapshot any more.
        """
        sql = f"{ROWS} WHERE mailbox=? AND uid>=? AND uid<? ORDER BY uid LIMIT ?"
        taken: list[schema.Row] = []
        if not self._is_full:
            values = row.id, uidnext, row.uidnext, self._messages
            for one in schema.rows(self._mail, sql, *values):
                taken.append(one)
                self._messages -= 1
                self._bytes -= one[3]
                if self._bytes < 0:
                    break
        return taken

    def _put(self, key: int, text: MessageText) -> None:
        for field, content in ((fulltext.HEADER, text.header or ""), (fulltext.BODY, text.body)):
            table = fulltext.FIELDS[field]
            sql = f"INSERT INTO {table} (rowid, text) VALUES (?, ?)"  # noqa: S608 - of FIELDS
            self._index.execute(sql, (key, content))
            self._gathered.add(key, field, content)
        if not text.is_sure:
            self._index.execute("INSERT OR REPLACE INTO unsure (key) VALUES (?)", (key,))
