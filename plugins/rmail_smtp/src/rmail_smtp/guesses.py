"""Clients that try who exists: one that names too many unknown recipients in a minute, over however
many connections, hears for the rest of it of nobody whether he exists.

RFC 5321 7.3 (what VRFY must not tell, RCPT should not tell everybody either).
"""

from __future__ import annotations

import structlog

from rmail_kernel.errors import RmailError
from rmail_kernel.net.networks import site_of
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session

_log = structlog.get_logger("rmail.smtp")
_WINDOW_S = 60.0
_UNKNOWN_USER = "5.1.1"  # RFC 3463 3.2


async def is_guessing(session: Session) -> bool:
    """Whether the client has guessed too often; asked before a recipient is looked up."""
    if session.guesses is None:
        session.guesses = await _count(session) if _is_watched(session) else 0
    return session.guesses >= session.options.max_unknown_recipients


async def note(session: Session, reply: Reply) -> None:
    """Counts the recipient that was answered so, if there is none of that name."""
    if reply.status != _UNKNOWN_USER or not _is_watched(session):
        return
    try:
        session.guesses = await session.kernel.state.hit(_key(session), _WINDOW_S)
    except RmailError as error:  # without the counter mail still flows
        _log.warning("unknown recipients are not counted", reason=str(error))


async def _count(session: Session) -> int:
    try:
        return await session.kernel.state.count(_key(session), _WINDOW_S)
    except RmailError as error:
        _log.warning("unknown recipients are not counted", reason=str(error))
        return 0


def _is_watched(session: Session) -> bool:
    return session.info.principal is None and session.is_limited


def _key(session: Session) -> str:
    return f"unknown:smtp:{site_of(session.info.peer_host)}"
