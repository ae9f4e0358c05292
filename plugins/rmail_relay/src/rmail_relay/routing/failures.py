"""Addresses that did not work lately: they are tried after the others, never left out."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from rmail_kernel.clock import Clock

MAX_KEPT = 10_000


class RecentFailures:
    """Remembers failing addresses for some time.

    Args:
        clock: what the memory lives by.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failed_at: OrderedDict[tuple[str, int], float] = OrderedDict()

    def note(self, address: str, port: int) -> None:
        """It failed just now."""
        key = (address, port)
        self._failed_at[key] = self._clock.monotonic()
        self._failed_at.move_to_end(key)
        while len(self._failed_at) > MAX_KEPT:
            self._failed_at.popitem(last=False)

    def forget(self, address: str, port: int) -> None:
        """It works."""
        self._failed_at.pop((address, port), None)

    def last(self, addresses: Iterable[str], port: int, within_s: float) -> list[str]:
        """The same addresses, those that failed within the time behind the others."""
        now = self._clock.monotonic()

        def has_failed(address: str) -> bool:
            at = self._failed_at.get((address, port))
            return at is not None and now - at < within_s

        return sorted(addresses, key=has_failed)
