"""Shared small state with expiry: counters and lockouts that all workers see."""

from __future__ import annotations

from typing import Protocol


class State(Protocol):
    """Counters over sliding windows and key-value marks with an end. Keys are free text,
    namespaced by a prefix. Every call may raise Temporary: they cannot be used now.
    """

    async def hit(self, key: str, window_s: float) -> int:
        """Counts one event; the number of events within the last `window_s` seconds, this one
        included.
        """

    async def count(self, key: str, window_s: float) -> int:
        """The number of events within the last `window_s` seconds."""

    async def clear(self, prefix: str) -> int:
        """Forgets all counters and marks whose key starts with `prefix`; how many there were."""

    async def mark(self, key: str, ttl_s: float, value: str = "") -> None:
        """Sets a mark that ends by itself; survives a crash."""

    async def marked(self, key: str) -> tuple[float, str] | None:
        """Seconds left and value of a mark, or None."""

    async def marks(self, prefix: str) -> list[tuple[str, float, str]]:
        """Key, seconds left and value of every live mark below a prefix, sorted."""
