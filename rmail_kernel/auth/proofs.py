"""Logins in which the password never travels: the directory and lockout side of SCRAM-SHA-256, and
of bearer tokens.

Unknown accounts, and those without keys, get keys that fit no password and look like any other.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import structlog

from rmail_kernel.auth import scram_keys
from rmail_kernel.auth.attempts import Attempts, described, key_of
from rmail_kernel.auth.lockout import Lockout
from rmail_kernel.errors import AuthFailed, LockedOut, Temporary
from rmail_kernel.model import Principal, SessionInfo
from rmail_kernel.storage.accounts import Account, ScramKeys

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

_SECRET = "auth:scram:secret"  # noqa: S105 - the name of a mark
_SECRET_S = 10 * 366 * 86400.0
_log = structlog.get_logger("rmail.auth")


class Proofs:
    """Logins by proof.

    Args:
        sleep: how a slowed-down account waits.
        check_token: the principal of a token; raises AuthFailed.
    """

    def __init__(
        self,
        kernel: Kernel,
        attempts: Attempts,
        lockout: Lockout,
        sleep: Callable[[float], Awaitable[None]],
        check_token: Callable[[str], Awaitable[Principal]],
    ) -> None:
        self._kernel = kernel
        self._attempts = attempts
        self._lockout = lockout
        self._sleep = sleep
        self._check_token = check_token

    async def keys(self, login: str, session: SessionInfo) -> tuple[Account | None, ScramKeys]:
        """The account that a login names and the keys to ask it for; no account: the keys are made
        up.

        Raises:
            LockedOut. Temporary.
        """
        address = await self._attempts.address(login)
        name = key_of(login, address)
        peer = self._lockout.peer(session.peer_host)
        await self._lockout.check(peer, name)
        if (wait_s := await self._lockout.delay_s(peer, name)) > 0:
            await self._sleep(wait_s)
        account = await self._kernel.directory.get(address) if address else None
        iterations = self._kernel.settings.auth.scram_iterations
        decoy = scram_keys.decoy(name, iterations, await self._secret())
        if account is None or account.scram is None:
            return None, decoy
        return account, account.scram

    async def settle(
        self, login: str, account: Account | None, session: SessionInfo, *, is_proved: bool
    ) -> Principal:
        """The end of a SCRAM exchange: counted and told like any login.

        Args:
            account: as `keys` gave it.

        Raises:
            AuthFailed, LockedOut, Temporary.
        """
        work = self._settle(login, account, session, is_proved=is_proved)
        return await self._attempts.told(login, session, work)

    async def by_token(self, login: str, token: str, session: SessionInfo) -> Principal:
        """Lets in who holds a token of ours.

        Args:
            login: the account that the client named, '' when it named none.

        Raises:
            AuthFailed, LockedOut, Temporary.
        """
        return await self._attempts.told(login, session, self._by_token(login, token, session))

    async def _settle(
        self, login: str, account: Account | None, session: SessionInfo, *, is_proved: bool
    ) -> tuple[Principal, str]:
        name = key_of(login, await self._attempts.address(login))
        peer = self._lockout.peer(session.peer_host)
        await self._lockout.check(peer, name)  # others may have failed while this one thought
        current = await self._kernel.directory.by_id(account.id) if account else None
        if (
            not is_proved
            or account is None
            or current is None
            or not current.is_enabled
            or current.credential_version != account.credential_version
        ):
            await self._lockout.failed(peer, name)
            raise AuthFailed("Wrong login or password")
        await self._succeeded(peer, name, session)
        return current.principal(), "ok"

    async def _by_token(
        self, login: str, token: str, session: SessionInfo
    ) -> tuple[Principal, str]:
        address = await self._attempts.address(login) if login else None
        name = key_of(login, address)
        peer = self._lockout.peer(session.peer_host)
        await self._lockout.check(peer, name)
        try:
            principal = await self._check_token(token)
            if login and (address is None or address.key != principal.address.key):
                raise AuthFailed("Invalid token")  # nobody may act for another
        except LockedOut:
            raise
        except AuthFailed:
            await self._lockout.failed(peer, name)
            raise
        await self._succeeded(peer, name or principal.address.key, session)
        return principal, "ok"

    async def _succeeded(self, peer: str | None, name: str, session: SessionInfo) -> None:
        try:
            await self._lockout.succeeded(peer, name)
        except Temporary as error:  # a full disk must not keep out who is right
            reason = str(error.fields)
            _log.warning("login not recorded", reason=reason, **described(name, session))

    async def _secret(self) -> bytes:
        """Shared by all processes and kept over restarts, or made-up salts would change."""
        state = self._kernel.state
        if await state.marked(_SECRET) is None:
            await state.mark(_SECRET, _SECRET_S, secrets.token_hex(32))
        found = await state.marked(_SECRET)
        return found[1].encode() if found else b""
