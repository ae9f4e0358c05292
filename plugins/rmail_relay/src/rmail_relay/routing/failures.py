"""Addresses that did not work lately: they are tried after the others, and where nobody answered,
by one attempt at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

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
        self._silent: set[tuple[str, int]] = set()
        self._probed: set[tuple[str, int]] = set()

    def note(self, address: str, port: int, *, is_silent: bool = False) -> None:
        """It failed just now.

        Args:
            is_silent: nobody answered, which takes long to find out.
        """
        key = (address, port)
        if is_silent:
            self._silent.add(key)
        self._failed_at[key] = self._clock.monotonic()
        self._failed_at.move_to_end(key)
        while len(self._failed_at) > MAX_KEPT:
            oldest, _ = self._failed_at.popitem(last=False)
            self._silent.discard(oldest)

    def forget(self, address: str, port: int) -> None:
        """It works."""
        self._failed_at.pop((address, port), None)
        self._silent.discard((address, port))

    @contextmanager
    def probe(self, address: str, port: int, within_s: float) -> Iterator[bool]:
        """Whether it should be tried: nobody else finds out just now if a silent one answers."""
        key = (address, port)
        is_silent = key in self._silent and self._is_recent(key, within_s)
        if is_silent and key in self._probed:
            yield False
            return
        if is_silent:
            self._probed.add(key)
        try:
            yield True
        finally:
            if is_silent:
                self._probed.discard(key)

    def last(self, addresses: Iterable[str], port: int, within_s: float) -> list[str]:
        """The same addresses, those that failed within the time behind the others."""
        return sorted(addresses, key=lambda address: self._is_recent((address, port), within_s))

    def _is_recent(self, key: tuple[str, int], within_s: float) -> bool:
        at = self._failed_at.get(key)
        return at is not None and self._clock.monotonic() - at < within_s
