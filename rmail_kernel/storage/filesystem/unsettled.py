"""Messages that are acknowledged while their files are not synced: until then account.db has them.

A small message is durable with the commit, in a row of `incoming`; its file is in the page cache.
No row goes before data, name and directory of its file are on disk. Functions block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from rmail_kernel import failpoints
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.digest import email_id
from rmail_kernel.storage.filesystem.disk import (
    sync_directory,
    sync_file,
    sync_filesystem,
    temporary_name,
    write_file,
)
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.locate import find_file, message_path, settled
from rmail_kernel.storage.filesystem.transaction import Transaction

SMALL_BYTES = 1 << 16
"""Larger messages are synced as files before their commit: they would be written twice."""
FEW = 16
"""So many files are synced one by one; for more, the whole file system is synced at once."""
_log = structlog.get_logger("rmail.storage")


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A message with a row in `incoming`."""

    key: int
    mailbox: str
    uid: int
    flags: int
    named: int
    date: int
    email: bytes | None  # EMAILID, where it is known

    def is_right(self, raw: bytes) -> bool:
        """Whether these bytes are known to be what came."""
        return self.email is not None and email_id(raw, self.date) == self.email

    def path(self, paths: AccountPaths) -> Path | None:
        """Its file, if it is there."""
        return find_file(paths.mailbox(self.mailbox), self.uid, self.flags, settled(self.named))


_LIST = (
    "SELECT incoming.key, mailbox.name, message.uid, message.flags, message.named,"
    " message.internal_date, digest.email FROM incoming"
    " CROSS JOIN message ON message.mailbox = incoming.key >> 32"
    " AND message.uid = incoming.key & 0xffffffff"
    " CROSS JOIN mailbox ON mailbox.id = message.mailbox"
    " LEFT JOIN digest ON digest.key = incoming.key ORDER BY incoming.key"
)


def keep(tx: Transaction, mailbox: int, uid: int, raw: bytes) -> None:
    """Makes a message durable with the commit."""
    tx.db.execute(
        "INSERT INTO incoming (key, content) VALUES (?, ?)",
        (schema.summary_key(mailbox, uid), raw),
    )


def forget(tx: Transaction, keys: Iterable[int]) -> None:
    """Drops rows: of messages that are settled or expunged."""
    tx.db.executemany("DELETE FROM incoming WHERE key=?", [(key,) for key in keys])


def listed(tx: Transaction) -> list[Unsettled]:
    """What is unsettled. Under the lock: the file of each has its name by then."""
    return [Unsettled(*row) for row in schema.rows(tx.db, _LIST)]


def sync(paths: AccountPaths, home: int, found: Sequence[Unsettled]) -> list[int]:
    """Makes files durable; the keys of those that are. Needs no lock: names only change by rename,
    and a file that is gone has its row removed by whoever removed it.

    Args:
        home: a descriptor on the file system of the account, open since before they were written:
            it is told of what could not be written meanwhile.

    Raises:
        OSError: the disk failed; all of them count as unsettled.
    """
    if len(found) > FEW:
        sync_filesystem(home)
        return [one.key for one in found]
    done: list[int] = []
    shards: set[Path] = set()
    for one in found:
        path = one.path(paths)
        if path is not None:
            try:
                sync_file(path)
            except FileNotFoundError:
                continue  # just renamed; the next pass finds it
            shards.add(path.parent)
            done.append(one.key)
    for shard in shards:
        sync_directory(shard)
    return done


def restore(tx: Transaction) -> None:
    """Puts right every file that is not what its row says: the process died before it had its
    name, or the power failed before it was on disk. Written durably.
    """
    _restore(tx, has=_has)


def rewrite(tx: Transaction) -> None:
    """Writes every file anew and durably: after a failed sync, what can be read from it is not
    what is on disk.
    """
    _restore(tx, has=lambda *_: False)


def _restore(tx: Transaction, has: Callable[[Path, bytes], bool]) -> None:
    count = 0
    for one in listed(tx):
        raw: bytes = schema.value(tx.db, "SELECT content FROM incoming WHERE key=?", one.key)
        path = one.path(tx.paths)
        if path is not None and has(path, raw):
            continue
        right = _right(one, path, raw)
        if path is not None and right is not raw and has(path, right):
            continue
        if tx.paths.mailbox(one.mailbox).is_dir():  # otherwise it was removed from outside
            _write(tx, one, path, right)
            count += 1
    if count:
        _log.info("unsettled messages were restored", path=str(tx.paths.home), count=count)


def _right(one: Unsettled, path: Path | None, raw: bytes) -> bytes:
    """What came: the bytes of the row, unless those of the file are known to be right and they are
    not. SQLite checks no sums of a log that others have open, so damage may come out of it.
    """
    if path is None or one.is_right(raw):
        return raw
    kept = path.read_bytes()
    return kept if one.is_right(kept) else raw


def _has(path: Path, raw: bytes) -> bool:
    return path.stat().st_size == len(raw) and path.read_bytes() == raw


def _write(tx: Transaction, one: Unsettled, path: Path | None, raw: bytes) -> None:
    row = tx.mailbox(one.key >> 32)
    tx.shard(row, one.uid)
    if path is None:
        path = message_path(tx.paths.mailbox(one.mailbox), one.uid, settled(one.named))
    date = schema.value(
        tx.db, "SELECT internal_date FROM message WHERE mailbox=? AND uid=?", row.id, one.uid
    )
    aside = temporary_name(tx.paths.temporary)
    write_file(aside, (raw,), tx.owner, mtime=date)
    aside.replace(path)
    failpoints.reach("restore.replaced")
    sync_directory(path.parent)
