"""What the auth service offers to protocols."""

from __future__ import annotations

from typing import Protocol

from rmail_kernel.model import Principal, SessionInfo


class Auth(Protocol):
    """Logins and tokens."""

    async def authenticate(self, login: str, secret: str, session: SessionInfo) -> Principal:
        """Checks a login: lockout first, then `on_auth` plugins, then the local directory.

        Args:
            login: an address, or a bare user name of the first configured domain.
            secret: the password.
            session: where the attempt comes from (its `peer_host` and `protocol` count).

        Raises:
            AuthFailed: wrong, unknown or disabled; all take the same time. LockedOut: too many
                failures. Temporary.
        """

    async def is_current(self, principal: Principal) -> bool:
        """Whether the account still exists, is enabled and has the same credential version.
        Microseconds: ask per command.
        """

    def issue_token(self, principal: Principal) -> tuple[str, int]:
        """A signed bearer token and its life in seconds (RFC 7519)."""

    async def check_token(self, token: str) -> Principal:
        """The principal of a token. AuthFailed: bad, expired, or the account changed since."""
