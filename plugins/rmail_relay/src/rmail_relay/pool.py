"""Open sessions kept for the next message, and how many there may be to one host.

A session is lent to one attempt at a time; what is kept too long or is spoken to by its peer goes.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from rmail_relay.client.peer import Peer
from rmail_relay.client.session import Session

MAX_IDLE = 200
"""Idle sessions in all."""


class Pool:
    """Idle sessions by peer.

    Args:
        idle_s: how long one is kept; 0: not at all. max_messages: over one connection.
        max_per_host: lent at a time to one host and port.
    """

    def __init__(self, idle_s: float, max_messages: int, max_per_host: int) -> None:
        self._idle_s = idle_s
        self._max_messages = max_messages
        self._max_per_host = max_per_host
        self._idle: dict[Peer, list[Session]] = defaultdict(list)
        self._count = 0
        self._timer: asyncio.TimerHandle | None = None
        self._gates: dict[tuple[str, int], asyncio.Semaphore] = {}
        self._users: dict[tuple[str, int], int] = defaultdict(int)
        self._is_closed = False

    @asynccontextmanager
    async def turn(self, peer: Peer) -> AsyncIterator[None]:
        """Waits until one more session to the host may be in use."""
        key = (peer.host, peer.port)
        gate = self._gates.setdefault(key, asyncio.Semaphore(self._max_per_host))
        self._users[key] += 1
        try:
            async with gate:
                yield
        finally:
            self._users[key] -= 1
            if not self._users[key]:
                del self._users[key], self._gates[key]

    def take(self, peer: Peer) -> Session | None:
        """An idle session, the one used last; it is the caller's now."""
        while self._idle.get(peer):
            session = self._idle[peer][-1]
            self._remove(session)
            if session.is_usable:
                return session
            session.end()
        return None

    def give(self, session: Session) -> None:
        """A session that the caller needs no more: kept, or ended."""
        is_spent = session.transactions >= self._max_messages or not session.is_usable
        if is_spent or not self._idle_s or self._count >= MAX_IDLE or self._is_closed:
            session.end()
            return
        self._idle[session.peer].append(session)
        self._count += 1
        session.idle_until = asyncio.get_running_loop().time() + self._idle_s
        session.wire.on_idle_end = partial(self._end, session)
        if self._timer is None:
            self._look_again(session.idle_until)

    def dismiss(self) -> None:
        """Ends all idle sessions, and those that are given back later."""
        self._is_closed = True
        for sessions in list(self._idle.values()):
            for session in list(sessions):
                self._end(session)

    def _end(self, session: Session) -> None:
        self._remove(session)
        session.end()

    def _remove(self, session: Session) -> None:
        sessions = self._idle[session.peer]
        sessions.remove(session)
        if not sessions:
            del self._idle[session.peer]
        self._count -= 1
        session.wire.on_idle_end = None

    def _look_again(self, at: float) -> None:
        self._timer = asyncio.get_running_loop().call_at(at, self._sweep)

    def _sweep(self) -> None:
        """Ends what is kept long enough."""
        self._timer = None
        now = asyncio.get_running_loop().time()
        idle = [session for sessions in self._idle.values() for session in sessions]
        for session in idle:
            if session.idle_until <= now:
                self._end(session)
        left = [session.idle_until for session in idle if session.idle_until > now]
        if left:
            self._look_again(min(left))
