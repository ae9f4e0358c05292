"""Places for long work: few have one at a time, and those who wait are let in fairly, whoever asks
most. It knows nothing of the work.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

_Line = deque["asyncio.Future[None]"]


class Lanes:
    """A number of places. Of those who wait, one of each key is let in after another.

    Args:
        places: how many work at a time.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._lines: OrderedDict[Hashable, _Line] = OrderedDict()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(map(len, self._lines.values()))

    @asynccontextmanager
    async def place(self, key: Hashable) -> AsyncIterator[None]:
        """A place, until the context ends. Those of one `key` wait for one another."""
        await self._enter(key)
        try:
            yield
        finally:
            self._pass_on()

    async def _enter(self, key: Hashable) -> None:
        if self._free and not self._lines:
            self._free -= 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._lines.setdefault(key, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._forget(key, turn)
            else:  # it was let in at the same moment
                self._pass_on()
            raise

    def _pass_on(self) -> None:
        """Lets in the first of the next key, which is the last one from then on."""
        while self._lines:
            key, line = self._lines.popitem(last=False)
            turn = line.popleft()
            if line:
                self._lines[key] = line
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1

    def _forget(self, key: Hashable, turn: asyncio.Future[None]) -> None:
        line = self._lines.get(key)
        if line is not None and turn in line:
            line.remove(turn)
            if not line:
                del self._lines[key]
