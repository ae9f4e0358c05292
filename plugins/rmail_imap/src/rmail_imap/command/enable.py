"""ENABLE (RFC 5161) of what changes how the server answers."""

from __future__ import annotations

from rmail_imap.commands import command
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State


def enable_args(cursor: Cursor) -> tuple[str, ...]:
    """Capability names."""
    names: list[str] = []
    while not names or not cursor.is_at_end:
        cursor.space()
        names.append(cursor.atom().decode("ascii").upper())
    return tuple(names)


@command("ENABLE", enable_args, state=State.AUTHENTICATED, capability="ENABLE", rfc="5161 3.1")
async def enable(session: Session, names: tuple[str, ...]) -> None:
    """Unknown names are passed over (RFC 5161 3.1)."""
    told = b""
    if "CONDSTORE" in names and not session.is_condstore and "CONDSTORE" not in session.off:
        told = b" CONDSTORE"
    session.write(b"* ENABLED%b\r\n" % told)
    if told:
        session.use_condstore()  # RFC 7162 3.1
