"""Flags by name and as bits: what a mailbox's keyword table can hold, and changes of flags.

RFC 9051 2.3.2, RFC 7162 3.1.3 (UNCHANGEDSINCE).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from rmail_kernel.errors import Invalid, LimitReached
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.keyword_file import IN_NAMES
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Transaction
from rmail_kernel.storage.ids import ModSeq, Uid
from rmail_kernel.storage.mail import (
    FIRST_KEYWORD_BIT,
    LETTER_KEYWORDS,
    MAX_KEYWORDS,
    SYSTEM_FLAGS,
    Changed,
    Flag,
    StoreResult,
)

FlagOp = Literal["set", "add", "remove"]
_Change = tuple[int, int, int, int]  # UID, flags, what `named` becomes, the flags before
_SYSTEM = {name.lower(): int(bit) for name, bit in SYSTEM_FLAGS.items()}
_SEEN, _DELETED = int(Flag.SEEN), int(Flag.DELETED)
# RFC 9051 9: flag-keyword is an atom; the length bound is ours.
_KEYWORD = re.compile(r"[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]{1,100}\Z")


def word_of(tx: Transaction, row: MailboxRow, names: Iterable[str], *, add: bool = True) -> int:
    """The flag word of some names; unknown keywords enter the table, or are left out without `add`.

    Raises:
        Invalid: not a flag that can be stored, or the table is full.
    """
    word = 0
    missing = []
    for name in sorted(names):
        bit = _bit(row, name)
        word |= bit
        if not bit:
            missing.append(name)
    if missing and add:
        for name in missing:
            word |= _bit(row, name) or _add_keyword(tx, row, name, word)
        # The letters must be known before a file bears them.
        tx.write_status(row)
    return word


def _bit(row: MailboxRow, name: str) -> int:
    if name.startswith("\\"):
        try:
            return _SYSTEM[name.lower()]
        except KeyError:
            raise Invalid("Not a flag that can be stored", flag=name) from None
    if not _KEYWORD.match(name):
        raise Invalid("Not a keyword", flag=name)
    wanted = name.lower()  # RFC 9051 2.3.2: keywords compare without case
    for index, keyword in enumerate(row.keywords):
        if keyword.lower() == wanted:
            return 1 << (FIRST_KEYWORD_BIT + index)
    return 0


def _add_keyword(tx: Transaction, row: MailboxRow, name: str, taken: int) -> int:
    """The bit of a new keyword; `taken` are bits that this very change uses."""
    index = len(row.keywords)
    unused = None if index < LETTER_KEYWORDS else _unused(tx, row, taken)
    if unused is None:
        if index >= MAX_KEYWORDS:
            raise LimitReached(f"A mailbox has at most {MAX_KEYWORDS} keywords", mailbox=row.name)
        row.keywords = (*row.keywords, name)
    else:
        index = unused
        row.keywords = (*row.keywords[:index], name, *row.keywords[index + 1 :])
    return 1 << (FIRST_KEYWORD_BIT + index)


def _unused(tx: Transaction, row: MailboxRow, taken: int) -> int | None:
    """A place of the table that no message uses, also not in a name that lags behind."""
    used = taken
    found = schema.rows(
        tx.db,
        "SELECT DISTINCT CASE WHEN named < 0 THEN flags | ~named ELSE flags END"
        " FROM message WHERE mailbox=?",
        row.id,
    )
    for (word,) in found:
        used |= word
    for index in range(len(row.keywords)):
        if not used >> (FIRST_KEYWORD_BIT + index) & 1:
            return index
    return None


def store_flags(
    tx: Transaction,
    mailbox: int,
    uids: Sequence[int],
    op: FlagOp,
    names: frozenset[str],
    unchanged_since: int | None,
) -> StoreResult:
    """Changes flags; see MailStore.store_flags."""
    row = tx.mailbox(mailbox)
    found = list(schema.messages(tx.db, row.id, uids, "uid, flags, modseq, named"))
    failed: list[Uid] = []
    if unchanged_since is not None:
        failed = [Uid(uid) for uid, _, modseq, _ in found if modseq > unchanged_since]
        found = [one for one in found if one[2] <= unchanged_since]
    # A keyword that no message gets is not defined (RFC 7162 3.1.3: nothing was performed).
    change = word_of(tx, row, names, add=op != "remove" and bool(found))
    changed: list[_Change] = []
    for uid, flags, _, named in found:
        wanted = applied(flags, op, change)
        if wanted != flags:
            changed.append((uid, wanted, named if named < 0 else ~named, flags))
            count(row, flags, -1)
            count(row, wanted, 1)
    return _stored(tx, row, changed, failed)


def _stored(
    tx: Transaction, row: MailboxRow, changed: list[_Change], failed: list[Uid]
) -> StoreResult:
    if not changed:
        return StoreResult(ModSeq(row.highestmodseq), [], failed, row.keywords)
    modseq = tx.next_modseq()
    tx.db.executemany(
        "UPDATE message SET flags=?, named=?, modseq=? WHERE mailbox=? AND uid=?",
        [(flags, named, modseq, row.id, uid) for uid, flags, named, _ in changed],
    )
    tx.renames += [(row, uid, flags, before) for uid, flags, _, before in changed]
    tx.touched(row, modseq)
    found = [Changed(Uid(uid), flags, ModSeq(modseq)) for uid, flags, *_ in changed]
    return StoreResult(ModSeq(modseq), found, failed, row.keywords)


def applied(flags: int, op: FlagOp, change: int) -> int:
    """The flags after a change."""
    if op == "add":
        return flags | change
    return flags & ~change if op == "remove" else change


def new_name(tx: Transaction, row: MailboxRow, uid: int, word: int) -> int:
    """`named` of a new message: its file has its name, but keywords that no name tells follow."""
    if word <= IN_NAMES:
        return word
    tx.renames.append((row, uid, word, word))
    return ~word


def count(row: MailboxRow, flags: int, by: int) -> None:
    """Counts a message with these flags in (1) or out (-1) of unseen and deleted."""
    if not flags & _SEEN:
        row.unseen += by
    if flags & _DELETED:
        row.deleted += by
