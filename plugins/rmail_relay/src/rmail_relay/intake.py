"""What the kernel hands over becomes jobs: one for each destination domain, durable on return.

It must never answer before the queue has taken all of a message, and never twice for one operation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import replace

import structlog

from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, Envelope, Submission
from rmail_kernel.storage.queue import NewJob
from rmail_relay.queued import KIND, Queued, encode
from rmail_relay.srs import Srs

_log = structlog.get_logger("rmail.relay")


class Intake:
    """Puts messages into the queue.

    Args:
        lane: the name under which deliveries to a domain are counted.
    """

    def __init__(self, kernel: Kernel, srs: Srs, lane: Callable[[str], str]) -> None:
        self._kernel = kernel
        self._srs = srs
        self._lane = lane

    async def take(self, submission: Submission, recipients: Iterable[Address], op_id: str) -> None:
        """Queues a message for foreign recipients.

        Args:
            op_id: the same when the same message comes again after a crash.

        Raises:
            Temporary: the disk does not take it; nothing is queued.
        """
        by_domain: dict[str, list[Address]] = {}
        for recipient in recipients:
            by_domain.setdefault(recipient.domain, []).append(recipient)
        outgoing = await self._rewritten(submission.envelope)
        now = self._kernel.clock.time()
        jobs = [
            NewJob(
                _job_id(op_id, domain),
                KIND,
                self._lane(domain),
                now,
                encode(_queued(submission.envelope, outgoing, domain, some)),
            )
            for domain, some in by_domain.items()
        ]
        await self._kernel.queue.put(jobs, submission.content)
        session = submission.envelope.session.id
        for job in jobs:
            _log.info("queued", message=job.id, domain=job.record["domain"], session=session)

    async def _rewritten(self, envelope: Envelope) -> Envelope:
        """With a sender that this server may send for: one of its own, or an SRS address."""
        sender = envelope.sender
        has_domain = self._kernel.directory.has_domain
        if sender is None or await has_domain(sender.domain):
            return envelope
        here = [r.domain for r in envelope.recipients if await has_domain(r.domain)]
        if not here:
            return envelope
        rewritten = self._srs.forward(sender, here[0], self._kernel.clock.time())
        if rewritten is None:
            _log.warning("sender too long to be rewritten", sender=str(sender))
            return envelope
        return replace(envelope, sender=rewritten)


def _queued(
    envelope: Envelope, outgoing: Envelope, domain: str, recipients: Iterable[Address]
) -> Queued:
    named = tuple(dict.fromkeys(recipients))
    options = tuple(found for found in envelope.options if found.recipient in named)
    going = replace(outgoing, recipients=named, options=options)
    return Queued(domain, going, notify=envelope.sender)


def _job_id(op_id: str, domain: str) -> str:
    """Short, and the same each time the same message comes for a domain."""
    digest = hashlib.sha256(f"{op_id}\0{domain}".encode()).hexdigest()
    return digest[:20]
