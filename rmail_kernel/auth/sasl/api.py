"""What a protocol holds of an exchange, and what the exchange needs of the auth service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from rmail_kernel.model import Principal, SessionInfo
from rmail_kernel.storage.accounts import Account, ScramKeys


@dataclass(frozen=True, slots=True)
class Challenge:
    """Bytes for the client, who answers them with its next response."""

    raw: bytes


class Exchange(Protocol):
    """One attempt to log in. After a principal or an error it is over."""

    async def step(self, raw: bytes | None) -> Challenge | Principal:
        """Takes the client's response and gives the next challenge, or who has logged in.

        Args:
            raw: the response, decoded; None: the client began without an initial response (an
                empty one is b"", RFC 4422 5).

        Raises:
            Invalid: not a response of this mechanism. AuthFailed: wrong, unknown or disabled; all
                look the same. LockedOut. Temporary.
        """


class Logins(Protocol):
    """The auth service as mechanisms see it."""

    async def authenticate(self, login: str, secret: str, session: SessionInfo) -> Principal:
        """See `rmail_kernel.auth.api.Auth`."""

    async def is_same(self, login: str, other: str) -> bool:
        """Whether two logins mean one account."""

    async def by_token(self, login: str, token: str, session: SessionInfo) -> Principal:
        """See `rmail_kernel.auth.proofs.Proofs`."""

    async def keys(self, login: str, session: SessionInfo) -> tuple[Account | None, ScramKeys]:
        """See `rmail_kernel.auth.proofs.Proofs`."""

    async def settle(
        self, login: str, account: Account | None, session: SessionInfo, *, is_proved: bool
    ) -> Principal:
        """See `rmail_kernel.auth.proofs.Proofs`."""
