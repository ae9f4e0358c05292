"""Where time comes from."""

from __future__ import annotations

import time
from datetime import UTC, datetime


class Clock:
    """The machine's time; tests inject another."""

    def now(self) -> datetime:
        """The current time, aware, UTC."""
        return datetime.now(UTC)

    def time(self) -> float:
        """Seconds since the epoch."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()
