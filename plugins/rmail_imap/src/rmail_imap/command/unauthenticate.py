"""UNAUTHENTICATE (RFC 8437): the next user of the same connection."""

from __future__ import annotations

from rmail_imap.commands import Reply, command, no_arguments
from rmail_imap.errors import Goodbye
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
    """Forgets everything but TLS; compression ends with the OK (RFC 8437 4). What came behind the
    command is a stranger's, who may send no more of it than before any other login.
    """
    session.logged_out()

    async def start_anew() -> None:
        intake = session.wire.intake
        session.wire.end_compression()
        if intake.pending_bytes > intake.limit_bytes:
            raise Goodbye("Too much was sent before login", b"TOOBIG")

    return Reply(after=start_anew)
