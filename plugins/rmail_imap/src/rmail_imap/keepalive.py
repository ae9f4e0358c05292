"""Lets the system find out that a client is gone without a word."""

from __future__ import annotations

import asyncio
import socket


def watch(transport: asyncio.BaseTransport, seconds: float) -> None:
    """Has the system look after so much silence, and give a client up that does not answer three
    times, or takes no data for twice as long.
    """
    opened = transport.get_extra_info("socket")
    if opened is None or opened.family not in (socket.AF_INET, socket.AF_INET6):
        return
    whole = max(1, round(seconds))
    options = (
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, whole),
        (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, whole // 3)),
        (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3),
        (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 2000 * whole),
    )
    for level, option, value in options:
        opened.setsockopt(level, option, value)
