"""Looks that are made once per turn of the event loop.

Whoever waits for an answer has asked before the turn in which it is given began: what arrives later
is taken up after `_over` has run, for callbacks run in the order in which they were scheduled. So a
look at the files is as new for the second call of a turn as it was for the first.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Final


class _Turns:
    """Numbers the turns of the loop that runs; a turn in which another loop ran counts as two."""

    __slots__ = ("_loop", "_number", "_numbers")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._numbers = count(1)  # never one twice, also where loops run in several threads
        self._number = 0

    def number(self) -> int:
        """That of the turn that runs now."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop = loop
            self._number = next(self._numbers)
            loop.call_soon(self._over)
        return self._number

    def _over(self) -> None:
        self._loop = None


_turns: Final = _Turns()


class Turn:
    """Remembers for one turn of the loop that a look was made."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen = 0

    def is_new(self) -> bool:
        """Whether nobody has asked in this turn."""
        number = _turns.number()
        if number == self._seen:
            return False
        self._seen = number
        return True
