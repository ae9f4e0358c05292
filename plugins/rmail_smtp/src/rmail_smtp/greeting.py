"""Before the first command: connection limits, `on_connect`, early talkers, the greeting.

RFC 5321 3.1, 4.2.
"""

from __future__ import annotations

import asyncio

import structlog

from rmail_kernel.errors import RmailError
from rmail_kernel.net.networks import site_of
from rmail_smtp import replies
from rmail_smtp.crowd import Crowd
from rmail_smtp.replies import Reply
from rmail_smtp.session import Session
from rmail_smtp.wire import ClosedError

_log = structlog.get_logger("rmail.smtp")
_WINDOW_S = 60.0


async def greet(session: Session, crowd: Crowd) -> Reply:
    """The first reply: the greeting, or why there is no service.

    Args:
        crowd: the open sessions of this process, this one included.
    """
    if session.kernel.draining.is_set():
        return replies.DRAINING
    if session.is_limited:
        if crowd.of_client(session.info.peer_host) > session.options.max_sessions_per_address:
            return replies.TOO_MANY_CONNECTIONS
        if await _is_too_often(session):
            return replies.TOO_MANY_CONNECTIONS
    if len(crowd) > session.options.max_sessions and not _made_room(session, crowd):
        return replies.TOO_MANY_SESSIONS
    verdict = await session.kernel.bus.policy("on_connect", session.notes, session=session.info)
    if verdict is not None:
        refusal = replies.of_verdict(verdict)
        # RFC 5321 3.1: 554 in place of the greeting; 421 when it is not for good.
        return Reply(554 if refusal.is_error else 421, refusal.status, refusal.text, closes=True)
    delay_s = session.options.greeting_delay_s
    if delay_s and not session.role.is_submission and await _spoke_within(session, delay_s):
        return replies.EARLY_TALKER
    return Reply(220, "", f"{session.hostname} ESMTP rmail")


def _made_room(session: Session, crowd: Crowd) -> bool:
    """Whether silent ones went; connections that do nothing keep nobody out who has mail."""
    now = asyncio.get_running_loop().time()
    return crowd.make_room(now - session.options.min_silence_s)


async def _spoke_within(session: Session, delay_s: float) -> bool:
    try:
        async with asyncio.timeout(delay_s):
            session.wire.unread(await session.wire.chunk())
    except TimeoutError:
        return False
    except ClosedError:
        return True
    return True


async def _is_too_often(session: Session) -> bool:
    limits = session.kernel.settings.rate_limit
    site = site_of(session.info.peer_host)
    try:
        hits = await session.kernel.state.hit(f"connections:smtp:{site}", _WINDOW_S)
    except RmailError as error:  # without the counter mail still flows
        _log.warning("connections are not counted", reason=str(error))
        return False
    return hits > limits.connections_per_minute
