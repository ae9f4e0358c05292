"""Delivery to one local account: trace fields, `on_deliver`, the store, then `on_store`.

It never raises: whatever goes wrong becomes a result, so that one recipient cannot harm another.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.content import Content
from rmail_kernel.delivery import trace
from rmail_kernel.delivery.api import Status
from rmail_kernel.delivery.recipients import FULL, TROUBLE
from rmail_kernel.delivery.resolve import UNKNOWN
from rmail_kernel.delivery.targets import Result, Target
from rmail_kernel.errors import NotFound, QuotaExceeded, RmailError, Temporary
from rmail_kernel.model import Defer, Delivery, Discard, Envelope, Reject, Stored
from rmail_kernel.observe.metrics import DELIVERIES
from rmail_kernel.storage.mail import Appended, AppendItem

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

_log = structlog.get_logger("rmail.delivery")
_LOOP = Reject("Mail loop: it was delivered here before", 554, "5.4.6")  # RFC 3463 3.5


class LocalDelivery:
    """Delivers to accounts of this server."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def deliver(
        self, envelope: Envelope, content: Content, target: Target, op_id: str
    ) -> Result:
        """Stores a message in one account, or says why not.

        Args:
            op_id: a second delivery under the same one stores nothing.
        """
        try:
            result = await self._deliver(envelope, content, target, op_id)
        except RmailError as error:
            result = _explained(error, target)
        except Exception:  # noqa: BLE001 - one target's trouble must not reach the others
            _log.exception("delivery failed", account=target.account)
            result = Result(Status.DEFERRED, TROUBLE)
        DELIVERIES.labels(result.status).inc()
        if result.verdict is not None:
            verdict = result.verdict
            reason = f"{verdict.code} {verdict.status} {verdict.text}"
            _log.info("not delivered", account=target.account, reason=reason)
        return result

    async def _deliver(
        self, envelope: Envelope, content: Content, target: Target, op_id: str
    ) -> Result:
        assert target.account is not None, "an external target"
        # A message that was in this account already came back by a forward outside.
        if trace.was_delivered_to(content, target.address):
            return Result(Status.REJECTED, _LOOP)
        raw_trace = trace.delivery_fields(envelope.sender, target.address)
        traced = content.with_raw_prefix(raw_trace)
        delivery = Delivery(envelope, target.recipients[0], target.account, traced)
        answer = await self._kernel.bus.chain("on_deliver", "delivery", delivery)
        if isinstance(answer, Reject):
            return Result(Status.REJECTED, answer)
        if isinstance(answer, Defer):
            return Result(Status.DEFERRED, answer)
        if isinstance(answer, Discard):
            _log.info("discarded", account=target.account, reason=answer.reason)
            return Result(Status.DISCARDED)
        return await self._store(answer, op_id)

    async def _store(self, delivery: Delivery, op_id: str) -> Result:
        item = AppendItem(
            delivery.mailbox, delivery.content, delivery.flags, op_id=op_id, create=True
        )
        told = partial(self._stored, delivery)
        try:
            await self._kernel.mail.promise(delivery.account, item, told)
        except NotFound:
            if await self._kernel.directory.by_id(delivery.account) is None:
                return Result(Status.REJECTED, UNKNOWN)
            raise
        return Result(Status.STORED)

    def _stored(self, delivery: Delivery, stored: Appended) -> None:
        """The message is in its mailbox."""
        _log.info(
            "delivered",
            session=delivery.envelope.session.id,
            account=delivery.account,
            mailbox=delivery.mailbox,
            uid=stored.uid,
            size_bytes=delivery.content.size,
        )
        if self._kernel.bus.has("on_store"):
            told = Stored(delivery, stored.mailbox, stored.uid, stored.modseq)
            # In the background: whoever looks at stored mail must not delay the acknowledgement.
            telling = self._kernel.bus.notify("on_store", stored=told)
            self._kernel.spawn(telling, "on_store", is_telling=True)


def _explained(error: RmailError, target: Target) -> Result:
    if isinstance(error, QuotaExceeded):
        # RFC 3463 3.3, X.2.2: a persistent transient failure; RFC 5321 4.2.3: 452. Not 552,
        # which would bounce at once what fits after the owner has tidied up.
        return Result(Status.DEFERRED, FULL)
    if not isinstance(error, Temporary):
        # For example a mailbox name that no store takes, asked for by a plugin.
        _log.error(
            "delivery failed", account=target.account, reason=str(error), detail=error.fields
        )
    return Result(Status.DEFERRED, TROUBLE)
