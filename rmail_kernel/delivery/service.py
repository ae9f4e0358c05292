"""The delivery service: the only way mail enters the store from outside.

Policy, then a durable commitment, then every target; an accepted message is never lost.
RFC 5321 6.1 (responsibility), 6.3 (loops).
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.content import Content
from rmail_kernel.delivery import trace
from rmail_kernel.delivery.allowance import Allowance
from rmail_kernel.delivery.api import Outcome, Report, Status
from rmail_kernel.delivery.courier import Courier, owes_success
from rmail_kernel.delivery.recipients import RELAYING_DENIED, TROUBLE, Recipients, may_relay
from rmail_kernel.delivery.recovery import Recovery
from rmail_kernel.delivery.resolve import LOOP, UNKNOWN, Resolver
from rmail_kernel.delivery.spool import Held, Spool
from rmail_kernel.delivery.targets import Entry, Result, Target, outcomes, verdict_of
from rmail_kernel.errors import RmailError, Temporary
from rmail_kernel.model import (
    Address,
    Annotate,
    Defer,
    Discard,
    Envelope,
    Principal,
    Reject,
    SessionInfo,
    Submission,
)
from rmail_kernel.tasks import SingletonTask

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

MAX_TARGETS = 1000  # of one message, after aliases
_TOO_MANY_HOPS = Reject("Too many hops, this looks like a mail loop", 554, "5.4.6")
_TOO_MANY_TARGETS = Reject("Too many recipients after alias expansion", 554, "5.5.3")
_log = structlog.get_logger("rmail.delivery")


class Delivering:
    """`rmail_kernel.delivery.api.DeliveryService`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._resolver = Resolver(kernel)
        self._recipients = Recipients(kernel, self._resolver)
        self._allowance = Allowance(kernel)
        self._spool = Spool(kernel.settings.mail_root / "spool")
        self._courier = Courier(kernel, self._spool, self._bounce)
        self._recovery = Recovery(kernel, self._spool, self._courier)

    def tasks(self) -> list[SingletonTask]:
        """Work that one process does for all: retries of what waits in the spool."""
        return [SingletonTask("delivery-spool", self._recovery.run)]

    async def check_recipient(
        self,
        session: SessionInfo,
        sender: Address | None,
        recipient: Address,
        notes: list[Annotate] | None = None,
        size_bytes: int = 0,
    ) -> Reject | Defer | None:
        """See `DeliveryService.check_recipient`."""
        return await self._recipients.check(session, sender, recipient, notes, size_bytes)

    async def may_send_as(self, principal: Principal, sender: Address) -> bool:
        """See `DeliveryService.may_send_as`."""
        return await self._recipients.may_send_as(principal, sender)

    async def may_send_now(self, principal: Principal) -> Defer | None:
        """See `DeliveryService.may_send_now`."""
        return await self._allowance.check(principal)

    async def submit(
        self, envelope: Envelope, content: Content, *, op_id: str | None = None, keep: bool = False
    ) -> Report:
        """See `DeliveryService.submit`."""
        try:
            submission = await self._judged(envelope, content)
            if isinstance(submission, Discard):
                _log.info("discarded", reason=submission.reason)
                return _same_for_all(envelope, Result(Status.DISCARDED))
            if isinstance(submission, Reject | Defer):
                return _refused(envelope, submission)
            entry = await self._plan(submission, _entry_id(op_id))
            if len(entry.targets) > MAX_TARGETS:
                return _refused(envelope, _TOO_MANY_TARGETS)
            if envelope.session.principal is not None:
                refusal = await self._allowance.take(envelope.session.principal)
                if refusal is not None:
                    return _refused(envelope, refusal)
            return await self._accept(entry, submission.content, keep=keep)
        except RmailError as error:
            # Nothing was committed: Temporary from a hook or the store, a full disk.
            _log.warning("not accepted", reason=str(error), detail=error.fields)
            return _refused(envelope, TROUBLE)

    async def _judged(
        self, envelope: Envelope, content: Content
    ) -> Submission | Reject | Defer | Discard:
        """The message with its trace fields, after policy."""
        facts = trace.inspect(content)
        if facts.received > trace.MAX_RECEIVED:
            return _TOO_MANY_HOPS
        hostname = self._kernel.settings.hostname
        if envelope.session.principal is not None:
            fixes = trace.missing_fields(facts, envelope.received_at, hostname)
            content = content.with_raw_prefix(fixes)
        content = content.with_raw_prefix(trace.received_field(envelope, hostname))
        submission = Submission(envelope, content)
        return await self._kernel.bus.chain("on_message", "submission", submission)

    async def _plan(self, submission: Submission, entry_id: str) -> Entry:
        """Where the message goes: each place once."""
        envelope = submission.envelope
        targets: dict[str, Target] = {}
        for recipient in dict.fromkeys(envelope.recipients):
            for target in await self._targets_of(submission, recipient):
                known = targets.get(target.key)
                merged = known and replace(known, recipients=(*known.recipients, recipient))
                targets[target.key] = merged or target
        return Entry(entry_id, envelope, tuple(targets.values()))

    async def _targets_of(self, submission: Submission, recipient: Address) -> Iterable[Target]:
        found = await self._resolver.resolve(recipient)
        refusal = found.refusal
        if not found.is_local and not may_relay(submission.envelope.session):
            refusal = RELAYING_DENIED
        elif found.is_local and found.external:
            hostname = self._kernel.settings.hostname
            if trace.has_left_by(submission.content, recipient, hostname):
                refusal = LOOP
        if refusal is not None or not found.size:
            return [Target(recipient, (recipient,), None, refusal or UNKNOWN)]
        accounts = found.accounts.values()
        return [
            *(Target(account.address, (recipient,), account.id) for account in accounts),
            *(Target(address, (recipient,)) for address in found.external.values()),
        ]

    async def _accept(self, entry: Entry, content: Content, *, keep: bool) -> Report:
        if not _is_one_commitment(entry) or owes_success(entry):
            return await self._accept_by_spool(entry, content, keep=keep)
        results = await self._courier.carry(entry, content, {})
        verdict = verdict_of(results.values())
        if not keep or not isinstance(verdict, Defer):
            return Report(outcomes(entry, results), verdict)
        held = await self._kernel.run(self._spool.write, entry, content)
        held.release()
        self._recovery.expect(entry.id)
        return Report(_as_accepted(outcomes(entry, results)))

    async def _accept_by_spool(self, entry: Entry, content: Content, *, keep: bool) -> Report:
        held = await self._kernel.run(self._spool.write, entry, content)
        try:
            results = await self._courier.carry(entry, content, {})
        except BaseException:
            held.release()  # cancelled: recovery finishes it
            raise
        verdict = verdict_of(results.values())
        if isinstance(verdict, Reject) or (verdict is not None and not keep):
            await self._kernel.run(self._spool.remove, held)
            return Report(outcomes(entry, results), verdict)
        has_failed = any(result.status is Status.REJECTED for result in results.values())
        if has_failed or owes_success(entry):
            # The notice must not delay the acknowledgement; the entry stays until it is handed in.
            self._kernel.spawn(self._finish(held, results), "delivery-finish")
        else:
            await self._finish(held, results)
        return Report(_as_accepted(outcomes(entry, results)))

    async def _finish(self, held: Held, results: Mapping[str, Result]) -> None:
        try:
            if await self._courier.finish(held, results):
                return
        except Temporary as error:
            _log.warning("spool entry waits", entry=held.entry.id, reason=str(error))
        finally:
            held.release()
        self._recovery.expect(held.entry.id)

    async def _bounce(self, envelope: Envelope, notice: Content, op_id: str) -> None:
        report = await self.submit(envelope, notice, op_id=op_id, keep=True)
        if isinstance(report.verdict, Defer):
            raise Temporary("The bounce cannot be handed in now", reason=report.verdict.text)
        _log.info("bounced", to=str(envelope.recipients[0]), accepted=report.is_accepted)


def _entry_id(op_id: str | None) -> str:
    """A name fit for a file: random, or the same for each retry of one operation."""
    return uuid.uuid4().hex if op_id is None else hashlib.sha256(op_id.encode()).hexdigest()[:32]


def _is_one_commitment(entry: Entry) -> bool:
    """Whether a single act of one store or one queue accepts the message or nothing does; only
    then it needs no spool entry to be atomic.
    """
    accounts = sum(target.account is not None for target in entry.targets)
    refusals = sum(target.refusal is not None for target in entry.targets)
    has_foreign = len(entry.targets) > accounts + refusals
    commitments = accounts + has_foreign
    return commitments == 0 or (commitments == 1 and not refusals)


def _same_for_all(envelope: Envelope, result: Result) -> Report:
    found = [Outcome(r, result.status, result.verdict) for r in envelope.recipients]
    return Report(tuple(found), result.verdict)


def _refused(envelope: Envelope, verdict: Reject | Defer) -> Report:
    status = Status.REJECTED if isinstance(verdict, Reject) else Status.DEFERRED
    return _same_for_all(envelope, Result(status, verdict))


def _as_accepted(found: tuple[Outcome, ...]) -> tuple[Outcome, ...]:
    """After acceptance, what is deferred is ours to finish."""
    return tuple(
        replace(outcome, status=Status.QUEUED) if outcome.status is Status.DEFERRED else outcome
        for outcome in found
    )
