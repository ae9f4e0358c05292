"""NOOP (RFC 3501 6.1.2): changes are told before its OK, as before every other."""

from __future__ import annotations

from rmail_imap.commands import command, feature, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State

# RFC 9585: told by the service, for every command.
feature("INPROGRESS", "9585 4")


@command("NOOP", no_arguments, state=State.ANY, rfc="3501 6.1.2")
async def noop(session: Session, _: None) -> None:
    """Does nothing."""
