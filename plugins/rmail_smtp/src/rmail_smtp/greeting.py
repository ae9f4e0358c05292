"""Before the first command: connection limits, `on_connect`, early talkers, the greeting.

RFC 5321 3.1, 4.2.
"""

from __future__ import annotations

import asyncio
import ipaddress
from functools import lru_cache
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.errors import RmailError

from . import replies
from .replies import Reply
from .wire import ClosedError

if TYPE_CHECKING:
    from .session import SmtpSession

_log = structlog.get_logger("rmail.smtp")
_WINDOW_S = 60.0
_IPV6_SITE_BITS = 64  # one customer has at least a /64


async def greet(session: SmtpSession) -> Reply:
    """The first reply: the greeting, or why there is no service."""
    if session.kernel.draining.is_set():
        return replies.DRAINING
    if session.siblings > session.options.max_sessions:
        return replies.TOO_MANY_SESSIONS
    if await _is_too_often(session):
        return replies.TOO_MANY_CONNECTIONS
    verdict = await session.kernel.bus.first("on_connect", session=session.info)
    if verdict is not None:
        refusal = replies.of_verdict(verdict)
        # RFC 5321 3.1: 554 in place of the greeting; 421 when it is not for good.
        return Reply(554 if refusal.is_error else 421, refusal.status, refusal.text, closes=True)
    delay_s = session.options.greeting_delay_s
    if delay_s and not session.role.is_submission and await _spoke_within(session, delay_s):
        return replies.EARLY_TALKER
    return Reply(220, "", f"{session.hostname} ESMTP rmail")


async def _spoke_within(session: SmtpSession, delay_s: float) -> bool:
    try:
        async with asyncio.timeout(delay_s):
            session.wire.unread(await session.wire.chunk())
    except TimeoutError:
        return False
    except ClosedError:
        return True
    return True


async def _is_too_often(session: SmtpSession) -> bool:
    limits = session.kernel.settings.rate_limit
    peer = session.info.peer_host
    if not limits.enabled or not peer or is_listed(peer, tuple(limits.whitelist)):
        return False
    try:
        hits = await session.kernel.state.hit(f"connections:smtp:{site_of(peer)}", _WINDOW_S)
    except RmailError as error:  # without the counter mail still flows
        _log.warning("connections are not counted", reason=str(error))
        return False
    return hits > limits.connections_per_minute


def is_listed(peer: str, networks: tuple[str, ...]) -> bool:
    """Whether an address lies in one of these networks."""
    address = ipaddress.ip_address(peer)
    return any(address in network for network in _networks(networks))


@lru_cache(maxsize=8)
def _networks(
    texts: tuple[str, ...],
) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def site_of(peer: str) -> str:
    """What is counted as one client: an IPv4 address, or the /64 of an IPv6 address."""
    address = ipaddress.ip_address(peer)
    if address.version == 4:
        return peer
    return str(ipaddress.ip_network((peer, _IPV6_SITE_BITS), strict=False))
