"""ENABLE (RFC 5161). Nothing that is loaded must be enabled yet, so it answers an empty list."""

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
async def enable(session: Session, _: tuple[str, ...]) -> None:
    """Unknown names are passed over (RFC 5161 3.1)."""
    session.write(b"* ENABLED\r\n")
