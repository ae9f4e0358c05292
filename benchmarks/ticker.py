"""How long an event loop stood still: a tick every millisecond, and the longest gap between two."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Self


class Ticker:
    """`async with Ticker() as ticker:`; then `ticker.longest_ms`."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._last = 0.0
        self._timer: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._last = time.perf_counter()
        self._tick()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._note()
        if self._timer is not None:
            self._timer.cancel()

    def _note(self) -> None:
        now = time.perf_counter()
        self.longest_ms = max(self.longest_ms, (now - self._last) * 1000)
        self._last = now

    def _tick(self) -> None:
        self._note()
        self._timer = asyncio.get_running_loop().call_later(0.001, self._tick)
