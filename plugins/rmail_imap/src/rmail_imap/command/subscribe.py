"""SUBSCRIBE and UNSUBSCRIBE (RFC 3501 6.3.6, 6.3.7)."""

from __future__ import annotations

from contextlib import suppress

from rmail_imap.command.select import mailbox_args
from rmail_imap.commands import command
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import NotFound


@command("SUBSCRIBE", mailbox_args, state=State.AUTHENTICATED, rfc="3501 6.3.6")
async def subscribe(session: Session, name: str) -> None:
    """Puts a name on the list that LSUB gives; NO for one that no mailbox had while it was on."""
    await session.mail.subscribe(session.account, name, True)


@command("UNSUBSCRIBE", mailbox_args, state=State.AUTHENTICATED, rfc="3501 6.3.7")
async def unsubscribe(session: Session, name: str) -> None:
    """Takes a name off that list; one that is not on it is off already (RFC 9051 6.3.8)."""
    with suppress(NotFound):
        await session.mail.subscribe(session.account, name, False)
