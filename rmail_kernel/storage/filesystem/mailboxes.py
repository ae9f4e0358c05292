"""Making, renaming, deleting and subscribing mailboxes. RFC 9051 6.3.4 to 6.3.8, RFC 6154."""

from __future__ import annotations

from collections.abc import Sequence

from rmail_kernel import failpoints
from rmail_kernel.errors import Conflict, Invalid, LimitReached, NotFound
from rmail_kernel.storage.filesystem import annotating, schema, subscriptions, tables
from rmail_kernel.storage.filesystem.copying import move
from rmail_kernel.storage.filesystem.disk import make_directory
from rmail_kernel.storage.filesystem.expunging import forget_mailbox
from rmail_kernel.storage.filesystem.layout import canonical, canonical_new, directory_name, parents
from rmail_kernel.storage.filesystem.rebuild import new_row
from rmail_kernel.storage.filesystem.special_uses import free_use
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.mail import MAX_MAILBOXES


def create(tx: Transaction, name: str, special_use: str | None = None) -> MailboxRow:
    """Makes a mailbox and its missing parents; see MailStore.create."""
    name = canonical_new(name)
    if special_use is not None:
        special_use = free_use(tx, special_use)
    _make_room(tx, [name], made=1)
    return _make(tx, name, special_use)


def _make_room(tx: Transaction, names: Sequence[str], *, made: int = 0) -> None:
    """Makes sure that none of the names is taken, and makes the parents of the first.

    Args:
        made: how many of the names are those of new mailboxes.
    """
    from rmail_kernel.storage.filesystem.outside import take_mailboxes

    if any(tx.paths.mailbox(name).exists() and tx.find(name) is None for name in names):
        take_mailboxes(tx)  # a directory that somebody put there is a mailbox
    for name in names:
        if tx.find(name) is not None:
            raise Conflict("The mailbox exists", mailbox=name)
    missing = [parent for parent in parents(names[0]) if tx.find(parent) is None]
    if missing or made:
        tx.flush()
        there = schema.value(tx.db, "SELECT count(*) FROM mailbox")
        if there + len(missing) + made > MAX_MAILBOXES:
            raise LimitReached(f"An account has at most {MAX_MAILBOXES} mailboxes")
    for parent in missing:
        _make(tx, parent, None)


def _make(tx: Transaction, name: str, special_use: str | None) -> MailboxRow:
    row = new_row(tx.account, name, tx.now, special_use=special_use)
    tx.write_counters(durable=True)
    if name in subscriptions.kept(tx.paths):
        row.subscribed = 1
    directory = tx.mailboxes() / directory_name(name)
    tx.intend_mailbox(name)
    make_directory(directory, tx.owner)
    tx.made(directory)
    tx.write_status(row)
    failpoints.reach("create.made")
    tx.track(row)
    modseq = tx.next_modseq()
    row.floor = 0
    tx.touched(row, modseq)
    return row


def subscribe(tx: Transaction, name: str, subscribed: bool) -> None:
    """Sets or clears the subscription; see MailStore.subscribe."""
    row = tx.find(name)
    if row is None:
        _subscribe_absent(tx, name, subscribed)
        return
    if not subscribed:
        subscriptions.keep(tx, {row.name: False})
    if bool(row.subscribed) != subscribed:
        row.subscribed = int(subscribed)
        tx.write_status(row)
        tx.changes[row.id] = row.highestmodseq


def _subscribe_absent(tx: Transaction, name: str, subscribed: bool) -> None:
    name = canonical(name)
    if name not in subscriptions.kept(tx.paths):
        raise NotFound("No such mailbox", mailbox=name)
    if not subscribed:
        subscriptions.keep(tx, {name: False})
        tx.changes[0] = tx.account.modseq


def rename(tx: Transaction, old: str, new: str) -> None:
    """Renames a mailbox, or a name that is only a level above mailboxes, with its children; INBOX
    moves its messages instead (RFC 9051 6.3.6).

    Raises:
        Invalid: it cannot go there. Conflict: the new name is taken. NotFound: there is none.
    """
    row, new = tx.find(old), canonical_new(new)
    if row is not None and row.name == "INBOX":
        _move_inbox(tx, row, new)
        return
    names = _renamed(tx, old, row, new)
    _make_room(tx, list(dict.fromkeys((new, *names.values()))))
    modseq = tx.next_modseq()
    # RFC 9051 6.3.6: the old name stays subscribed; that the new one is, too, hides no mail.
    kept = subscriptions.kept(tx.paths)
    subscriptions.keep(tx, {before: bool(tx.mailbox(before).subscribed) for before in names})
    for before, after in names.items():
        found = tx.mailbox(before)
        if after in kept and not found.subscribed:
            found.subscribed = 1
            tx.write_status(found)
        found.name = after
        tx.intend_directory(directory_name(before), directory_name(after))
        tx.changes[found.id] = modseq


def _renamed(tx: Transaction, old: str, row: MailboxRow | None, new: str) -> dict[str, str]:
    """The names that change, and what they become."""
    names = {} if row is None else {row.name: new}
    prefix = f"{_level(old) if row is None else row.name}/"
    if new == "INBOX" or new.startswith(prefix):
        raise Invalid("A mailbox cannot go there", mailbox=new)
    for child in tables.mailbox_rows(tx.db):
        if child.name.startswith(prefix):
            names[child.name] = canonical(f"{new}/{child.name.removeprefix(prefix)}")
    if not names:
        raise NotFound("No such mailbox", mailbox=old)
    return names


def _level(name: str) -> str:
    try:
        return canonical(name)
    except Invalid as error:
        raise NotFound("No such mailbox", mailbox=name) from error


def _move_inbox(tx: Transaction, inbox: MailboxRow, new: str) -> None:
    # RFC 5464 4.1: its annotations are copied, and stay where they are
    annotating.copy(tx, inbox, create(tx, new))
    uids = [uid for (uid,) in schema.messages(tx.db, inbox.id, None, "uid")]
    move(tx, inbox.id, uids, new, None)


def delete(tx: Transaction, name: str) -> None:
    """Deletes a mailbox and its messages; children stay (RFC 9051 6.3.5).

    Raises:
        Invalid: it is INBOX. NotFound: there is none.
    """
    row = tx.mailbox(name)
    if row.name == "INBOX":
        raise Invalid("INBOX cannot be deleted")
    # RFC 9051 6.3.7: a name stays subscribed even if its mailbox no longer exists.
    subscriptions.keep(tx, {row.name: bool(row.subscribed)})
    forget_mailbox(tx, row)
    tx.intend_directory(directory_name(row.name), None)
