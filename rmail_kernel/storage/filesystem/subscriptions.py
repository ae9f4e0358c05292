"""Subscribed names that no mailbox has, beside mail.json: a subscription is of a name, and outlives
the mailbox. They are in no database, so they outlive it.

A name in the file that a mailbox has means nothing: then its row counts. RFC 9051 6.3.6, 6.3.7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from rmail_kernel import failpoints
from rmail_kernel.errors import Corrupt
from rmail_kernel.storage.filesystem.disk import read_json, write_json
from rmail_kernel.storage.filesystem.layout import AccountPaths
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.mail import MAX_ABSENT_SUBSCRIPTIONS

VERSION: Final = 1
FIELD: Final = "names"


def account_file(paths: AccountPaths) -> Path:
    """Where the names of an account are."""
    return paths.home / "subscriptions.json"


def kept(paths: AccountPaths) -> list[str]:
    """The names in the file, oldest first; none when it cannot be read."""
    try:
        found = (read_json(account_file(paths)) or {}).get(FIELD)
    except Corrupt:
        return []
    return [name for name in found if isinstance(name, str)] if isinstance(found, list) else []


def subscribed(rows: Iterable[MailboxRow], names: Iterable[str]) -> list[str]:
    """All subscribed names, sorted; `names`: those kept."""
    are_subscribed = {row.name: bool(row.subscribed) for row in rows}
    absent = {name for name in names if name not in are_subscribed}
    return sorted(absent | {name for name, subscribed in are_subscribed.items() if subscribed})


def keep(tx: Transaction, changes: Mapping[str, bool]) -> None:
    """Has the file hold these names, or not, before the commit: until then, and when it fails,
    mailboxes have the names, and nothing has changed.
    """
    before = kept(tx.paths)
    names = [name for name in before if changes.get(name, True)]
    names += [name for name, is_kept in changes.items() if is_kept and name not in before]
    names = names[-MAX_ABSENT_SUBSCRIPTIONS:]
    if names == before:
        return
    value = {"version": VERSION, FIELD: names}
    write_json(account_file(tx.paths), value, tx.owner, durable=True)
    failpoints.reach("subscriptions.written")
