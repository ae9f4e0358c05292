"""RENAME (RFC 3501 6.3.5)."""

from __future__ import annotations

from dataclasses import dataclass

from rmail_imap.commands import command
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State


@dataclass(frozen=True, slots=True)
class RenameArgs:
    """RENAME old new."""

    old: str
    new: str


def rename_args(cursor: Cursor) -> RenameArgs:
    """The arguments of RENAME."""
    cursor.space()
    old = cursor.mailbox()
    cursor.space()
    new = cursor.mailbox()
    cursor.end()
    return RenameArgs(old, new)


@command("RENAME", rename_args, state=State.AUTHENTICATED, rfc="3501 6.3.5")
async def rename(session: Session, args: RenameArgs) -> None:
    """Renames a mailbox and those below it; INBOX gives away its messages."""
    await session.mail.rename(session.account, args.old, args.new)
