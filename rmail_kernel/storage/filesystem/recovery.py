"""What the holder of the lock does for one that died: unfinished files go, commits are followed,
JSON files say again what the rows say.

Never removes a message whose row was committed, or a file that the dead holder did not announce.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import apsw

from rmail_kernel import failpoints
from rmail_kernel.storage.filesystem import agreement, followup, schema, tables, unsettled
from rmail_kernel.storage.filesystem.disk import temporary_name
from rmail_kernel.storage.filesystem.layout import (
    AccountPaths,
    mailbox_name,
    parse_file,
    shard_name,
    shard_of,
)
from rmail_kernel.storage.filesystem.lock import Intent
from rmail_kernel.storage.filesystem.rebuild import message_files, shards
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.filesystem.withdrawn import withdraw


def is_needed(db: apsw.Connection, paths: AccountPaths) -> bool:
    """Whether something is left over though no intent says so: the intent is not synced, so a power
    loss takes it away, while what the commit says is to be done is still to be done.
    """
    return schema.first(
        db, "SELECT 1 FROM pending_directory"
    ) is not None or not agreement.is_agreed(db, paths)


def recover(tx: Transaction, intents: Sequence[Intent]) -> None:
    """Removes announced files that have no row, completes pending directories and what is
    unsettled, and rewrites JSON files that differ from the rows.
    """
    for intent in intents:
        _remove_unknown(tx, intent)
    failpoints.reach("recovery.removed")
    # First of all: a directory with a new name to come was not made in vain.
    followup.directories(tx)
    for directory in {intent.directory for intent in intents if intent.is_directory}:
        _remove_unborn(tx, directory)
    unsettled.restore(tx)
    _agree(tx)


def _agree(tx: Transaction) -> None:
    for found in tables.mailbox_rows(tx.db):
        is_there = tx.paths.mailbox(found.name).is_dir()  # else it was removed from outside
        if is_there and agreement.status_faults(tx.paths, found):
            tx.write_status(tx.mailbox(found.id))
    if agreement.counter_faults(tx.paths, tx.account):
        tx.write_counters(durable=True)


def _remove_unknown(tx: Transaction, intent: Intent) -> None:
    name = mailbox_name(intent.directory)
    row = tables.mailbox_row(tx.db, name) if name is not None else None
    known = _known(tx, row.id, intent) if row is not None else set()
    for shard in range(shard_of(intent.first), shard_of(intent.last) + 1):
        directory = tx.paths.mailboxes / intent.directory / shard_name(shard)
        try:
            names = os.listdir(directory)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if row is not None:
            tx.shard(row, shard * 1000)
        for found in names:
            parsed = parse_file(found)
            if parsed and intent.first <= parsed[0] <= intent.last and parsed[0] not in known:
                number = row.id if row is not None else 0
                withdraw(tx.paths.temporary, number, parsed[0], directory / found)


def _remove_unborn(tx: Transaction, directory: str) -> None:
    """Takes away the directory of a mailbox whose making was not committed."""
    name = mailbox_name(directory)
    path = tx.mailboxes() / directory
    if name is None or tables.mailbox_row(tx.db, name) is not None or not path.is_dir():
        return
    if not any(True for _, shard in shards(path) for _ in message_files(shard)):
        path.rename(temporary_name(tx.paths.temporary))


def _known(tx: Transaction, mailbox: int, intent: Intent) -> set[int]:
    found = schema.rows(
        tx.db,
        "SELECT uid FROM message WHERE mailbox=? AND uid BETWEEN ? AND ?",
        mailbox,
        intent.first,
        intent.last,
    )
    return {uid for (uid,) in found}
