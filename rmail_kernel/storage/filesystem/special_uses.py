"""Which mailbox is used for what: each use has at most one. RFC 6154."""

from __future__ import annotations

from typing import Final

from rmail_kernel.errors import Conflict, Invalid
from rmail_kernel.storage.filesystem import schema
from rmail_kernel.storage.filesystem.tables import MailboxRow
from rmail_kernel.storage.filesystem.transaction import Transaction

SPECIAL_USES: Final = {
    name.lower(): name
    for name in ("\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash")
}  # RFC 6154 2
ENTRY: Final = "/private/specialuse"
"""The annotation that tells the uses of a mailbox (RFC 6154 4)."""


def free_use(tx: Transaction, given: str) -> str:
    """A use as it is kept.

    Raises:
        Invalid: it is not known. Conflict: another mailbox has it.
    """
    tx.flush()
    use = SPECIAL_USES.get(given.lower())
    if use is None:
        raise Invalid("Not a special use that is known", special_use=given)
    if schema.first(tx.db, "SELECT 1 FROM mailbox WHERE special_use=?", use):
        raise Conflict("Another mailbox has this special use", special_use=use)
    return use


def use_of(tx: Transaction, row: MailboxRow, raw: bytes | None) -> str | None:
    """The use that the value of `ENTRY` gives a mailbox, None for none; checked as when a mailbox
    is made with it.

    Raises:
        Invalid: more than one, one that is not known, or INBOX. Conflict: another mailbox has it.
    """
    words = (raw or b"").decode("ascii", "replace").split()
    if not words:
        return None
    if len(words) > 1 or row.name == "INBOX":
        raise Invalid("A mailbox has one special use, INBOX none", special_use=" ".join(words))
    if row.special_use is not None and words[0].lower() == row.special_use.lower():
        return row.special_use
    return free_use(tx, words[0])


def entry(use: str | None) -> dict[str, bytes]:
    """The annotation of a mailbox with this use."""
    return {} if use is None else {ENTRY: use.encode()}
