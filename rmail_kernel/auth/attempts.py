"""What all ways to log in share: whom a login names, what is counted, and who is told.

It checks nothing itself.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.auth.passwords import is_printable
from rmail_kernel.errors import AuthFailed, Invalid, LockedOut, Temporary
from rmail_kernel.model import Address, Principal, SessionInfo
from rmail_kernel.observe.metrics import LOGINS

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

MAX_LOGIN_BYTES = 320  # RFC 5321 4.5.3.1: 64 + "@" + 255
_log = structlog.get_logger("rmail.auth")


class Attempts:
    """Logins of one process."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def told(
        self, login: str, session: SessionInfo, work: Awaitable[tuple[Principal, str]]
    ) -> Principal:
        """The principal that `work` gives with the name of its result; counted, logged and told to
        `on_login` and `on_login_failed`. Raises what `work` raises.
        """
        try:
            principal, result = await work
        except LockedOut:
            LOGINS.labels(session.protocol, "locked").inc()
            raise
        except AuthFailed:
            LOGINS.labels(session.protocol, "failed").inc()
            _log.info("login failed", **described(login, session))
            await self._kernel.bus.notify("on_login_failed", login=login, session=session)
            raise
        except Temporary:
            LOGINS.labels(session.protocol, "temporary").inc()
            raise
        LOGINS.labels(session.protocol, result).inc()
        await self._kernel.bus.notify("on_login", principal=principal, session=session)
        return principal

    async def address(self, login: str) -> Address | None:
        """The address that a login means: itself, or a user of the first configured domain."""
        if not is_login(login):
            return None
        if "@" not in login:
            domains = self._kernel.settings.domains or await self._kernel.directory.domains()
            login = f"{login}@{domains[0]}" if domains else login
        try:
            return Address.parse(login)
        except Invalid:
            return None


def is_login(login: str) -> bool:
    """Whether a text can name anybody."""
    return is_printable(login) and 1 <= len(login.encode()) <= MAX_LOGIN_BYTES


def key_of(login: str, address: Address | None) -> str:
    """Under what name attempts are counted; '' for what cannot be a name."""
    if address is not None:
        return address.key
    return login.lower()[:MAX_LOGIN_BYTES] if is_login(login) else ""


def described(login: str, session: SessionInfo) -> dict[str, str]:
    """An attempt as the log has it; with the cipher (RFC 8314 4)."""
    return {
        "login": login[:MAX_LOGIN_BYTES],
        "session": session.id,
        "protocol": session.protocol,
        "peer": session.peer_host,
        "tls": session.tls,
    }
