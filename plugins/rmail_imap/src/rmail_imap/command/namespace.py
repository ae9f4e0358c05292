"""NAMESPACE (RFC 2342): one personal namespace."""

from __future__ import annotations

from rmail_imap.commands import command, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State


@command("NAMESPACE", no_arguments, state=State.AUTHENTICATED, capability="NAMESPACE", rfc="2342 5")
async def namespace(session: Session, _: None) -> None:
    """Personal, other users', shared."""
    session.write(b'* NAMESPACE (("" "/")) NIL NIL\r\n')
