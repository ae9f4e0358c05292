"""Looks that are made once per turn of the event loop.

Whoever waits for an answer has asked before the turn in which it is given began: what arrives later
is taken up after `_over` has run, for callbacks run in the order in which they were scheduled. So a
look at the files is as new for the second call of a turn as it was for the first.
"""

from __future__ import annotations

import asyncio


class Turn:
    """Remembers for one turn of the loop that a look was made."""

    __slots__ = ("_loop",)

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None

    def is_new(self) -> bool:
        """Whether nobody has asked in this turn."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            return False
        self._loop = loop
        loop.call_soon(self._over)
        return True

    def _over(self) -> None:
        self._loop = None
