"""The account directory contract: domains, users and aliases. Records only; checking a password is
the auth service's work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from rmail_kernel.errors import Invalid
from rmail_kernel.model import Address, Principal
from rmail_kernel.storage.ids import AccountId


@dataclass(frozen=True, slots=True)
class ScramKeys:
    """What is kept for SCRAM-SHA-256 in place of the password (RFC 5802 3, RFC 7677).

    Args:
        iterations: of PBKDF2. salt: of this account's password.
        stored_key, server_key: 32 bytes each.
    """

    iterations: int
    salt: bytes
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Account:
    """One account record (`account.json`). `credential_version` rises with each change that must
    end sessions and tokens. `scram` is there when `auth.scram` was on at the last login or change
    of password.
    """

    id: AccountId
    address: Address
    password_hash: str = field(repr=False)
    is_enabled: bool = True
    is_admin: bool = False
    quota_mb: int = 1024
    quota_messages: int | None = None  # None: as many as there is room for
    created_at: datetime | None = None
    credential_version: int = 1
    preferences: dict[str, object] = field(default_factory=dict)
    scram: ScramKeys | None = field(default=None, repr=False)

    def principal(self) -> Principal:
        """This account as the one who is acting."""
        return Principal(self.id, self.address, self.is_admin, self.credential_version)


@dataclass(frozen=True, slots=True)
class Alias:
    """A rule of a domain: `pattern` matches the whole local part, case-insensitively; `target` and
    those in `others` are users of the domain, or addresses. Each gets the message.
    """

    pattern: str
    target: str
    others: tuple[str, ...] = ()

    @classmethod
    def to(cls, pattern: str, targets: Sequence[str]) -> Alias:
        """The rule of some targets. Invalid: there are none."""
        if not targets:
            raise Invalid("An alias needs a target", pattern=pattern)
        return cls(pattern, targets[0], tuple(targets[1:]))

    @property
    def targets(self) -> tuple[str, ...]:
        """All of them, in their order."""
        return (self.target, *self.others)


class Directory(Protocol):
    """Accounts, domains and aliases. Reads are cheap (cached, checked against a generation
    counter on each call) and
    see every change answered before, in any process."""

    async def domains(self) -> list[str]:
        """All domains, sorted, lower-case A-labels."""

    async def add_domain(self, domain: str) -> None:
        """Makes a domain. Conflict: it exists."""

    async def remove_domain(self, domain: str) -> None:
        """Removes an empty domain. Conflict: it has users. NotFound."""

    async def has_domain(self, domain: str) -> bool:
        """Whether mail for this domain is local."""

    async def get(self, address: Address) -> Account | None:
        """The account of exactly this address (local part without case), or None."""

    async def by_id(self, account: AccountId) -> Account | None:
        """The account of this id, or None."""

    async def users(self, domain: str) -> list[Account]:
        """Accounts of a domain, sorted. NotFound: no such domain."""

    async def create(self, account: Account) -> Account:
        """Writes a new account and its default mailboxes; its `credential_version` is one that no
        account of that name had. Conflict: it exists. NotFound: no such domain. Invalid.
        """

    async def update(self, account: Account, **changes: object) -> Account:
        """Changes fields of a record atomically (read, change, write under a lock); returns what
        is stored now. `credential_version` rises when the hash or `is_enabled` changes; given
        explicitly it is kept and must be the stored one (Conflict). A new hash that comes without
        `scram` and raises the version forgets the keys: they were the old password's. NotFound,
        Invalid.
        """

    async def delete(self, account: AccountId) -> None:
        """Removes an account and all its data. NotFound."""

    async def aliases(self, domain: str) -> Sequence[Alias]:
        """Rules in the order in which they apply."""

    async def add_alias(self, domain: str, alias: Alias) -> None:
        """Appends a rule; a target that is there twice is kept once. Conflict: this pattern exists.
        Invalid: a bad pattern or target, or too many.
        """

    async def remove_alias(self, domain: str, pattern: str) -> None:
        """Removes a rule. NotFound."""
