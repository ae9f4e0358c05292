"""CREATE (RFC 3501 6.3.3)."""

from __future__ import annotations

from rmail_imap.command.select import mailbox_args
from rmail_imap.commands import command
from rmail_imap.session import Session
from rmail_imap.state import State


@command("CREATE", mailbox_args, state=State.AUTHENTICATED, rfc="3501 6.3.3")
async def create(session: Session, name: str) -> None:
    """Makes a mailbox and the missing ones above it."""
    await session.mail.create(session.account, name)
