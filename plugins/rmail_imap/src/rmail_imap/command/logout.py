"""LOGOUT (RFC 3501 6.1.3)."""

from __future__ import annotations

from rmail_imap.commands import Reply, command, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State


@command("LOGOUT", no_arguments, state=State.ANY, rfc="3501 6.1.3")
async def logout(session: Session, _: None) -> Reply:
    """Says goodbye; the connection closes after the tagged OK."""
    session.selected = None
    session.is_over = True
    session.write(b"* BYE Until next time\r\n")
    return Reply()
