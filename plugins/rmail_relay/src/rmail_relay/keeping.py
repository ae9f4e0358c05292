"""Holds on to the leases of attempts under way: one task renews them all.

An attempt whose lease is lost ends at once, before anybody else works on the message.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import structlog

from rmail_kernel.errors import Conflict, Temporary
from rmail_kernel.storage.queue import Lease, Queue

LEASE_S = 120.0
RENEW_S = 40.0
_LOOKS = 4  # for each time that a lease is renewed
_log = structlog.get_logger("rmail.relay")


class LeaseLost(Exception):
    """Somebody else may have the job now."""


@dataclass(eq=False, slots=True)
class _Hold:
    lease: Lease
    task: asyncio.Task[Any]
    renewed_at: float  # by the clock of the event loop
    is_lost: bool = False

    def lose(self) -> None:
        self.is_lost = True
        self.task.cancel()


class Keeper:
    """The leases of one process."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self._holds: set[_Hold] = set()

    async def run(self) -> None:
        """Renews until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(RENEW_S / _LOOKS)
            due = [hold for hold in self._holds if loop.time() - hold.renewed_at >= RENEW_S]
            try:
                await asyncio.gather(*map(self._renew, due))
            except Exception:  # noqa: BLE001 - without it every lease would be lost in the end
                _log.exception("leases were not renewed")

    @contextmanager
    def holding(self, lease: Lease) -> Iterator[None]:
        """Holds a lease that was taken just now for as long as the block takes.

        Raises:
            LeaseLost: it ended, and the block was cancelled for it.
        """
        task = asyncio.current_task()
        assert task is not None, "outside of a task"
        hold = _Hold(lease, task, asyncio.get_running_loop().time())
        cancelling = task.cancelling()
        self._holds.add(hold)
        try:
            yield
        except asyncio.CancelledError:
            if hold.is_lost and task.uncancel() <= cancelling:
                raise LeaseLost from None
            raise
        finally:
            self._holds.discard(hold)

    async def _renew(self, hold: _Hold) -> None:
        loop = asyncio.get_running_loop()
        begun_at = loop.time()
        try:
            await self._queue.renew(hold.lease, LEASE_S)
        except Conflict:
            is_lost = True
        except Temporary:
            is_lost = loop.time() - hold.renewed_at > LEASE_S - RENEW_S
        else:
            hold.renewed_at = begun_at
            return
        if is_lost and hold in self._holds:
            hold.lose()
