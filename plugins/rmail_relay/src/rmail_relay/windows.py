"""How many attempts a destination gets at a time, learned from how it answers.

It begins with a few, gets more for as long as it answers quickly and uses them, and one at a
time while it is down. Those that are down, slow or not known yet never take all places of a
process: the rest is kept for destinations that answer.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass

from rmail_relay.outcome import Contact

FIRST = 5
"""Attempts at a time where nothing is known."""
BRISK_S = 10.0
"""An attempt that takes longer shows nothing good."""
UNUSED = 8
"""A window that is larger than so many times what is used shrinks."""
MAX_KEPT = 10_000
"""Destinations that are remembered."""


@dataclass(slots=True)
class _Window:
    size: int = FIRST
    is_brisk: bool = False  # it answers, and quickly
    is_down: bool = False

    def answered(self, running: int, took_s: float) -> None:
        self.is_down = False
        self.is_brisk = took_s < BRISK_S
        if not self.is_brisk:
            self.size = min(self.size, FIRST)
        elif 2 * running > self.size:
            self.size += 1
        elif self.size > UNUSED * running:
            self.size -= 1  # what is not used is no knowledge

    def cut_off(self) -> None:
        self.is_brisk = False
        self.size = max(1, self.size // 2)

    def failed(self) -> None:
        """One that answered until now gets fewer first; it may only want fewer connections."""
        self.size //= 2
        if not self.is_brisk or not self.size:
            self.is_brisk, self.is_down, self.size = False, True, 1


class Windows:
    """The destinations of one process."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Window] = OrderedDict()
        self._running: Counter[str] = Counter()

    def room(self, places: int) -> Room:
        """Where there is room now.

        Args:
            places: of the process, taken or not.
        """
        return Room(self._known, self._running, places)

    def begun(self, lane: str) -> None:
        """An attempt began."""
        self._running[lane] += 1

    def ended(self, lane: str, contact: Contact, took_s: float) -> bool:
        """An attempt ended; whether its destination is down."""
        running = self._running[lane]
        self._running[lane] -= 1
        if running <= 1:
            del self._running[lane]
        if contact is Contact.UNTRIED:
            return False
        window = self._known.setdefault(lane, _Window())
        self._known.move_to_end(lane)
        while len(self._known) > MAX_KEPT:
            self._known.popitem(last=False)
        if contact is Contact.ANSWERED:
            window.answered(running, took_s)
        elif contact is Contact.CUT_OFF:
            window.cut_off()
        else:
            window.failed()
        return window.is_down


class Room:
    """`rmail_kernel.storage.queue.Room` for one look into the queue.

    Of the places, a quarter at most is for destinations that are down, and a quarter is kept for
    those that answer quickly.
    """

    def __init__(self, known: Mapping[str, _Window], running: Mapping[str, int], places: int):
        self._known = known
        self._running = Counter(running)
        self._down_left = max(1, places // 4)
        self._unsure_left = max(1, places * 3 // 4)
        for lane, count in running.items():
            self._count(lane, count)
        self._first = FIRST if 2 * self._unsure_left > places * 3 // 4 else 1

    def left(self, lane: str) -> int:
        """How many more of a destination."""
        running = self._running[lane]
        window = self._known.get(lane)
        if window is None:
            return min(self._first - running, self._unsure_left)
        if window.is_brisk:
            return window.size - running
        left = min(window.size - running, self._unsure_left)
        return min(left, self._down_left) if window.is_down else left

    def took(self, lane: str) -> None:
        """One more is taken."""
        self._running[lane] += 1
        self._count(lane, 1)

    def _count(self, lane: str, count: int) -> None:
        window = self._known.get(lane)
        if window is not None and window.is_brisk:
            return
        self._unsure_left -= count
        if window is not None and window.is_down:
            self._down_left -= count
