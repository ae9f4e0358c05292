"""UNAUTHENTICATE (RFC 8437): the next user of the same connection."""

from __future__ import annotations

from rmail_imap.commands import Reply, command, no_arguments
from rmail_imap.session import Session
from rmail_imap.state import State


@command(
    "UNAUTHENTICATE",
    no_arguments,
    state=State.AUTHENTICATED,
    capability="UNAUTHENTICATE",
    rfc="8437 3",
)
async def unauthenticate(session: Session, _: None) -> Reply:
    """Forgets everything but TLS; compression ends with the OK (RFC 8437 4)."""
    session.logged_out()

    async def end_compression() -> None:
        session.wire.end_compression()

    return Reply(after=end_compression)
