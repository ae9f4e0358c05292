"""From an address to the accounts and external addresses that it stands for.

Exact account, then `on_resolve` (aliases), then postmaster (RFC 5321 4.5.1). Expansion is bounded
and never loops. It decides nothing about who may send.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.errors import Temporary
from rmail_kernel.model import Address, Reject
from rmail_kernel.storage.accounts import Account

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

MAX_DEPTH = 10
MAX_TARGETS = 100
_log = structlog.get_logger("rmail.delivery")

UNKNOWN = Reject("No such user here", 550, "5.1.1")  # RFC 3463 3.2
DISABLED = Reject("This mailbox is disabled", 550, "5.2.1")  # RFC 3463 3.3
LOOP = Reject("The alias leads back to itself", 550, "5.4.6")  # RFC 3463 3.5
TOO_DEEP = Reject("The alias is nested too deeply", 550, "5.4.6")
TOO_WIDE = Reject("The alias has too many targets", 550, "5.4.6")


@dataclass(slots=True)
class Resolution:
    """What an address stands for. Nothing at all: `refusal` says why.

    Attributes:
        accounts: enabled local accounts by id, each once.
        external: foreign addresses by key, each once.
        is_local: whether the domain of the address itself is local.
        is_alias: whether the address is something else than an account itself.
    """

    is_local: bool
    is_alias: bool = False
    accounts: dict[str, Account] = field(default_factory=dict)
    external: dict[str, Address] = field(default_factory=dict)
    refusal: Reject | None = None

    @property
    def size(self) -> int:
        """How many targets there are."""
        return len(self.accounts) + len(self.external)


def _just(account: Account) -> Resolution:
    if account.is_enabled:
        return Resolution(is_local=True, accounts={account.id: account})
    return Resolution(is_local=True, refusal=DISABLED)


class Resolver:
    """Asks the directory and `on_resolve`."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def resolve(self, address: Address) -> Resolution:
        """Everything that `address` stands for.

        Raises:
            Temporary: a plugin or the store could not say now.
        """
        directory = self._kernel.directory
        account = await directory.get(address)  # most addresses are just that
        if account is not None:
            return _just(account)
        found = Resolution(is_local=await directory.has_domain(address.domain))
        if not found.is_local:
            found.external[address.key] = address
            return found
        level, seen = [address], {address.key}
        for depth in range(MAX_DEPTH + 1):
            level = await self._expand(level, seen, found, is_alias=depth > 0)
            if not level:
                break
            found.is_alias = True
        if level:
            found.refusal = TOO_DEEP
        if found.size > MAX_TARGETS:
            found.refusal = TOO_WIDE
        if found.refusal in (TOO_DEEP, TOO_WIDE):
            found.accounts.clear()
            found.external.clear()
        elif found.size:
            found.refusal = None
        return found

    async def _expand(
        self, level: Iterable[Address], seen: set[str], found: Resolution, *, is_alias: bool
    ) -> list[Address]:
        """Takes one level of addresses into `found`; returns the next one."""
        following: list[Address] = []
        for address in level:
            if is_alias and not await self._kernel.directory.has_domain(address.domain):
                found.external[address.key] = address
                continue
            for target in await self._members(address, found):
                if target.key in seen:
                    found.refusal = found.refusal or LOOP
                elif len(seen) > MAX_TARGETS * 2:  # wide lists of lists end here
                    found.refusal = TOO_WIDE
                    return []
                else:
                    seen.add(target.key)
                    following.append(target)
        return following

    async def _members(self, address: Address, found: Resolution) -> Iterable[Address]:
        """What a local address that is no account stands for; accounts go into `found`."""
        account = await self._kernel.directory.get(address)
        if account is not None:
            if account.is_enabled:
                found.accounts[account.id] = account
            else:
                found.refusal = DISABLED
            return ()
        members = await self._kernel.bus.first("on_resolve", address=address)
        if members is None:
            members = await self._postmaster(address)
        if not all(isinstance(member, Address) for member in members):
            _log.error("on_resolve returned something else than addresses", address=str(address))
            raise Temporary("Temporary failure, try again later", address=str(address))
        if not members:
            found.refusal = found.refusal or UNKNOWN
        return tuple(members)

    async def _postmaster(self, address: Address) -> tuple[Address, ...]:
        # RFC 5321 4.5.1: postmaster exists in every domain; without an account or alias of that
        # name it is the administrators.
        if address.local.lower() != "postmaster":
            return ()
        users = await self._kernel.directory.users(address.domain)
        return tuple(user.address for user in users if user.is_admin and user.is_enabled)
