"""RENAME (RFC 3501 6.3.5)."""

from __future__ import annotations

from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.commands import command
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import NotFound


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
    if not session.is_rev2:
        await session.mail.rename(session.account, args.old, args.new)
        return
    before, _ = await _stored(session, args.old)
    await session.mail.rename(session.account, args.old, args.new)
    after, attributes = await _stored(session, args.new)
    if (before, after) != (args.old, args.new):  # RFC 9051 6.3.6
        more = write.old_name(args.old, is_utf8=True)
        session.write(write.list_line(b"LIST", attributes, after, more, is_utf8=True))


async def _stored(session: Session, name: str) -> tuple[str, list[str]]:
    """The name as the store has it, and whether it is subscribed; of a level without a mailbox, as
    the client has it.
    """
    try:
        status = await session.mail.status(session.account, name)
    except NotFound:
        return name, []
    return status.name, ["\\Subscribed"] if status.is_subscribed else []
