"""Carries one message to its targets, all at once but bounded, and settles what failed for good.

Every step may run again after a crash: deliveries have op ids, a bounce has one too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.content import Content
from rmail_kernel.delivery import dsn, trace
from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.local import LocalDelivery
from rmail_kernel.delivery.recipients import NO_WAY_OUT, TROUBLE
from rmail_kernel.delivery.spool import Held, Spool
from rmail_kernel.delivery.targets import Entry, Result, Target
from rmail_kernel.errors import Temporary
from rmail_kernel.model import Address, Envelope, Reject, Submission
from rmail_kernel.observe.metrics import DELIVERIES

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

MAX_PARALLEL = 16
# RFC 5321 4.5.4.1: give-up time of at least 4 to 5 days; RFC 3463 3.5 X.4.7.
EXPIRY_S = 5 * 86400.0
NOTICE_LIFE_S = 2 * EXPIRY_S  # from the same moment on
EXPIRED = Reject("It could not be delivered in time", 554, "5.4.7")
_TAKEN = (Status.STORED, Status.QUEUED)
_log = structlog.get_logger("rmail.delivery")
Bounce = Callable[[Envelope, Content, str], Awaitable[None]]


class Courier:
    """Delivers entries.

    Args:
        bounce: hands in a DSN under an op id; raises Temporary when that must be tried again.
    """

    def __init__(self, kernel: Kernel, spool: Spool, bounce: Bounce) -> None:
        self._kernel = kernel
        self._spool = spool
        self._bounce = bounce
        self._local = LocalDelivery(kernel)

    async def carry(
        self, entry: Entry, content: Content, done: Mapping[str, Result]
    ) -> dict[str, Result]:
        """Tries every target that is not in `done`; the results of all. Never raises."""
        results = dict(done)
        waiting = [target for target in entry.targets if target.key not in results]
        for target in waiting:
            if target.refusal is not None:
                results[target.key] = Result(Status.REJECTED, target.refusal)
        waiting = [target for target in waiting if target.refusal is None]
        accounts = [target for target in waiting if target.account is not None]
        foreign = [target for target in waiting if target.account is None]
        slots = asyncio.Semaphore(MAX_PARALLEL)  # of one message, so that it leaves room for others
        works = [self._one(entry, content, target, slots) for target in accounts]
        if not foreign and len(works) == 1:  # nearly always: it needs no task
            results[accounts[0].key] = await works[0]
            return results
        *found, outside = await asyncio.gather(*works, self._outside(entry, content, foreign))
        results.update({target.key: result for target, result in zip(accounts, found, strict=True)})
        results.update({target.key: outside for target in foreign})
        return results

    async def finish(self, held: Held, results: Mapping[str, Result]) -> bool:
        """Settles an accepted entry after an attempt: bounces what failed for good, removes the
        entry when all is final. Whether it is gone.

        Raises:
            Temporary: the bounce or the spool does not work now; the entry stays as it was.
        """
        entry, settled = held.entry, dict(results)
        if held.owed:  # an attempt was cut off, perhaps before it told
            await self._report(held, held.owed)
        age_s = (self._kernel.clock.now() - entry.envelope.received_at).total_seconds()
        for key, result in results.items():
            if result.status is Status.DEFERRED and age_s > EXPIRY_S:
                settled[key] = Result(Status.REJECTED, EXPIRED)
        final = {key: r for key, r in settled.items() if r.status is not Status.DEFERRED}
        fresh = [key for key in final if key not in held.done]
        attempts = held.attempts + 1
        if _fates(entry, final, fresh):
            # Durable before it is told: what is told must stay so, and be told no second time.
            await self._kernel.run(self._spool.note, held, attempts, final, fresh)
            await self._report(held, fresh)
        if len(final) == len(entry.targets):
            await self._kernel.run(self._spool.remove, held)
            return True
        await self._kernel.run(self._spool.note, held, attempts, final)
        return False

    async def _one(
        self, entry: Entry, content: Content, target: Target, slots: asyncio.Semaphore
    ) -> Result:
        async with slots:
            return await self._local.deliver(entry.envelope, content, target, entry.op_id(target))

    async def _outside(self, entry: Entry, content: Content, foreign: Collection[Target]) -> Result:
        addresses = tuple(target.address for target in foreign)
        if not addresses:
            return Result(Status.QUEUED)
        hostname = self._kernel.settings.hostname
        for alias in _aliases(foreign):
            content = content.with_raw_prefix(trace.loop_field(alias, hostname))
        try:
            taken = await self._kernel.bus.first(
                "on_outbound",
                submission=Submission(entry.onward(), content),
                recipients=addresses,
                op_id=entry.id,
            )
        except Temporary:
            result = Result(Status.DEFERRED, TROUBLE)
        else:
            refused = Result(Status.REJECTED, NO_WAY_OUT)
            result = Result(Status.QUEUED) if taken else refused
        DELIVERIES.labels(result.status).inc(len(addresses))
        return result

    async def _report(self, held: Held, keys: Collection[str]) -> None:
        """Tells the sender of targets that are final and noted."""
        entry = held.entry
        fates = _fates(entry, held.done, keys)
        if not fates:
            return
        envelope = entry.envelope
        if envelope.sender is None or not dsn.is_wanted(held.content):
            failed = [str(fate.recipient) for fate in fates if fate.action is dsn.Action.FAILED]
            _log.warning("settled without a notice", entry=entry.id, failed=failed)
            return
        kernel = self._kernel
        hostname = kernel.settings.hostname
        now = kernel.clock.now()
        notice = dsn.compose(envelope, held.content, fates, hostname=hostname, now=now)
        way_back = dsn.envelope_to(envelope.sender, envelope, entry.id, now)
        # The attempt is part of the id: later failures of this message get their own notice.
        try:
            await self._bounce(way_back, notice, f"dsn:{entry.id}:{held.attempts - 1}")
        except Temporary as error:
            if (now - envelope.received_at).total_seconds() <= NOTICE_LIFE_S:
                raise
            _log.error(
                "notice given up", entry=entry.id, to=str(envelope.sender), reason=str(error)
            )


def owes_success(entry: Entry) -> bool:
    """Whether somebody is to be told that the message is in a mailbox here, or on its way to
    several (RFC 3461 4.1, 5.2.7.3).
    """
    if entry.envelope.sender is None or not any(o.wants("SUCCESS") for o in entry.envelope.options):
        return False
    expanded = entry.expanded()
    return any(
        target.account is not None or recipient in expanded
        for target in entry.targets
        for recipient in _asking(entry, target, "SUCCESS")
    )


def _asking(entry: Entry, target: Target, event: str) -> list[Address]:
    """The recipients of a target whose sender wants to hear of an event."""
    options_of = entry.envelope.options_of
    return [recipient for recipient in target.recipients if options_of(recipient).wants(event)]


def _aliases(foreign: Iterable[Target]) -> list[Address]:
    """The recipients that stand for some of these targets, each once."""
    named = ((one, target.address) for target in foreign for one in target.recipients)
    return list(dict.fromkeys(one for one, address in named if one.key != address.key))


def _fates(entry: Entry, settled: Mapping[str, Result], keys: Collection[str]) -> list[dsn.Fate]:
    """What there is to tell of some targets."""
    found: list[dsn.Fate] = []
    expanded = entry.expanded()
    for target in (target for target in entry.targets if target.key in keys):
        result = settled[target.key]
        if result.status is Status.REJECTED and isinstance(result.verdict, Reject):
            for recipient in _asking(entry, target, "FAILURE"):
                found.append(dsn.failure(recipient, result.verdict))
        elif result.status is Status.STORED:
            for recipient in _asking(entry, target, "SUCCESS"):
                # RFC 3464 2.3.3; RFC 3463 3.2: the address is valid.
                if recipient not in expanded:
                    found.append(dsn.Fate(recipient, dsn.Action.DELIVERED, "2.1.5"))
    return found + [
        dsn.Fate(recipient, dsn.Action.EXPANDED, "2.1.5")
        for recipient in entry.envelope.recipients
        if recipient in expanded
        and entry.envelope.options_of(recipient).wants("SUCCESS")
        and _is_first_success(entry, recipient, settled, keys)
    ]


def _is_first_success(
    entry: Entry, recipient: Address, settled: Mapping[str, Result], keys: Collection[str]
) -> bool:
    """Whether all places of a recipient that took the message did so with `keys`."""
    led_to = (target.key for target in entry.targets if recipient in target.recipients)
    taken = [key for key in led_to if key in settled and settled[key].status in _TAKEN]
    return bool(taken) and all(key in keys for key in taken)
