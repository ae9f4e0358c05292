"""CAPABILITY (RFC 3501 6.1.1)."""

from __future__ import annotations

from rmail_imap import capabilities
from rmail_imap.commands import command, feature, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State

# RFC 7888: what they ask for is done where commands are read.
feature("LITERAL+", "7888 3")
feature("LITERAL-", "7888 5")


@command("CAPABILITY", no_arguments, state=State.ANY, rfc="3501 6.1.1")
async def capability(session: Session, _: None) -> None:
    """Lists what this session may use now."""
    session.write(b"* " + capabilities.code(session) + b"\r\n")
