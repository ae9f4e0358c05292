"""What the auth service offers to protocols."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from rmail_kernel.auth.sasl.api import Exchange
from rmail_kernel.model import Principal, SessionInfo

if TYPE_CHECKING:
    from rmail_kernel.tasks import SingletonTask


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

    def mechanisms(self, bindings: Mapping[str, bytes] | None = None) -> list[str]:
        """The SASL mechanisms that a protocol may offer now, where it lets clients log in at all.

        Args:
            bindings: `TlsContexts.bindings` of the connection; None: it cannot be bound, and no
                -PLUS mechanism is offered.
        """

    def exchange(
        self, mechanism: str, session: SessionInfo, bindings: Mapping[str, bytes] | None = None
    ) -> Exchange:
        """Begins a SASL exchange.

        Args:
            mechanism: in any case. bindings: as for `mechanisms`.

        Raises:
            Unsupported: it is not offered.
        """

    async def is_current(self, principal: Principal) -> bool:
        """Whether the account still exists, is enabled and has the same credential version.
        Microseconds: ask per command.
        """

    def issue_token(self, principal: Principal) -> tuple[str, int]:
        """A signed bearer token and its life in seconds (RFC 7519)."""

    async def check_token(self, token: str) -> Principal:
        """The principal of a token. AuthFailed: bad, expired, or the account changed since."""

    def tasks(self) -> list[SingletonTask]:
        """Work of the service that one process does for all."""
