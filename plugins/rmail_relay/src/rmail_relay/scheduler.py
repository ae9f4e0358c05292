"""Takes jobs that are due, as many as the limits allow, in every worker process.

It sleeps until the next job is due, work is announced or an attempt ends; never longer than LOOK_S,
since commands beside the server cannot wake it. A destination that is down is left alone for a
growing while and then tried by one message, so that it never holds up others.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

import structlog

from rmail_kernel.errors import Temporary
from rmail_kernel.kernel import Kernel
from rmail_kernel.storage.queue import Lease, topic
from rmail_relay.attempts import JITTER, Attempts
from rmail_relay.backoff import Backoff
from rmail_relay.config import RelaySettings
from rmail_relay.keeping import LEASE_S
from rmail_relay.outcome import Contact
from rmail_relay.queued import KIND
from rmail_relay.windows import Windows

LOOK_S = 2.0
TROUBLE_S = 5.0
_log = structlog.get_logger("rmail.relay")


class Scheduler:
    """The loop of one process."""

    def __init__(self, kernel: Kernel, attempts: Attempts) -> None:
        self._kernel = kernel
        self._attempts = attempts
        self._woken = asyncio.Event()
        self._running: set[asyncio.Task[Any]] = set()
        self._backoff = Backoff(kernel.clock)
        self._windows = Windows()
        self._chance = random.Random()  # noqa: S311 - jitter

    @property
    def _settings(self) -> RelaySettings:
        return self._attempts.settings

    async def run(self) -> None:
        """Works until the process drains."""
        drained = asyncio.ensure_future(self._kernel.draining.wait())
        drained.add_done_callback(lambda _: self._woken.set())
        try:
            with self._kernel.events.subscribe(topic(KIND), lambda _: self._woken.set()):
                while not self._kernel.draining.is_set():
                    await self._round()
        finally:
            drained.cancel()

    async def _round(self) -> None:
        self._woken.clear()
        try:
            taken = await self._take()
            pause_s = 0.0 if taken else await self._pause_s()
        except Temporary as error:
            _log.error("the queue cannot be read now", reason=str(error))
            pause_s = TROUBLE_S
        if pause_s > 0:
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                return

    async def _take(self) -> int:
        """Takes what is due and there is room for; how many jobs that were."""
        room = self._settings.max_parallel - len(self._running)
        if room <= 0:
            return 0
        leases = await self._kernel.queue.lease(
            KIND,
            room,
            LEASE_S,
            per_lane=self._settings.max_parallel_per_destination,
            total=1 << 30,
            room=self._windows.room(self._settings.max_parallel),
        )
        for lease in leases:
            self._windows.begun(lease.job.lane)
            # Shutdown waits for attempts under way, as long as sessions may take to end.
            task = self._kernel.spawn(self._work(lease), "relay", is_telling=True)
            self._running.add(task)
            task.add_done_callback(self._ended)
        return len(leases)

    async def _pause_s(self) -> float:
        due_at = await self._kernel.queue.next_due(KIND)
        if due_at is None or len(self._running) >= self._settings.max_parallel:
            return LOOK_S
        left_s = due_at - self._kernel.clock.time()
        # What is due and was not taken waits for room; the end of an attempt wakes us.
        return min(LOOK_S, left_s) if left_s > 0 else LOOK_S

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        self._woken.set()

    async def _work(self, lease: Lease) -> None:
        begun_at = self._kernel.clock.monotonic()
        contact = Contact.UNTRIED
        try:
            outcomes = await self._attempts.work(lease)
            contact = max((outcome.contact for outcome in outcomes), default=contact)
        finally:
            took_s = self._kernel.clock.monotonic() - begun_at
            is_down = self._windows.ended(lease.job.lane, contact, took_s)
        if contact is Contact.ANSWERED:
            self._backoff.works(lease.job.lane)
        elif contact is Contact.NONE and is_down:
            await self._leave_alone(lease.job.lane)

    async def _leave_alone(self, lane: str) -> None:
        backoff_s = self._backoff.failed(lane, self._settings.pauses_s)
        if backoff_s is None:  # what came since then waits too
            backoff_s = self._backoff.left_s(lane)
        else:
            backoff_s *= 1 + self._chance.uniform(-JITTER, JITTER)
            _log.info("destination left alone", destination=lane, backoff_s=round(backoff_s))
        await self._kernel.queue.postpone(KIND, lane, self._kernel.clock.time() + backoff_s)
