"""What the delivery service offers: the only way mail enters the store from outside."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from rmail_kernel.content import Content
from rmail_kernel.model import Address, Annotate, Defer, Envelope, Principal, Reject, SessionInfo

if TYPE_CHECKING:
    from rmail_kernel.tasks import SingletonTask


class Status(StrEnum):
    """What became of one recipient."""

    STORED = "stored"
    QUEUED = "queued"  # durably accepted, finished later
    DISCARDED = "discarded"
    REJECTED = "rejected"
    DEFERRED = "deferred"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result for one recipient as the sender addressed it; `verdict` explains a refusal."""

    recipient: Address
    status: Status
    verdict: Reject | Defer | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a submission. Accepted: every recipient is stored, queued or discarded,
    durably; otherwise `verdict` says why nothing at all was accepted.
    """

    outcomes: tuple[Outcome, ...]
    verdict: Reject | Defer | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the sender may forget the message."""
        return self.verdict is None


class DeliveryService(Protocol):
    """Resolve, policy, on_deliver, store, on_store."""

    async def check_recipient(
        self,
        session: SessionInfo,
        sender: Address | None,
        recipient: Address,
        notes: list[Annotate] | None = None,
        size_bytes: int = 0,
    ) -> Reject | Defer | None:
        """Whether a recipient would be accepted (RCPT TO): resolved, policy asked. None: yes.

        `notes` takes the annotations of plugins, header fields for the message. `size_bytes`: what
        the sender says that the message has (RFC 1870 6.2); 0: it is not known.

        Unknown local user: 550 5.1.1; foreign domain without authentication: 550 5.7.1; nobody
        takes external mail: 550 5.7.1; no room for it: 452 4.2.2.
        """

    async def may_send_as(self, principal: Principal, sender: Address) -> bool:
        """Whether `sender` is the principal's own address or an alias that leads to it.

        Raises:
            Temporary: a plugin or the store could not say now.
        """

    async def may_send_now(self, principal: Principal) -> Defer | None:
        """Whether the limits on sending (`rate_limit.messages_per_hour`, `_per_day`) leave the
        account room for a message; None: they do. `submit` counts it.

        Raises:
            Temporary: the counters cannot be read.
        """

    async def submit(
        self, envelope: Envelope, content: Content, *, op_id: str | None = None, keep: bool = False
    ) -> Report:
        """Accepts a message durably or says why not. Safe to shield and await after the client
        left.

        Args:
            op_id: makes a retry after an unknown outcome idempotent; None: one is made.
            keep: what would be deferred for now, for example because a mailbox is full, is
                accepted and tried again for days; for those who could do nothing else either.
        """

    def tasks(self) -> list[SingletonTask]:
        """Work of the service that one process does for all (recovery of the spool)."""
