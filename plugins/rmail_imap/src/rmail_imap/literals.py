"""Literals that are sent before anybody asks for them, and are not wanted (RFC 7888).

Whatever a line is about, what it announces at its end is no command: it is read and dropped.
"""

from __future__ import annotations

import re
from typing import Final

from rmail_imap.errors import Goodbye
from rmail_imap.session import Session
from rmail_imap.wire import LineTooLong
from rmail_kernel.turns import Pace

_ANNOUNCED: Final = re.compile(rb"\{(\d{1,18})\+\}\r?\n\Z")
_ANNOUNCEMENT_BYTES: Final = 32
_MAX_DROPPED_BYTES: Final = 1 << 20
_PIECE_BYTES: Final = 1 << 18


async def drop_announced(session: Session, line: bytes) -> None:
    """Drops the literal that a line announces at its end, the rest of the line behind it, and so
    on (RFC 7888 3). Of a client that waits nothing comes.

    Args:
        line: with its line end; its last bytes suffice.

    Raises:
        Goodbye: it is too much.
    """
    pace = Pace()
    while (found := _ANNOUNCED.search(line, max(0, len(line) - _ANNOUNCEMENT_BYTES))) is not None:
        await drop(session, int(found[1]))
        try:
            line = await session.wire.discard_line(_MAX_DROPPED_BYTES)
        except LineTooLong as error:
            raise Goodbye("The command is too long", b"TOOBIG") from error
        await pace.breathe()


async def drop(session: Session, size_bytes: int) -> None:
    """Reads a literal and drops it.

    Raises:
        Goodbye: it is more than one may send, before login anything.
    """
    is_early = session.info.principal is None
    most = 0 if is_early else max(_MAX_DROPPED_BYTES, 2 * session.settings.max_message_bytes)
    if size_bytes > most:
        raise Goodbye("The literal is too large", b"TOOBIG")
    while size_bytes:
        size_bytes -= len(await session.wire.read_some(min(size_bytes, _PIECE_BYTES)))
