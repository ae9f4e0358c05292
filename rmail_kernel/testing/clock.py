"""A clock that stands still until a test moves it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from rmail_kernel.clock import Clock

START = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class FakeClock(Clock):
    """Time under the test's control.

    Args:
        start: the first moment, aware.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._now = start

    def now(self) -> datetime:
        """The moment the test set last."""
        return self._now

    def time(self) -> float:
        """Seconds since the epoch."""
        return self._now.timestamp()

    def monotonic(self) -> float:
        """Seconds since the clock was made."""
        return (self._now - self._start).total_seconds()

    def advance(self, seconds: float) -> None:
        """Moves on by `seconds`."""
        self._now += timedelta(seconds=seconds)
