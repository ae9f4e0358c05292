"""Whether the JSON files of an account say what its rows say.

They may differ after a power loss: a file is written before the commit that it goes with, or after
it without a sync. Looks only, changes nothing.
"""

from __future__ import annotations

import apsw

from rmail_kernel.errors import Corrupt
from rmail_kernel.storage.filesystem import tables
from rmail_kernel.storage.filesystem.disk import read_json
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.tables import AccountRow, MailboxRow, StatusFile, number


def is_agreed(db: apsw.Connection, paths: AccountPaths) -> bool:
    """Whether nothing is wrong with any of them."""
    if counter_faults(paths, tables.account_row(db)):
        return False
    return not any(status_faults(paths, row) for row in tables.mailbox_rows(db))


def status_faults(paths: AccountPaths, row: MailboxRow) -> list[str]:
    """What is wrong with the status.json of a mailbox."""
    try:
        raw = read_json(paths.mailbox(row.name) / "status.json")
    except Corrupt:
        return ["cannot be read"]
    if raw is None:
        return ["is missing"]
    status = StatusFile.of(raw)
    faults = []
    if (status.uidvalidity, status.id) != (row.uidvalidity, row.id):
        faults.append("belongs to another mailbox")
    if status.uid_reserved < row.uidnext and row.uidnext > 1:
        faults.append("does not cover the UIDs given out")
    if (status.keywords, status.special_use) != (row.keywords, row.special_use):
        faults.append("has other keywords or another special use")
    if status.is_subscribed != bool(row.subscribed):
        faults.append("has another subscription")
    return faults


def counter_faults(paths: AccountPaths, account: AccountRow) -> list[str]:
    """What is wrong with mail.json."""
    try:
        raw = read_json(paths.counters)
    except Corrupt:
        return ["cannot be read"]
    if raw is None:
        return ["is missing"]
    faults = []
    if (number(raw, "modseq_reserved") or 0) < account.modseq:
        faults.append("does not cover the MODSEQs given out")
    if (number(raw, "next_id") or 0) < account.next_id:
        faults.append("does not cover the mailbox ids given out")
    if (number(raw, "uid_validity") or 0) < account.uidvalidity:
        faults.append("does not cover the UIDVALIDITYs given out")
    return faults
