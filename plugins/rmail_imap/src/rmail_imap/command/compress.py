"""COMPRESS (RFC 4978): everything after the OK is deflated, in both directions."""

from __future__ import annotations

from rmail_imap.commands import Reply, command
from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State


def compress_args(cursor: Cursor) -> None:
    """DEFLATE, the only mechanism there is."""
    cursor.space()
    if cursor.atom().upper() != b"DEFLATE":
        raise BadSyntax("Unknown compression")
    cursor.end()


@command(
    "COMPRESS",
    compress_args,
    state=State.AUTHENTICATED,
    capability="COMPRESS=DEFLATE",
    rfc="4978 3",
)
async def compress(session: Session, _: None) -> Reply:
    """Compresses from the line after the OK on."""
    if session.wire.intake.deflate is not None:
        raise BadSyntax("Compression is active already")

    async def start() -> None:
        session.wire.start_compression()

    return Reply("DEFLATE active", after=start)
