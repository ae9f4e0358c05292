"""Tries again what is left in the spool: at start, when an entry stays, and with growing pauses.

It runs in one process at a time; entries that another process works on are locked and left alone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.delivery.courier import Courier
from rmail_kernel.delivery.spool import Spool
from rmail_kernel.errors import Corrupt, Temporary

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

PAUSES_S = (30.0, 60.0, 300.0, 900.0, 1800.0, 3600.0)
# Other processes leave entries too and cannot wake this one.
LOOK_S = 30.0
_log = structlog.get_logger("rmail.delivery")


class Recovery:
    """The retry loop of the spool."""

    def __init__(self, kernel: Kernel, spool: Spool, courier: Courier) -> None:
        self._kernel = kernel
        self._spool = spool
        self._courier = courier
        self._due: dict[str, float] = {}  # entry id -> monotonic time of its next attempt
        self._woken = asyncio.Event()

    def expect(self, entry_id: str) -> None:
        """Tells of an entry that was tried just now and stayed."""
        self._postpone(entry_id, attempts=0)
        self._woken.set()

    async def run(self) -> None:
        """Works for as long as the process holds the lease."""
        await self._kernel.run(self._spool.tidy)
        while True:
            self._woken.clear()
            pause_s = await self.run_once()
            try:
                async with asyncio.timeout(pause_s):
                    await self._woken.wait()
            except TimeoutError:
                continue

    async def run_once(self) -> float:
        """Tries every entry that is due; seconds until there is something to do."""
        ids = await self._kernel.run(self._spool.ids)
        existing = frozenset(ids)
        self._due = {entry_id: due for entry_id, due in self._due.items() if entry_id in existing}
        for entry_id in ids:
            if self._due.get(entry_id, 0.0) <= self._kernel.clock.monotonic():
                await self._try(entry_id)
        now = self._kernel.clock.monotonic()
        return max(0.0, min([LOOK_S, *(due - now for due in self._due.values())]))

    async def _try(self, entry_id: str) -> None:
        try:
            held = await self._kernel.run(self._spool.take, entry_id)
        except Corrupt as error:
            _log.error(
                "spool entry put aside", entry=entry_id, reason=str(error), detail=error.fields
            )
            return
        except Temporary as error:
            _log.error("spool entry waits", entry=entry_id, reason=str(error), detail=error.fields)
            self._postpone(entry_id, attempts=0)
            return
        if held is None:
            return
        attempts = held.attempts  # before this one, which adds to it
        with structlog.contextvars.bound_contextvars(session=held.entry.envelope.session.id):
            try:
                results = await self._courier.carry(held.entry, held.content, held.done)
                if await self._courier.finish(held, results):
                    self._due.pop(entry_id, None)
                    return
            except Temporary as error:
                _log.warning("spool entry waits", entry=entry_id, reason=str(error))
            except Exception:  # noqa: BLE001 - whatever it is, the other entries go on
                _log.exception("spool entry waits", entry=entry_id)
            finally:
                held.release()
        self._postpone(entry_id, attempts)

    def _postpone(self, entry_id: str, attempts: int) -> None:
        pause_s = PAUSES_S[min(attempts, len(PAUSES_S) - 1)]
        self._due[entry_id] = self._kernel.clock.monotonic() + pause_s
