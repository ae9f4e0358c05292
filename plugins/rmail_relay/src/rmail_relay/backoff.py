"""How long a destination that is down is left alone.

Many attempts fail together when a host goes down; they count as one failure. It never takes longer
than a single message would wait by then.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from rmail_kernel.clock import Clock

FIRST_S = 60.0
LONGEST_S = 1800.0
MAX_KEPT = 10_000
"""Destinations that are remembered."""
_MOST_DOUBLINGS = 10


@dataclass(slots=True)
class _Down:
    failures: int
    until: float  # by the monotonic clock


class Backoff:
    """Failures in a row, by destination."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._down: OrderedDict[str, _Down] = OrderedDict()

    def works(self, lane: str) -> None:
        """A destination answered."""
        self._down.pop(lane, None)

    def left_s(self, lane: str) -> float:
        """Seconds for which a destination is left alone yet."""
        known = self._down.get(lane)
        return 0.0 if known is None else max(0.0, known.until - self._clock.monotonic())

    def failed(self, lane: str, pauses_s: Sequence[float]) -> float | None:
        """A destination was down; seconds to leave it alone, None: that was said already.

        Args:
            pauses_s: what one message waits after its first, second, ... attempt.
        """
        now = self._clock.monotonic()
        known = self._down.get(lane)
        if known is not None and now < known.until:
            return None
        failures = 1 if known is None else known.failures + 1
        doubled_s = FIRST_S * 2.0 ** min(failures - 1, _MOST_DOUBLINGS)
        pause_s = pauses_s[min(failures, len(pauses_s)) - 1]
        backoff_s = min(LONGEST_S, doubled_s, pause_s)
        self._down[lane] = _Down(failures, now + backoff_s)
        self._down.move_to_end(lane)
        while len(self._down) > MAX_KEPT:
            self._down.popitem(last=False)
        return backoff_s
