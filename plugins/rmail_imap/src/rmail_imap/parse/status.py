"""What STATUS asks for (RFC 3501 9: status-att, RFC 9051 9), also as LIST does (RFC 5819)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor

ITEMS: Final = frozenset(
    {
        "APPENDLIMIT", "DELETED", "DELETED-STORAGE", "HIGHESTMODSEQ", "MAILBOXID", "MESSAGES",
        "RECENT", "SIZE", "UIDNEXT", "UIDVALIDITY", "UNSEEN",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class StatusArgs:
    """STATUS mailbox (items)."""

    mailbox: str
    items: tuple[str, ...]


def status_args(cursor: Cursor) -> StatusArgs:
    """The arguments of STATUS."""
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.space()
    items = status_items(cursor)
    cursor.end()
    return StatusArgs(mailbox, items)


def status_items(cursor: Cursor) -> tuple[str, ...]:
    """The items in parentheses, each once."""
    cursor.expect(b"(")
    names = [cursor.word()]
    while cursor.skip(b" "):
        names.append(cursor.word())
    cursor.expect(b")")
    for name in names:
        if name != "DELETED" or "IMAP4REV2" in cursor.dialect.off:  # RFC 9051 6.3.11 has it, too
            cursor.check("STATUS", name)
    if not ITEMS.issuperset(names):
        raise BadSyntax("Unknown status item")
    return tuple(dict.fromkeys(names))
