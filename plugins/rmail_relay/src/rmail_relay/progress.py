"""How far one attempt has come: fates as they become known, who told them, what went wrong.

Values only; it sends nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from rmail_kernel.model import Address
from rmail_relay.client.parcel import Parcel
from rmail_relay.client.session import Session
from rmail_relay.client.verdict import UNREACHED, PeerFailure, TakesNoMail, Verdict
from rmail_relay.outcome import Attempt, Contact, Kind, RecipientOutcome


@dataclass(slots=True)
class Progress:
    """An attempt under way.

    Attributes:
        has_address: some host has one. was_reached: some host was ready to take mail.
        failure: why the last host was of no use; `failed_host` is its name.
    """

    attempt: Attempt
    parcel: Parcel
    verdicts: dict[Address, Verdict] = field(default_factory=dict)
    told_by: dict[Address, Session] = field(default_factory=dict)
    has_address: bool = False
    was_reached: bool = False
    failure: PeerFailure | None = None
    failed_host: str = ""
    is_ours: bool = False  # what went wrong

    @property
    def pending(self) -> list[Address]:
        """Recipients without a fate."""
        recipients = self.attempt.envelope.recipients
        return [recipient for recipient in recipients if recipient not in self.verdicts]

    def settle(self, verdict: Verdict, session: Session | None = None) -> None:
        """The fate of all who are left."""
        for recipient in self.pending:
            self.verdicts[recipient] = verdict
            if session is not None:
                self.told_by[recipient] = session

    def give_up(self, text: str) -> None:
        """What went wrong is ours, and no other host would do better."""
        self.is_ours = True
        self.settle(Verdict(Kind.DEFERRED, 451, "4.3.0", text, is_heard=False))

    def fail(self, host: str, failure: PeerFailure) -> None:
        """A host was of no use; another may be. What a host said tells more than one that is not
        reached, and one that will take mail later counts for more than one that never does.
        """
        is_told = self.failure is not None and not isinstance(self.failure, TakesNoMail)
        if is_told and (failure.status == UNREACHED or isinstance(failure, TakesNoMail)):
            return
        self.failure, self.failed_host = failure, host

    def outcomes(self, at: datetime, recipients: Iterable[Address]) -> list[RecipientOutcome]:
        """What became of those whose fate is known."""
        return [self._outcome(at, recipient) for recipient in recipients]

    def _outcome(self, at: datetime, recipient: Address) -> RecipientOutcome:
        verdict = self.verdicts[recipient]
        session = self.told_by.get(recipient)
        has_dsn = session is not None and "DSN" in session.extensions
        return RecipientOutcome(
            recipient,
            verdict.kind,
            verdict.code,
            verdict.status,
            verdict.text,
            at,
            remote=self.failed_host if session is None else session.peer.host,
            tls="" if session is None else session.tls,
            is_dsn_relayed=has_dsn and verdict.kind is Kind.DELIVERED,
            contact=self._contact(verdict),
        )

    def _contact(self, verdict: Verdict) -> Contact:
        if verdict.is_heard:
            return Contact.ANSWERED
        if self.is_ours:
            return Contact.UNTRIED
        is_down = not self.was_reached or verdict.code == 421
        return Contact.NONE if is_down else Contact.CUT_OFF
