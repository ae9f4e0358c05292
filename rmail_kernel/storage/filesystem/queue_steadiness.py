"""Whether the clock was set lately, or the machine slept.

The ends of leases are times of day. After a jump they may lie in the past although their holders
work: those get time to renew, so that two never work on one job.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rmail_kernel.clock import Clock

JUMP_S = 5.0
GRACE_S = 60.0
"""Holders renew more often than that."""


class Steadiness:
    """Compares the time of day with the monotonic clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s = self._offset()
        self._steady_at = clock.monotonic()

    def look(self) -> bool:
        """Whether the time of day went on as it should since the last look, and for a while."""
        offset_s = self._offset()
        now = self._clock.monotonic()
        if abs(offset_s - self._offset_s) > JUMP_S:
            self._steady_at = now + GRACE_S
        self._offset_s = offset_s
        return now >= self._steady_at

    def _offset(self) -> float:
        return self._clock.time() - self._clock.monotonic()
