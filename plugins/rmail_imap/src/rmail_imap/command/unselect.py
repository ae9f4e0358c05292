"""UNSELECT (RFC 3691)."""

from __future__ import annotations

from rmail_imap.commands import command, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State


@command("UNSELECT", no_arguments, state=State.SELECTED, capability="UNSELECT", rfc="3691 2")
async def unselect(session: Session, _: None) -> None:
    """Leaves the mailbox without expunging."""
    session.selected = None
