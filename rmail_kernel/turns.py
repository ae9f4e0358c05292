"""Turns on the event loop for work that takes long: each pass of the loop has one piece of it,
whoever's it is. So short work waits for one piece, not for as many as there are busy clients.
"""

from __future__ import annotations

import asyncio
from collections import deque
from time import perf_counter
from typing import Final
from weakref import WeakKeyDictionary

PIECE_S: Final = 0.003
"""How long a piece of work may take before others run."""


class _Line:
    """Those who wait for their turn on one loop, first come, first served."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._is_moving = False

    def join(self) -> asyncio.Future[None]:
        """A place at the end; done when it is one's turn."""
        place = self._loop.create_future()
        self._waiting.append(place)
        if not self._is_moving:
            self._is_moving = True
            self._loop.call_soon(self._move)
        return place

    def _move(self) -> None:
        """Wakes the next one; the one after it in the next pass of the loop."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():  # otherwise it was cancelled
                place.set_result(None)
                self._loop.call_soon(self._move)
                return
        self._is_moving = False


_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, _Line] = WeakKeyDictionary()


async def rest() -> None:
    """Lets everything else run; returns when it is the caller's turn for a piece of long work."""
    loop = asyncio.get_running_loop()
    line = _lines.get(loop)
    if line is None:
        line = _lines[loop] = _Line(loop)
    await line.join()


class Pace:
    """Cuts long work into pieces of PIECE_S."""

    __slots__ = ("_until",)

    def __init__(self) -> None:
        self._until = perf_counter() + PIECE_S

    async def breathe(self) -> None:
        """To be called often; rests when the piece has taken its time."""
        if perf_counter() >= self._until:
            await rest()
            self._until = perf_counter() + PIECE_S
