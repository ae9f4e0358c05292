"""Connections that have said QUIT and wait for the answer, so that the end of a process can wait
for them, a moment (RFC 5321 4.1.1.10).
"""

from __future__ import annotations

import asyncio

from rmail_relay.client.wire import Wire

_PATIENCE_S = 1.0


class Farewells:
    """All connections of a transport that are about to close."""

    def __init__(self) -> None:
        self._ending: set[Wire] = set()

    def say(self, wire: Wire) -> None:
        """Ends a connection politely."""
        self._ending.add(wire)
        wire.closed.add_done_callback(lambda _: self._ending.discard(wire))
        wire.quit()

    async def finish(self) -> None:
        """Waits until they are closed, and closes those that take long."""
        ending = [wire.closed for wire in self._ending]
        if not ending:
            return
        await asyncio.wait(ending, timeout=_PATIENCE_S)
        for wire in list(self._ending):
            wire.abort()
        await asyncio.wait(ending, timeout=_PATIENCE_S)
