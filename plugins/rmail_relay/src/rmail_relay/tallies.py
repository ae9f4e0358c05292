"""The metrics of the queue (Prometheus), set by one process for all."""

from __future__ import annotations

import asyncio

import structlog
from prometheus_client import Gauge

from rmail_kernel.errors import Temporary
from rmail_kernel.kernel import Kernel
from rmail_relay.queued import KIND

INTERVAL_S = 15.0
JOBS = Gauge(
    "rmail_relay_queue_jobs",
    "Messages in the outbound queue, one for each destination domain, by state",
    ["state"],
    multiprocess_mode="livemostrecent",
)
OLDEST = Gauge(
    "rmail_relay_queue_oldest_seconds",
    "Age of the oldest message in the outbound queue",
    multiprocess_mode="livemostrecent",
)
_log = structlog.get_logger("rmail.relay")


async def watch(kernel: Kernel) -> None:
    """Counts until it is cancelled."""
    while True:
        try:
            await count(kernel)
        except Temporary as error:
            _log.warning("the queue cannot be counted now", reason=str(error))
        await asyncio.sleep(INTERVAL_S)


async def count(kernel: Kernel) -> None:
    """Sets the metrics. Temporary: the queue cannot be read now."""
    found = await kernel.queue.tally(KIND)
    JOBS.labels("waiting").set(found.waiting)
    JOBS.labels("leased").set(found.leased)
    JOBS.labels("held").set(found.held)
    age_s = 0.0 if found.oldest_at is None else kernel.clock.time() - found.oldest_at
    OLDEST.set(max(0.0, age_s))
