"""What a sender is told: failures, delays, and successes that nobody else will confirm.

Deciding and telling are apart: what is owed is durable before it is told, and telling it again
under the same operation does nothing. RFC 3461 5.2, 6; RFC 3464 2.3; RFC 5321 4.5.5.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime

import structlog

from rmail_kernel.content import Content
from rmail_kernel.delivery import dsn
from rmail_kernel.delivery.dsn import Action, Fate
from rmail_kernel.errors import Temporary
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, Defer
from rmail_relay.config import RelaySettings
from rmail_relay.outcome import Kind, RecipientOutcome
from rmail_relay.queued import Owed, Queued

IsWanted = Callable[[], bool]
DEFAULT_DELAY_S = 14_400.0
_EXPIRED = "5.4.7"  # RFC 3463 3.5: delivery time expired
_log = structlog.get_logger("rmail.relay")


def expired(queued: Queued, now: datetime) -> Queued:
    """With every open recipient failed: its time is over."""
    return queued.with_outcomes(
        _given_up(recipient, queued.last.get(recipient), now) for recipient in queued.open
    )


def _given_up(recipient: Address, last: RecipientOutcome | None, now: datetime) -> RecipientOutcome:
    if last is None:
        return RecipientOutcome(recipient, Kind.FAILED, 554, _EXPIRED, "Never tried in time", now)
    text = f"Given up; the last answer was: {last.code} {last.status} {last.text}"
    return replace(last, kind=Kind.FAILED, code=554, status=_EXPIRED, text=text)


def decided(
    before: Queued, after: Queued, settings: RelaySettings, age_s: float, *, is_wanted: IsWanted
) -> Queued:
    """`after` with the notices that are owed for what changed since `before`.

    Args:
        age_s: how long the message has been here.
        is_wanted: whether the message may be answered at all; asked when there is an answer.
    """
    if after.notify is None:
        return after
    waiting = frozenset(after.open)
    settled = [recipient for recipient in before.open if recipient not in waiting]
    failed = [
        r for r in settled if after.last[r].kind is Kind.FAILED and _wants(after, r, "FAILURE")
    ]
    # RFC 3461 5.2.2: a peer without DSN confirms nothing, so the last one who can does.
    relayed = [
        recipient
        for recipient in settled
        if after.last[recipient].kind is Kind.DELIVERED
        and not after.last[recipient].is_dsn_relayed
        and _wants(after, recipient, "SUCCESS")
    ]
    owing = after.owing(Action.FAILED, failed).owing(Action.RELAYED, relayed)
    owing = _delay_decided(owing, settings, age_s)
    return owing if len(owing.owed) == len(after.owed) or is_wanted() else after


def _delay_decided(queued: Queued, settings: RelaySettings, age_s: float) -> Queued:
    if queued.is_delay_told or age_s < (settings.delay_notice_s or DEFAULT_DELAY_S):
        return queued
    told = [
        recipient
        for recipient in queued.open
        if _wants(queued, recipient, "DELAY")
        and (settings.delay_notice_s is not None or _asked(queued, recipient))
    ]
    return replace(queued, is_delay_told=True).owing(Action.DELAYED, told)


def _wants(queued: Queued, recipient: Address, event: str) -> bool:
    return queued.envelope.options_of(recipient).wants(event)


def _asked(queued: Queued, recipient: Address) -> bool:
    return bool(queued.envelope.options_of(recipient).notify)


class Notices:
    """Hands notices in."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def tell(
        self, job_id: str, queued: Queued, content: Content, retry_until: datetime
    ) -> None:
        """Tells all that is owed; doing it again does nothing more.

        Raises:
            Temporary: it cannot be handed in now.
        """
        for owed in queued.owed:
            await self._tell(job_id, queued, owed, content, retry_until)

    async def _tell(
        self, job_id: str, queued: Queued, owed: Owed, content: Content, retry_until: datetime
    ) -> None:
        assert queued.notify is not None, "nothing is owed to nobody"
        kernel = self._kernel
        now = kernel.clock.now()
        fates = [
            _fate(queued, recipient, owed.action, retry_until) for recipient in owed.recipients
        ]
        envelope = replace(queued.envelope, sender=queued.notify)
        hostname = kernel.settings.hostname
        notice = dsn.compose(envelope, content, fates, hostname=hostname, now=now)
        way_back = dsn.envelope_to(queued.notify, envelope, job_id, now)
        op_id = f"relay-dsn:{job_id}:{owed.number}"
        report = await kernel.delivery.submit(way_back, notice, op_id=op_id, keep=True)
        if isinstance(report.verdict, Defer):
            raise Temporary("The notice cannot be handed in now", reason=report.verdict.text)
        _log.info(
            "sender told",
            message=job_id,
            action=owed.action.value,
            to=str(queued.notify),
            accepted=report.is_accepted,
        )


def _fate(queued: Queued, recipient: Address, action: Action, retry_until: datetime) -> Fate:
    last = queued.last[recipient]
    return Fate(
        recipient,
        action,
        last.status,
        f"{last.code} {last.status} {last.text}",
        last.remote,
        last.at,
        retry_until if action is Action.DELAYED else None,
    )
