"""Whether a recipient would be accepted: the decision behind RCPT TO and behind sender addresses.

RFC 5321 3.3 and 7.9 (no open relay), RFC 3463 status codes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_kernel.delivery.resolve import Resolution, Resolver
from rmail_kernel.errors import RmailError
from rmail_kernel.model import Address, Annotate, Defer, Principal, Reject, SessionInfo
from rmail_kernel.storage.ids import AccountId

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

# RFC 3463 3.8
RELAYING_DENIED = Reject(
    "Relaying denied, log in on the submission port to send to other domains", 550, "5.7.1"
)
NO_WAY_OUT = Reject("Relaying denied, this server sends nothing to other domains", 550, "5.7.1")
FULL = Defer("The mailbox is full", 452, "4.2.2")  # RFC 3463 3.3: persistent, may change
TROUBLE = Defer("Temporary failure, try again later", 451, "4.3.0")
INTERNAL = "internal"


def may_relay(session: SessionInfo) -> bool:
    """Whether the session may send to foreign addresses at all: a principal, or rmail itself."""
    return session.principal is not None or session.protocol == INTERNAL


class Recipients:
    """Judges recipients and senders."""

    def __init__(self, kernel: Kernel, resolver: Resolver) -> None:
        self._kernel = kernel
        self._resolver = resolver

    async def check(
        self,
        session: SessionInfo,
        sender: Address | None,
        recipient: Address,
        notes: list[Annotate] | None = None,
        size_bytes: int = 0,
    ) -> Reject | Defer | None:
        """The verdict on one recipient; None: it would be accepted."""
        try:
            found = await self._resolver.resolve(recipient)
            verdict = found.refusal or await self._reachable(session, found, size_bytes)
            if verdict is not None:
                return verdict
            return await self._kernel.bus.policy(
                "on_rcpt", notes, session=session, sender=sender, recipient=recipient
            )
        except RmailError:  # Temporary from a plugin or the store: the sender tries again
            return TROUBLE

    async def may_send_as(self, principal: Principal, sender: Address) -> bool:
        """Whether `sender` is the principal's own address or an alias that leads to it.

        Raises:
            Temporary: a plugin or the store could not say now.
        """
        if sender.key == principal.address.key:
            return True
        found = await self._resolver.resolve(sender)
        return found.is_local and principal.account in found.accounts

    async def _reachable(
        self, session: SessionInfo, found: Resolution, size_bytes: int
    ) -> Reject | Defer | None:
        if not found.is_local and not may_relay(session):
            return RELAYING_DENIED
        # An alias is as reachable as its best target; each gets its own result at delivery.
        verdict: Reject | Defer | None = None
        for account in found.accounts:
            if await self._has_room(AccountId(account), size_bytes):
                return None
            verdict = FULL
        for address in found.external.values():
            if await self._kernel.bus.first(
                "on_outbound_check", session=session, recipient=address
            ):
                return None
            verdict = verdict or NO_WAY_OUT
        return verdict

    async def _has_room(self, account: AccountId, size_bytes: int) -> bool:
        """Whether a message of a declared size could be stored now (RFC 1870 6.2)."""
        quota = await self._kernel.mail.quota(account)
        if quota.limit_messages is not None and quota.used_messages >= quota.limit_messages:
            return False
        needed = quota.used_bytes + max(size_bytes, 1)
        return quota.limit_bytes is None or needed <= quota.limit_bytes
