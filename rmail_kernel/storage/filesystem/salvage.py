"""What a database knows and its files do not yet, completed before it is set aside: messages that
became durable with their rows, flags and expunges that had been answered.

Reads any version of account.db, also a damaged one. Of a damaged one it believes only what does no
harm where it is wrong; of one that is older than the files, nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import apsw
import structlog

from rmail_kernel.storage.filesystem import keyword_file, schema, tables
from rmail_kernel.storage.filesystem.digest import email_id
from rmail_kernel.storage.filesystem.disk import (
    Owner,
    make_directory,
    sync_filesystem,
    temporary_name,
    write_file,
)
from rmail_kernel.storage.filesystem.keyword_file import IN_NAMES
from rmail_kernel.storage.filesystem.layout import AccountPaths, directory_name
from rmail_kernel.storage.filesystem.locate import find_file, message_path, settled

_log = structlog.get_logger("rmail.storage")
_BUSY_MS = 1000
_UNREADABLE = (apsw.Error, ValueError, TypeError)
"""Damage also shows as text that is no UTF-8, or a value of another type."""


@dataclass(frozen=True, slots=True)
class _Old:
    """The database that is going to be set aside."""

    db: apsw.Connection
    paths: AccountPaths
    owner: Owner

    def mailbox(self, name: object) -> Path | None:
        """The directory of a mailbox, if it is there."""
        if not isinstance(name, str):
            return None
        path = self.paths.mailboxes / directory_name(name)
        return path if path.is_dir() else None


def salvage(paths: AccountPaths, owner: Owner, committed_modseq: int) -> None:
    """Has the files say what the database says. The caller holds the account's lock.

    Args:
        committed_modseq: of mail.json; a database below it is an old copy.

    Raises:
        OSError: a file could not be written; the database must not be set aside then.
    """
    try:
        db = apsw.Connection(str(paths.database), flags=apsw.SQLITE_OPEN_READWRITE)
    except apsw.Error:
        return
    try:
        db.set_busy_timeout(_BUSY_MS)
        salvage_open(db, paths, owner, committed_modseq)
    finally:
        db.close()


def salvage_open(
    db: apsw.Connection, paths: AccountPaths, owner: Owner, committed_modseq: int
) -> None:
    """As `salvage`, from a connection: its file may have been deleted under it."""
    try:
        if (schema.value(db, "SELECT modseq FROM account") or 0) < committed_modseq:
            return
        is_sound = schema.value(db, "PRAGMA quick_check(1)") == "ok"
    except _UNREADABLE:
        is_sound = False
    _complete(_Old(db, paths, owner), is_sound=is_sound)


def _complete(old: _Old, *, is_sound: bool) -> None:
    steps: list[Callable[[_Old], int]] = [_directories, _expunges] if is_sound else []
    has_done = False
    for step in (*steps, _flags, _messages if is_sound else _missing_messages):
        try:
            count = step(old)
        except _UNREADABLE as error:
            _log.warning("a database could not be read whole", error=str(error))
            continue
        if count:
            has_done = True
            _log.info("taken from the old database", what=step.__name__.strip("_"), count=count)
    if has_done:  # on disk before the database goes
        fd = os.open(old.paths.home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            sync_filesystem(fd)
        finally:
            os.close(fd)


def _directories(old: _Old) -> int:
    """Mailboxes that were renamed or deleted."""
    sql = "SELECT source, target FROM pending_directory ORDER BY id"
    found = list(schema.rows(old.db, sql))
    for source, target in found:
        path = old.paths.mailboxes / source
        new = old.paths.mailboxes / target if target else temporary_name(old.paths.temporary)
        if path.is_dir() and not new.exists():
            path.rename(new)
    return len(found)


def _expunges(old: _Old) -> int:
    sql = (
        "SELECT mailbox.name, pending_unlink.uid, pending_unlink.named"
        " FROM pending_unlink JOIN mailbox"
        " ON mailbox.id = pending_unlink.mailbox"
    )
    found = list(schema.rows(old.db, sql))
    for name, uid, named in found:
        mailbox = old.mailbox(name)
        path = find_file(mailbox, uid, settled(named)) if mailbox else None
        if path is not None:
            path.unlink(missing_ok=True)
    return len(found)


def _flags(old: _Old) -> int:
    """Changes of flags that no file name tells yet."""
    sql = (
        "SELECT mailbox.name, message.uid, message.flags, message.named FROM message JOIN mailbox"
        " ON mailbox.id = message.mailbox WHERE message.named < 0"
    )
    found = list(schema.rows(old.db, sql))
    for name, uid, flags, named in found:
        mailbox = old.mailbox(name)
        path = find_file(mailbox, uid, flags, settled(named)) if mailbox else None
        if path is not None and mailbox is not None:
            path.rename(message_path(mailbox, uid, flags))
    for name in {name for name, _, flags, named in found if flags | settled(named) > IN_NAMES}:
        _keywords(old, name)
    return len(found)


def _keywords(old: _Old, name: object) -> None:
    mailbox = old.mailbox(name)
    row = tables.mailbox_row(old.db, str(name))
    if mailbox is not None and row is not None:
        keyword_file.write(old.db, mailbox, row, old.owner)


def _messages(old: _Old) -> int:
    return _incoming(old, lambda path, raw: path.read_bytes() == raw)


def _missing_messages(old: _Old) -> int:
    """Of a damaged database: a file of the right size is believed rather than the row."""
    return _incoming(old, lambda path, raw: path.stat().st_size == len(raw))


def _incoming(old: _Old, is_right: Callable[[Path, bytes], bool]) -> int:
    """Messages that may not be on disk: whole in their rows."""
    if not schema.value(old.db, "SELECT 1 FROM sqlite_schema WHERE name='incoming'"):
        return 0  # version 1 synced files
    sql = (
        "SELECT mailbox.name, message.uid, message.flags, message.internal_date,"
        " message.size_bytes, incoming.content, incoming.key FROM incoming"
        " JOIN message ON message.mailbox = incoming.key >> 32"
        " AND message.uid = incoming.key & 0xffffffff"
        " JOIN mailbox ON mailbox.id = message.mailbox"
    )
    count = 0
    for name, uid, flags, date, size, raw, key in schema.rows(old.db, sql):
        mailbox = old.mailbox(name)
        if mailbox is None or len(raw) != size:
            continue
        path = find_file(mailbox, uid, flags)
        if path is None or not (is_right(path, raw) or _is_damaged(old, key, raw, date)):
            _write(old, path or message_path(mailbox, uid, flags), raw, date)
            count += 1
    return count


def _is_damaged(old: _Old, key: int, raw: bytes, date: int) -> bool:
    """Whether the bytes of a row are known not to be what came."""
    if not schema.value(old.db, "SELECT 1 FROM sqlite_schema WHERE name='digest'"):
        return False  # versions 1 and 2 had none
    known = schema.value(old.db, "SELECT email FROM digest WHERE key=?", key)
    return known is not None and known != email_id(raw, date)


def _write(old: _Old, path: Path, raw: bytes, date: int) -> None:
    make_directory(path.parent, old.owner)
    make_directory(old.paths.temporary, old.owner)
    aside = temporary_name(old.paths.temporary)
    write_file(aside, (raw,), old.owner, mtime=date)
    aside.replace(path)
