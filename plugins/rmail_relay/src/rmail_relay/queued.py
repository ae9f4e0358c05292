"""The record of a job: one message for one destination domain, and what became of each recipient.

Values and their JSON (version 1) only; it knows no queue and no wire.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from rmail_kernel.delivery.dsn import Action
from rmail_kernel.delivery.records import envelope_of, envelope_record, known_address
from rmail_kernel.errors import Corrupt
from rmail_kernel.model import Address, Envelope
from rmail_relay.outcome import Kind, RecipientOutcome

KIND = "relay"  # of jobs
VERSION = 1
_WRONG = (KeyError, TypeError, ValueError, AttributeError)


@dataclass(frozen=True, slots=True)
class Owed:
    """A notice that the sender must get; `number` makes it one operation, however often it is
    tried.
    """

    number: int
    action: Action
    recipients: tuple[Address, ...]


@dataclass(frozen=True, slots=True)
class Queued:
    """One message for one destination domain.

    Attributes:
        envelope: as the message goes out; its recipients are those of this domain.
        notify: where notices go: the sender before any rewriting, None nowhere.
        last: the last outcome of each recipient that was tried.
        owed: notices that were decided on and may not have been handed in.
        notices: how many were decided on. is_delay_told: the sender knows that it takes long.
    """

    domain: str
    envelope: Envelope
    notify: Address | None = None
    last: Mapping[Address, RecipientOutcome] = field(default_factory=dict)
    owed: tuple[Owed, ...] = ()
    notices: int = 0
    is_delay_told: bool = False

    @property
    def open(self) -> tuple[Address, ...]:
        """Recipients that are to be tried (again)."""
        return tuple(
            recipient
            for recipient in self.envelope.recipients
            if recipient not in self.last or self.last[recipient].kind is Kind.DEFERRED
        )

    def with_outcomes(self, outcomes: Iterable[RecipientOutcome]) -> Queued:
        """After an attempt."""
        return replace(self, last={**self.last, **{one.recipient: one for one in outcomes}})

    def owing(self, action: Action, recipients: Iterable[Address]) -> Queued:
        """With one more notice, unless there is nobody in it."""
        named = tuple(recipients)
        if not named:
            return self
        owed = Owed(self.notices + 1, action, named)
        return replace(self, owed=(*self.owed, owed), notices=owed.number)


def encode(queued: Queued) -> dict[str, Any]:
    """The message as JSON."""
    return {
        "version": VERSION,
        "domain": queued.domain,
        "envelope": envelope_record(queued.envelope),
        "notify": None if queued.notify is None else str(queued.notify),
        "last": [_outcome_record(outcome) for outcome in queued.last.values()],
        "owed": [[o.number, o.action, [str(r) for r in o.recipients]] for o in queued.owed],
        "notices": queued.notices,
        "delay_told": queued.is_delay_told,
    }


def decode(record: Mapping[str, Any]) -> Queued:
    """The message in a record.

    Raises:
        Corrupt: it makes no sense, or is of another version.
    """
    try:
        if record["version"] != VERSION:
            raise Corrupt("A queued message of another version", version=record["version"])
        outcomes = [_outcome(one) for one in record["last"]]
        return Queued(
            domain=record["domain"],
            envelope=envelope_of(_copied(record["envelope"])),
            notify=None if record["notify"] is None else known_address(record["notify"]),
            last={outcome.recipient: outcome for outcome in outcomes},
            owed=tuple(
                Owed(number, Action(action), tuple(map(known_address, recipients)))
                for number, action, recipients in record["owed"]
            ),
            notices=record["notices"],
            is_delay_told=record["delay_told"],
        )
    except _WRONG as error:
        raise Corrupt("An unreadable queued message", reason=repr(error)) from error


def _copied(record: Mapping[str, Any]) -> dict[str, Any]:
    # Reading an envelope takes its session apart.
    return {**record, "session": dict(record["session"])}


def _outcome_record(outcome: RecipientOutcome) -> dict[str, Any]:
    return {
        "recipient": str(outcome.recipient),
        "kind": outcome.kind,
        "code": outcome.code,
        "status": outcome.status,
        "text": outcome.text,
        "at": outcome.at.isoformat(),
        "remote": outcome.remote,
        "tls": outcome.tls,
        "is_dsn_relayed": outcome.is_dsn_relayed,
    }


def _outcome(record: Mapping[str, Any]) -> RecipientOutcome:
    return RecipientOutcome(
        recipient=known_address(record["recipient"]),
        kind=Kind(record["kind"]),
        code=record["code"],
        status=record["status"],
        text=record["text"],
        at=datetime.fromisoformat(record["at"]),
        remote=record["remote"],
        tls=record["tls"],
        is_dsn_relayed=record["is_dsn_relayed"],
    )
