"""CLOSE (RFC 3501 6.4.2)."""

from __future__ import annotations

from contextlib import suppress

from rmail_imap.commands import command, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import NotFound


@command("CLOSE", no_arguments, state=State.SELECTED, rfc="3501 6.4.2")
async def close(session: Session, _: None) -> None:
    """Expunges without a word and leaves the mailbox; after EXAMINE it only leaves."""
    selected = session.mailbox
    if not selected.is_read_only:
        with suppress(NotFound):  # the mailbox was deleted, there is nothing left to expunge
            await session.mail.expunge(session.account, selected.id, None)
    session.selected = None
