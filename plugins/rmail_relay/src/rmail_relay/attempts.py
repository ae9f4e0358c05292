"""One lease from its beginning to its end: send, write down what became of it, then act on it.

What a peer answered is durable before anything else is done with it, so that a crash repeats no
delivery and no notice. It ends when the lease does.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import structlog

from rmail_kernel.content import Content
from rmail_kernel.delivery import dsn
from rmail_kernel.errors import Conflict, Corrupt, NotFound, Temporary
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Relayed
from rmail_kernel.storage.queue import Lease
from rmail_relay.config import RelaySettings
from rmail_relay.keeping import LEASE_S, Keeper, LeaseLost
from rmail_relay.notices import IsWanted, Notices, decided, expired
from rmail_relay.outcome import Attempt, Kind, RecipientOutcome, Transport
from rmail_relay.queued import Queued, decode, encode

FIRST_PAUSE_S = 60.0
LONGEST_PAUSE_S = 3600.0
"""Between attempts to read a message or to hand in a notice, which is trouble of this server."""
NOTICE_LIFE_S = 5 * 86400.0
"""How long after the end of its message a notice is tried."""
JITTER = 0.1
_PAUSES_S = (0.2, 1.0, 5.0)
_log = structlog.get_logger("rmail.relay")


class Attempts:
    """Works on leases.

    Args:
        chance: for the jitter between attempts.
    """

    def __init__(self, kernel: Kernel, transport: Transport, settings: RelaySettings) -> None:
        self._kernel = kernel
        self._transport = transport
        self._notices = Notices(kernel)
        self._keeper = Keeper(kernel.queue)
        self._chance = random.Random()  # noqa: S311 - jitter
        self.settings = settings

    async def keep_leases(self) -> None:
        """Holds on to what is worked on, until it is cancelled."""
        await self._keeper.run()

    async def work(self, lease: Lease) -> list[RecipientOutcome]:
        """Does what a lease is for; what the transport answered."""
        try:
            return await self._work(lease)
        except (Conflict, LeaseLost):
            _log.warning("lease lost", message=lease.job.id)
        except Corrupt as error:
            _log.error("queued message put on hold", message=lease.job.id, reason=str(error))
            await self._set_aside(lease, "unreadable")
        return []

    async def _work(self, lease: Lease) -> list[RecipientOutcome]:
        before = decode(lease.job.record)
        try:
            content = await self._kernel.queue.content(lease.job)
        except NotFound as error:
            raise Corrupt("The message of a job is gone") from error
        except Temporary as error:
            await self._give_back(lease, error.safe, _trouble_pause_s(lease))
            return []
        is_wanted = partial(dsn.is_wanted, content)
        outcomes = await self._deliver(lease, before, content, is_wanted)
        after = before.with_outcomes(outcomes)
        try:
            after = self._after(lease, before, after, is_wanted)
            await self._settle(lease, before, after, content)
        except (Conflict, LeaseLost):
            raise
        except Exception:  # noqa: BLE001 - or it would be sent again with the end of each lease
            _log.exception("queued message put on hold", message=lease.job.id)
            await self._set_aside(lease, "an error of this server", after)
        return outcomes

    async def _set_aside(self, lease: Lease, reason: str, queued: Queued | None = None) -> None:
        """Puts a message on hold, for a person to look at; what is known of it is kept."""
        await self._durably(lambda: self._kernel.queue.hold(lease.job.kind, [lease.job.id]))
        await self._give_back(lease, reason, LEASE_S, queued)

    async def _deliver(
        self, lease: Lease, queued: Queued, content: Content, is_wanted: IsWanted
    ) -> list[RecipientOutcome]:
        # What is owed from an attempt that was cut off is told first; the rest comes after it.
        waiting = queued.open
        if not waiting or queued.owed:
            return []
        envelope = queued.envelope
        if waiting != envelope.recipients:
            envelope = replace(envelope, recipients=waiting)

        async def keep(outcomes: Sequence[RecipientOutcome]) -> None:
            # With the notices that are owed for them: after a crash nobody else decides on those.
            known = queued.with_outcomes(outcomes)
            kept = decided(queued, known, self.settings, age_s=0.0, is_wanted=is_wanted)
            await self._durably(lambda: self._kernel.queue.note(lease, encode(kept)))

        attempt = Attempt(lease.job.id, queued.domain, envelope, content, keep)
        with self._keeper.holding(lease):
            return await self._transport.deliver(attempt)

    def _after(self, lease: Lease, before: Queued, after: Queued, is_wanted: IsWanted) -> Queued:
        if before.owed:
            return after
        now = self._kernel.clock.now()
        age_s = now.timestamp() - lease.job.created_at
        if age_s >= self.settings.max_age_s:
            after = expired(after, now)
        return decided(before, after, self.settings, age_s, is_wanted=is_wanted)

    async def _settle(self, lease: Lease, before: Queued, after: Queued, content: Content) -> None:
        """Makes it durable, tells whom it concerns, and gives the job back or ends it."""
        if after.owed:
            if after != before:
                await self._durably(lambda: self._kernel.queue.note(lease, encode(after)))
            try:
                with self._keeper.holding(lease):
                    await self._tell(lease, after, content)
            except Temporary as error:
                if not self._is_in_vain(lease, after, error):
                    await self._give_back(lease, error.safe, _trouble_pause_s(lease), after)
                    await self._announce(lease, before, after)
                    return
        final = replace(after, owed=()) if after.owed else after
        if not final.open:
            await self._durably(lambda: self._kernel.queue.done(lease))
        elif before.owed:  # only the notices were made up for
            await self._give_back(lease, lease.job.error, 0.0, final)
        else:
            await self._give_back(lease, _reason(final), self._pause_s(lease), final)
        await self._announce(lease, before, after)

    def _is_in_vain(self, lease: Lease, queued: Queued, error: Temporary) -> bool:
        """Whether a notice that cannot be handed in is given up."""
        age_s = self._kernel.clock.time() - lease.job.created_at
        is_over = age_s >= self.settings.max_age_s + NOTICE_LIFE_S
        tell = _log.error if is_over else _log.warning
        tell(
            "notice given up" if is_over else "notice waits",
            message=lease.job.id,
            to=str(queued.notify),
            recipients=[str(each) for owed in queued.owed for each in owed.recipients],
            reason=str(error),
            attempts=lease.job.attempts + 1,
        )
        return is_over

    def _tell(self, lease: Lease, queued: Queued, content: Content) -> Coroutine[Any, Any, None]:
        created = datetime.fromtimestamp(lease.job.created_at, UTC)
        until = created + timedelta(seconds=self.settings.max_age_s)
        return self._notices.tell(lease.job.id, queued, content, until)

    def _pause_s(self, lease: Lease) -> float:
        """Until the next attempt; the last one is when the time is over."""
        pauses = self.settings.pauses_s
        pause_s = pauses[min(lease.job.attempts, len(pauses) - 1)]
        pause_s *= 1 + self._chance.uniform(-JITTER, JITTER)
        left_s = lease.job.created_at + self.settings.max_age_s - self._kernel.clock.time()
        return max(0.0, min(pause_s, left_s))

    async def _give_back(
        self, lease: Lease, error: str, pause_s: float, queued: Queued | None = None
    ) -> None:
        record = lease.job.record if queued is None else encode(queued)
        due_at = self._kernel.clock.time() + pause_s
        await self._durably(lambda: self._kernel.queue.retry(lease, due_at, error[:500], record))

    async def _durably(self, write: Callable[[], Awaitable[Any]]) -> None:
        """Writes down what is known, however long the disk takes: it must not be done again."""
        attempt = 0
        while True:
            try:
                await write()
                return
            except Temporary as error:
                _log.error("the outcome cannot be written down yet", reason=str(error))
                await asyncio.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
                attempt += 1

    async def _announce(self, lease: Lease, before: Queued, after: Queued) -> None:
        """Tells plugins what is final now."""
        if not any(map(self._kernel.bus.has, ("on_relayed", "on_bounce"))):
            return
        for recipient in before.open:
            outcome = after.last.get(recipient)
            if outcome is None or outcome.kind is Kind.DEFERRED:
                continue
            hook = "on_relayed" if outcome.kind is Kind.DELIVERED else "on_bounce"
            if self._kernel.bus.has(hook):
                told = Relayed(
                    lease.job.id,
                    before.envelope,
                    recipient,
                    outcome.code,
                    outcome.status,
                    outcome.text,
                    outcome.remote,
                    outcome.tls,
                    outcome.at,
                )
                await self._kernel.bus.notify(hook, relayed=told)


def _trouble_pause_s(lease: Lease) -> float:
    doubled_s = FIRST_PAUSE_S * 2.0 ** min(lease.job.attempts, 10)
    return min(doubled_s, LONGEST_PAUSE_S)


def _reason(queued: Queued) -> str:
    """Why a message still waits, in one line."""
    waiting = [queued.last[recipient] for recipient in queued.open if recipient in queued.last]
    return "" if not waiting else f"{waiting[0].code} {waiting[0].status} {waiting[0].text}"
