"""The seam between the queue and the SMTP client: what one attempt is given and what it gives back.

Values and one protocol only. The queue knows no wire, a transport knows no queue.
RFC 5321 4.2 (codes), RFC 3463 (status), RFC 3464 2.3 (what a notice tells of them).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Protocol, TypeAlias

from rmail_kernel.content import Content
from rmail_kernel.model import Address, Envelope


class Kind(StrEnum):
    """The fate of one recipient in one attempt."""

    DELIVERED = "delivered"  # the peer said yes: it must never be tried again
    DEFERRED = "deferred"  # not now: 4yz, no answer, no connection, no DNS
    FAILED = "failed"  # for good: 5yz, no such domain, null MX


class Contact(IntEnum):
    """How far an attempt came with the destination, the better the greater."""

    UNTRIED = 0  # what went wrong is ours
    NONE = 1  # no DNS, no connection, 421: other mail for it need not try at once
    CUT_OFF = 2  # it was ready for mail, and then left, fell silent or made no sense
    ANSWERED = 3


Keep: TypeAlias = "Callable[[Sequence[RecipientOutcome]], Awaitable[None]]"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One message for recipients of one destination domain.

    Attributes:
        id: names the message in logs, the same at each attempt.
        domain: the destination, a lower-case A-label or an address literal.
        envelope: sender and options; `recipients` are those of this attempt only, in RCPT order.
        content: the bytes to send, without dot-stuffing.
        keep: makes durable what is known so far; for a transport that goes on with others after
            some recipients were served, so that a crash serves nobody twice.
    """

    id: str
    domain: str
    envelope: Envelope
    content: Content
    keep: Keep | None = None


@dataclass(frozen=True, slots=True)
class RecipientOutcome:
    """What became of one recipient.

    Attributes:
        code: SMTP reply code, the peer's own or the one that fits (RFC 5321 4.2.3).
        status: enhanced status, "2.1.5" (RFC 3463); never empty.
        text: one line of explanation, printable; the peer's where it spoke.
        remote: name of the peer, "" when none was reached.
        tls: version and cipher, "" in clear text.
        at: when it was known, aware.
        is_dsn_relayed: the peer offers DSN and was handed the options, so that notices of
            success are its business (RFC 3461 5.2.1).
        contact: how far the attempt came.
    """

    recipient: Address
    kind: Kind
    code: int
    status: str
    text: str
    at: datetime
    remote: str = ""
    tls: str = ""
    is_dsn_relayed: bool = False
    contact: Contact = Contact.ANSWERED


@dataclass(frozen=True, slots=True)
class Route:
    """Where mail for a domain goes now.

    Attributes:
        kind: "mx", "smarthost", or the name of a rule.
        hosts: "host:port" in the order of preference. refusal: why there is none, "" otherwise.
    """

    kind: str
    hosts: tuple[str, ...] = ()
    refusal: str = ""


class Transport(Protocol):
    """Sends messages. One for each process; many attempts run at once."""

    async def deliver(self, attempt: Attempt) -> list[RecipientOutcome]:
        """One outcome for each recipient of the attempt, in any order.

        It ends within bounded time and never raises but when cancelled; after a cancellation the
        outcome is unknown and the message is tried again.
        """

    def destination(self, domain: str) -> str:
        """The name under which parallel deliveries and failures of a domain are counted: domains
        that share a smarthost have one.
        """

    async def route(self, domain: str) -> Route:
        """The route of a domain, for people who ask (`rmail alias test`). Never raises."""

    def reload(self) -> None:
        """Takes new settings for new attempts; those under way end with the old ones."""

    async def close(self) -> None:
        """Ends idle connections. Idempotent."""
