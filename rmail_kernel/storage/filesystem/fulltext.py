"""The full-text index of one account, search.db: what its tables are, and what it tells a search.

It is disposable: missing, damaged or of another version it tells nothing, and is made anew. A
message is found in it by mailbox and UID, which are never used twice; rows of messages that are
gone do no harm.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import threading
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import apsw
import orjson
import structlog

from rmail_kernel import failpoints
from rmail_kernel.casemap import casemap
from rmail_kernel.storage.evaluate import ADDRESS_FIELDS
from rmail_kernel.storage.filesystem import schema, shortgrams
from rmail_kernel.storage.filesystem.disk import FILE_MODE, Owner
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.mail import MailboxView
from rmail_kernel.storage.narrowing import NOTHING, Foreknown, Split
from rmail_kernel.storage.search import Body, Header, SearchNode, Text

_log = structlog.get_logger("rmail.storage")
VERSION: Final = 3
"""Rises with the tables, and with everything that changes what text a message has."""
SEPARATOR: Final = "\x1f"
"""Stands twice behind every text, so that a text's last characters begin a trigram as well."""
MAX_NEEDLE_CHARS: Final = 64
"""Of a longer text only the beginning is looked up; what has it is looked at."""
GRAM: Final = 3
"""Characters of an entry; shorter texts are found through all entries that begin with them."""
_BUSY_MS: Final = 1000
# What the tokenizer does not keep apart (it ends at NUL, and takes these for U+FFFD), what has no
# UTF-8, and the separator.
_UNSAFE: Final = re.compile("[\0\x1f\ud800-\udfff\ufffe\uffff]")
_LAST: Final = "\U0010ffff"

# Without the texts themselves; with positions, so that a phrase of trigrams is a substring. Two
# tables: in one of two columns, a search of one column takes twice as long.
TABLES: Final = (
    """
CREATE VIRTUAL TABLE header USING fts5(
  text, content='', contentless_delete=1, tokenize='trigram case_sensitive 1');
CREATE VIRTUAL TABLE body USING fts5(
  text, content='', contentless_delete=1, tokenize='trigram case_sensitive 1');
"""
    + shortgrams.TABLE
    + """
CREATE TABLE mailbox (
  id INTEGER PRIMARY KEY, uidvalidity INTEGER NOT NULL, uidnext INTEGER NOT NULL,
  modseq INTEGER NOT NULL);
CREATE TABLE unsure (key INTEGER PRIMARY KEY);
CREATE TABLE made (unicode TEXT NOT NULL);
"""
)
HEADER: Final = 0
BODY: Final = 1
FIELDS: Final = ("header", "body")
# Each place of each trigram, for texts that are shorter than one.
_PLACES: Final = """
CREATE VIRTUAL TABLE temp.header_place USING fts5vocab(main, header, instance);
CREATE VIRTUAL TABLE temp.body_place USING fts5vocab(main, body, instance);
"""


@dataclass(frozen=True, slots=True)
class Covered:
    """How far a mailbox is indexed: UIDs below `uidnext`; expunges up to `modseq` are followed."""

    uidvalidity: int
    uidnext: int
    modseq: int


def joined(texts: Iterable[str]) -> str:
    """Texts as one column: nothing that can be asked for reaches from one into the next."""
    return "".join(_safe(text) + SEPARATOR * 2 for text in texts)


def _safe(text: str) -> str:
    """Most texts are, and are found to be so ten times as quickly as a pattern does."""
    if "\0" in text or SEPARATOR in text:
        return _UNSAFE.sub(SEPARATOR, text)
    if text.isascii():
        return text
    if "\ufffe" not in text and "\uffff" not in text:
        with suppress(UnicodeEncodeError):  # a lone surrogate
            text.encode()
            return text
    return _UNSAFE.sub(SEPARATOR, text)


def is_safe(needle: str) -> bool:
    """Whether a text stands in `joined` wherever it stands in a message."""
    return _UNSAFE.search(needle) is None


def connect(path: Path) -> apsw.Connection:
    """A connection to an index that exists.

    Raises:
        apsw.Error: it cannot be opened or is no database.
        apsw.CorruptError: it is of another version, or made with other tables of Unicode.
    """
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        db.set_busy_timeout(_BUSY_MS)
        if schema.value(db, "PRAGMA user_version") != VERSION:
            raise apsw.CorruptError("another version")
        if schema.value(db, "SELECT unicode FROM made") != unicodedata.unidata_version:
            raise apsw.CorruptError("another version of Unicode")
        db.execute("PRAGMA synchronous=NORMAL")
        db.execute("PRAGMA cache_size=-16000")
        db.execute(_PLACES)
    except BaseException:
        db.close()
        raise
    return db


def create(paths: AccountPaths, owner: Owner) -> None:
    """Makes an empty index where there is none; there is no half of one at any time."""
    aside = paths.index.with_name(f"{paths.index.name}.new")
    _remove(aside)
    aside.touch(FILE_MODE)
    owner.take(aside)
    db = apsw.Connection(str(aside))
    try:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("BEGIN IMMEDIATE")
        db.execute(TABLES)
        db.execute("INSERT INTO made (unicode) VALUES (?)", (unicodedata.unidata_version,))
        db.execute(f"PRAGMA user_version={VERSION}")
        db.execute("COMMIT")
    finally:
        db.close()
    failpoints.reach("index.made")
    aside.replace(paths.index)


def remove(paths: AccountPaths) -> None:
    """Removes the index; whoever has it open notices at the next use. Under `locked`."""
    _remove(paths.index)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-journal", "-texts"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def locked(paths: AccountPaths, owner: Owner, *, wait: bool) -> Iterator[bool]:
    """Whether this process may change the index meanwhile."""
    fd = os.open(paths.index_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    try:
        owner.take(fd)
        yield _lock(fd, wait=wait)
    finally:
        os.close(fd)


def _lock(fd: int, *, wait: bool) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True


def discard(paths: AccountPaths, owner: Owner) -> None:
    """Removes the index, if there is one, beside others that use it."""
    if paths.index.exists():
        with locked(paths, owner, wait=True):
            remove(paths)


def covered(db: apsw.Connection, mailbox: int) -> Covered | None:
    """How far a mailbox is indexed; None: not at all."""
    sql = "SELECT uidvalidity, uidnext, modseq FROM mailbox WHERE id=?"
    found = schema.first(db, sql, mailbox)
    return Covered(*found) if found else None


def inode(path: Path) -> tuple[int, int] | None:
    """Which file a path is now; None: there is none."""
    with suppress(FileNotFoundError, NotADirectoryError):
        stat = path.stat()
        return stat.st_dev, stat.st_ino
    return None


class Index:
    """The index as searches of one process use it; one thread at a time."""

    def __init__(self, paths: AccountPaths) -> None:
        self._path = paths.index
        self._lock = threading.Lock()
        self._db: apsw.Connection | None = None
        self._inode: tuple[int, int] | None = None
        self._generation = object()
        self.reaches: dict[int, int] = {}  # by mailbox, the UID below which it has all
        self.is_missing = False
        self.is_damaged = False  # the next indexing is to begin anew
        self.behind = 0  # messages that it lacked when it was asked last
        self.reading = asyncio.Lock()  # of texts that it lacks: by one at a time
        self.readers = 0  # searches that read them now
        self.seen: dict[int, int] = {}  # by mailbox, UIDNEXT when it was last looked at

    def foreknow(self, view: MailboxView, conditions: Iterable[SearchNode]) -> Foreknown:
        """What the index tells of conditions on text. Blocks."""
        with self._lock:
            try:
                db = self._open()
                if db is None:
                    return {}
                found, reach = _foreknow(db, view, conditions)
                self.reaches[view.mailbox] = reach
                self.behind = view.total - bisect_left(view.uids, reach, 0, view.total)
                return found
            except apsw.Error as error:
                _log.warning("search.db cannot be read", path=str(self._path), error=str(error))
                self._close()
                self.is_damaged = not isinstance(error, apsw.BusyError)
                return {}

    def reach(self, mailbox: int, uidvalidity: int) -> int:
        """The UID below which it has all messages of a mailbox. Blocks."""
        with self._lock:
            try:
                db = self._open()
                at = None if db is None else covered(db, mailbox)
            except apsw.Error:  # a search will tell
                self._close()
                return 0
            return at.uidnext if at is not None and at.uidvalidity == uidvalidity else 0

    @property
    def generation(self) -> object | None:
        """What stands for the file that is in use, or for none; None: it is another one by now."""
        if self._inode is None or inode(self._path) == self._inode:
            return self._generation
        return None

    def _open(self) -> apsw.Connection | None:
        now = inode(self._path)
        self.is_missing = now is None
        if self._db is not None and now != self._inode:
            self._close()
        if self._db is None and now is not None:
            self._db, self._inode = connect(self._path), now
        return self._db

    def rest(self) -> None:
        """Gives back what it holds in memory. Blocks."""
        with self._lock:
            if self._db is not None:
                self._db.release_memory()

    def close(self) -> None:
        """Closes it; the next use opens it again."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._db is not None:
            self._db.close()
            self._generation = object()
        self._db = self._inode = None


def _foreknow(
    db: apsw.Connection, view: MailboxView, conditions: Iterable[SearchNode]
) -> tuple[dict[SearchNode, Split], int]:
    """What it tells, and below which UID it has all messages."""
    db.execute("BEGIN")
    try:
        reach = covered(db, view.mailbox)
        if reach is None or reach.uidvalidity != view.uidvalidity:
            return {}, 0
        low = schema.summary_key(view.mailbox, 0)
        sql = "SELECT json_group_array(key - ?1) FROM unsure WHERE key BETWEEN ?1 AND ?1 + ?2"
        unsure: list[int] = orjson.loads(schema.value(db, sql, low, 0xFFFFFFFF))
        start = bisect_left(view.uids, reach.uidnext, 0, view.total)
        open_ = set(view.uids[start : view.total]).union(unsure)
        found = ((one, _look_up(db, low, one, open_)) for one in conditions)
        told = {condition: one for condition, one in found if one is not None}
        return told, reach.uidnext
    finally:
        db.execute("ROLLBACK")


def _look_up(db: apsw.Connection, low: int, condition: SearchNode, open_: set[int]) -> Split | None:
    """None: the index cannot tell."""
    match condition:
        case Body(text):
            return _split(_hits(db, low, (BODY,), casemap(text)), casemap(text), open_)
        case Text(text):
            return _split(_hits(db, low, (HEADER, BODY), casemap(text)), casemap(text), open_)
        case Header() if is_address_text(condition):
            return None
        case Header(_, text):
            # The text may stand in another field: what has it is looked at.
            hits = _hits(db, low, (HEADER,), casemap(text))
            return None if hits is None else Split(NOTHING, hits | open_)
        case _:
            return None


def is_address_text(condition: Header) -> bool:
    """Whether text is asked for that the header need not have as it is: comments may stand in an
    address (RFC 5322 3.4.1).
    """
    name = condition.name.lower().encode("utf-8", "replace")
    return "@" in condition.text and name in ADDRESS_FIELDS


def _split(hits: set[int] | None, needle: str, open_: set[int]) -> Split | None:
    if hits is None:
        return None
    if len(needle) > MAX_NEEDLE_CHARS:
        return Split(NOTHING, hits | open_)
    return Split(hits, open_ - hits if open_ else NOTHING)


def _hits(db: apsw.Connection, low: int, fields: tuple[int, ...], needle: str) -> set[int] | None:
    needle = needle[:MAX_NEEDLE_CHARS]
    if not needle or not is_safe(needle):
        return None
    if shortgrams.is_kept(needle):
        return shortgrams.uids_with(db, low, fields, needle)
    found: set[int] = set()
    for field in fields:
        found.update(_in_field(db, low, FIELDS[field], needle))
    return found


def _in_field(db: apsw.Connection, low: int, table: str, needle: str) -> list[int]:
    if len(needle) >= GRAM:
        sql = (
            f"SELECT json_group_array(rowid - ?1) FROM {table}"  # noqa: S608 - of FIELDS
            f" WHERE {table} MATCH ?3 AND rowid BETWEEN ?1 AND ?1 + ?2"
        )
        phrase = needle.replace('"', '""')
        terms: tuple[str, ...] = (f'"{phrase}"',)
    else:
        sql = (
            f"SELECT json_group_array(DISTINCT doc - ?1) FROM {table}_place"  # noqa: S608 - of FIELDS
            " WHERE term >= ?3 AND term <= ?4 AND doc BETWEEN ?1 AND ?1 + ?2"
        )
        terms = needle, needle + _LAST * (GRAM - len(needle))
    found: list[int] = orjson.loads(schema.value(db, sql, low, 0xFFFFFFFF, *terms))
    return found
