"""CHECK (RFC 3501 6.4.1): every answered change is durable already, so it is NOOP."""

from __future__ import annotations

from rmail_imap.commands import command, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State


@command("CHECK", no_arguments, state=State.SELECTED, rfc="3501 6.4.1")
async def check(session: Session, _: None) -> None:
    """Does nothing."""
