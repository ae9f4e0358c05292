"""The watchdog of the event loop: measures how late a timer runs, for the metric and the log."""

from __future__ import annotations

import asyncio

import structlog

from rmail_kernel.observe.metrics import LOOP_LAG

INTERVAL_S = 0.5
WARN_S = 0.5
_log = structlog.get_logger("rmail.loop")


async def watch(interval_s: float = INTERVAL_S) -> None:
    """Measures until it is cancelled.

    Args:
        interval_s: seconds between two measurements.
    """
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        lag_s = max(0.0, loop.time() - due)
        LOOP_LAG.observe(lag_s)
        if lag_s > WARN_S:
            _log.warning("the event loop was blocked", lag_s=round(lag_s, 3))
