"""The pass that runs soon after changes: names catch up, JSON files are written, old records go.

Everything in it can be lost and is done again; it is committed without a sync of its own.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from rmail_kernel.storage.filesystem import followup, schema, tables
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.filesystem.withdrawn import kept_s

SLICE = 500
STATUS_LAG = 100
"""UIDs that status.json may be behind: its reserve counts, and each writing of it is synced."""
KEEP_OPS_S = 7 * 86_400
KEEP_EXPUNGED_S = 90 * 86_400
MAX_EXPUNGED = 100_000


def settle(tx: Transaction) -> bool:
    """One slice of the pass; whether more is left."""
    has_more = followup.settle(tx, SLICE)
    for row in tables.outdated_rows(tx.db, STATUS_LAG):
        tables.write_status(tx.paths.mailbox(row.name), row, tx.owner, durable=False)
        tables.save_mailbox(tx.db, row)
    tx.write_counters(durable=False)
    prune(tx)
    return has_more


def prune(tx: Transaction, max_expunged: int = MAX_EXPUNGED) -> None:
    """Forgets results of operations and expunges that are old, or too many in one mailbox."""
    tx.db.execute("DELETE FROM op WHERE at < ?", (tx.now - KEEP_OPS_S,))
    oldest = schema.value(tx.db, "SELECT min(at) FROM expunged")
    if oldest is None:
        return
    if oldest < tx.now - KEEP_EXPUNGED_S:
        for mailbox, modseq in list(
            schema.rows(
                tx.db,
                "SELECT mailbox, max(modseq) FROM expunged WHERE at < ? GROUP BY mailbox",
                tx.now - KEEP_EXPUNGED_S,
            )
        ):
            _forget(tx, mailbox, modseq)
    total = schema.value(tx.db, "SELECT count(*) FROM expunged")
    if total > max_expunged:
        for (mailbox,) in list(schema.rows(tx.db, "SELECT DISTINCT mailbox FROM expunged")):
            modseq = schema.value(
                tx.db,
                "SELECT modseq FROM expunged WHERE mailbox=? ORDER BY modseq DESC LIMIT 1 OFFSET ?",
                mailbox,
                max_expunged,
            )
            if modseq is not None:
                _forget(tx, mailbox, modseq)


def _forget(tx: Transaction, mailbox: int, modseq: int) -> None:
    """Drops expunges up to `modseq`; the floor says so (RFC 7162 3.2.5.1)."""
    tx.db.execute("DELETE FROM expunged WHERE mailbox=? AND modseq<=?", (mailbox, modseq))
    tx.db.execute("UPDATE mailbox SET floor=max(floor, ?) WHERE id=?", (modseq, mailbox))


def clean_temporary(directory: Path, now: float) -> None:
    """Removes deleted mailboxes, and what dead processes left over an hour ago, or recovery a day.

    Args:
        now: seconds since the epoch by the system's clock, which stamps the files.
    """
    for path in directory.iterdir() if directory.is_dir() else ():
        try:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif _is_old(path, now):
                path.unlink(missing_ok=True)
        except FileNotFoundError:
            continue


def leftovers(paths: AccountPaths, now: float) -> list[Path]:
    """What dead processes left over an hour ago, also beside the JSON files (fsck)."""
    found = [
        *paths.temporary.glob("*"),
        *paths.home.glob(".mail.json.*"),
        *paths.mailboxes.glob("*/.status.json.*"),
    ]
    return sorted(path for path in found if path.is_file() and _is_old(path, now))


def _is_old(path: Path, now: float) -> bool:
    try:
        # Not the mtime, which is the date of the message.
        return path.stat().st_ctime < now - kept_s(path.name)
    except FileNotFoundError:
        return False
