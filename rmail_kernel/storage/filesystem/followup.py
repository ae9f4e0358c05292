"""What files do after a commit: mailbox directories move, expunged files go, names take the flags.

The database says what is left to do (`pending_*`, `message.named`) until it is known to be on disk;
so a crash at any point is made good here, by the next batch, the settling pass or the next open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from rmail_kernel import failpoints
from rmail_kernel.storage.filesystem import keyword_file, schema, tables
from rmail_kernel.storage.filesystem.disk import sync_directory, temporary_name
from rmail_kernel.storage.filesystem.keyword_file import IN_NAMES
from rmail_kernel.storage.filesystem.layout import AccountPaths, shard_of, shard_path
from rmail_kernel.storage.filesystem.locate import Names, message_name, settled
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Rename, Transaction, Unlink, places

AT_ONCE = 100


def directories(tx: Transaction) -> None:
    """Renames and removes mailbox directories as committed. Idempotent."""
    todo = list(schema.rows(tx.db, "SELECT id, source, target FROM pending_directory ORDER BY id"))
    if todo:
        tx.mailboxes()
    for _, source, target in todo:
        old = tx.paths.mailboxes / source
        removed = temporary_name(tx.paths.temporary)
        new = removed if target is None else tx.paths.mailboxes / target
        if old.is_dir() and not new.exists():
            failpoints.reach("directory.before")
            old.rename(new)
        failpoints.reach("directory.after")
    if todo:
        sync_directory(tx.paths.mailboxes)
        tx.db.execute("DELETE FROM pending_directory WHERE id <= ?", (todo[-1][0],))


def files(paths: AccountPaths, unlinks: Iterable[Unlink], renames: Iterable[Rename]) -> None:
    """Removes and renames files at once; the database learns of it when the names are durable."""
    names = Names()
    for row, uid, word in unlinks:
        _unlink(names, str(paths.mailbox(row.name)), uid, word)
        failpoints.reach("expunge.unlinked")
    for row, uid, word, before in renames:
        _rename(names, str(paths.mailbox(row.name)), uid, word, before)
        failpoints.reach("flags.renamed")


def watched_files(tx: Transaction, unlinks: Sequence[Unlink], renames: Sequence[Rename]) -> None:
    """As `files`, in a transaction that notes the mtimes of the shards."""
    for row, uid in places(unlinks, renames):
        tx.shard(row, uid)
    files(tx.paths, unlinks, renames)


def _unlink(names: Names, mailbox: str, uid: int, word: int) -> None:
    """Removes the file of an expunged message."""
    try:
        os.unlink(message_name(mailbox, uid, word))  # noqa: PTH108 - there may be very many
    except FileNotFoundError:
        path = names.find(mailbox, uid)
        if path is not None:
            with suppress(FileNotFoundError):
                os.unlink(path)  # noqa: PTH108 - as above
    names.forget(mailbox, uid)


def _rename(names: Names, mailbox: str, uid: int, word: int, before: int) -> None:
    """Gives a file the name of its flags; `before`: those that its name may still have."""
    path = names.find(mailbox, uid, word, before)
    wanted = message_name(mailbox, uid, word)
    if path is not None and path != wanted:
        os.rename(path, wanted)  # noqa: PTH104 - as above
        names.forget(mailbox, uid)


def settle(tx: Transaction, limit: int) -> bool:
    """Does and closes up to `limit` pending unlinks and renames; whether some are left."""
    directories(tx)
    boxes: dict[int, MailboxRow | None] = {}

    def box(mailbox: int) -> MailboxRow | None:
        if mailbox not in boxes:
            boxes[mailbox] = tables.mailbox_row(tx.db, mailbox)
        return boxes[mailbox]

    gone = list(schema.rows(tx.db, "SELECT mailbox, uid, named FROM pending_unlink LIMIT ?", limit))
    unnamed = list(
        schema.rows(
            tx.db,
            "SELECT mailbox, uid, flags, named FROM message INDEXED BY message_unnamed"
            " WHERE named < 0 LIMIT ?",
            limit,
        )
    )
    unlinks = [(row, uid, settled(word)) for m, uid, word in gone if (row := box(m))]
    renames = [
        (row, uid, word, settled(named)) for m, uid, word, named in unnamed if (row := box(m))
    ]
    watched_files(tx, unlinks, renames)
    changed = places(unlinks, renames)
    _sync({shard_path(tx.paths.mailbox(row.name), shard_of(uid)) for row, uid in changed})
    told = {m for m, _, word, named in unnamed if (word | settled(named)) > IN_NAMES}
    for row in filter(None, map(box, told)):
        keyword_file.write(tx.db, tx.paths.mailbox(row.name), row, tx.owner)
    tx.db.executemany(
        "DELETE FROM pending_unlink WHERE mailbox=? AND uid=?", [(m, uid) for m, uid, _ in gone]
    )
    tx.db.executemany(
        "UPDATE message SET named = flags WHERE mailbox=? AND uid=?",
        [(m, uid) for m, uid, _, _ in unnamed],
    )
    return len(gone) == limit or len(unnamed) == limit


def _sync(shards: set[Path]) -> None:
    for shard in shards:
        if shard.is_dir():
            sync_directory(shard)
