"""Who may connect: how many at one time, and how often from one address."""

from __future__ import annotations

from typing import Final

import structlog

from rmail_imap.errors import Goodbye
from rmail_imap.session import Session
from rmail_kernel.errors import RmailError
from rmail_kernel.net.networks import is_within, site_of

_log = structlog.get_logger("rmail.imap")
_WINDOW_S: Final = 60.0


async def admit(session: Session, open_connections: int) -> None:
    """Lets a connection in.

    Args:
        open_connections: of this process, this one included.

    Raises:
        Goodbye: there are too many.
    """
    if open_connections > session.settings.max_connections:
        raise Goodbye("Too many connections", b"UNAVAILABLE")
    limits = session.kernel.settings.rate_limit
    peer = session.info.peer_host
    if not limits.enabled or not peer or is_within(peer, tuple(limits.whitelist)):
        return
    try:
        hits = await session.kernel.state.hit(f"connections:imap:{site_of(peer)}", _WINDOW_S)
    except RmailError as error:  # without the counter mail can still be read
        _log.warning("connections are not counted", reason=str(error))
        return
    if hits > limits.connections_per_minute:
        raise Goodbye("Too many connections, try again later", b"LIMIT")
