"""Keeps what accounts hold of their passwords as the settings want it: hashes of today's cost, keys
for SCRAM when it is on, none when it is off.

A password is only there while its owner logs in, so this happens then; keys are also forgotten
without him.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from rmail_kernel.auth.passwords import Passwords, needs_upgrade
from rmail_kernel.auth.scram_keys import make_keys
from rmail_kernel.errors import RmailError
from rmail_kernel.storage.accounts import Account
from rmail_kernel.tasks import SingletonTask

if TYPE_CHECKING:
    from rmail_kernel.kernel import Kernel

_FORGOTTEN = "auth:scram:forgotten"
_FORGOTTEN_S = 10 * 366 * 86400.0
_log = structlog.get_logger("rmail.auth")


class Keeper:
    """Brings account records up to date."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    async def renew(self, account: Account, secret: str, passwords: Passwords) -> None:
        """Renews what is out of date. The password stays, so nothing ends.

        Args:
            secret: the account's password, just found right.
        """
        try:
            changes = await self._changes(account, secret, passwords)
            if changes:
                version = account.credential_version
                await self._kernel.directory.update(account, **changes, credential_version=version)
        except RmailError as error:
            _log.warning("password hash not upgraded", account=account.id, reason=str(error))

    async def _changes(
        self, account: Account, secret: str, passwords: Passwords
    ) -> dict[str, object]:
        settings, run = self._kernel.settings.auth, self._kernel.run
        changes: dict[str, object] = {}
        if needs_upgrade(account.password_hash, passwords.cost):
            changes["password_hash"] = await run(passwords.hash, secret)
        if not settings.scram and account.scram is not None:
            changes["scram"] = None
        elif settings.scram and not _is_recent(account, settings.scram_iterations):
            changes["scram"] = await run(make_keys, secret, settings.scram_iterations)
        return changes

    def tasks(self) -> list[SingletonTask]:
        """Work that one process does for all: with SCRAM off, keys of before are removed."""
        return [SingletonTask("scram-keys", self.forget)]

    async def forget(self) -> None:
        """Removes every key when SCRAM is off; once, until it has been on again.

        Raises:
            Temporary: the store does not work now.
        """
        state, directory = self._kernel.state, self._kernel.directory
        if self._kernel.settings.auth.scram:
            await state.clear(_FORGOTTEN)
            return
        if await state.marked(_FORGOTTEN) is not None:
            return
        for domain in await directory.domains():
            for account in await directory.users(domain):
                if account.scram is not None:
                    await directory.update(account, scram=None)
        await state.mark(_FORGOTTEN, _FORGOTTEN_S)


def _is_recent(account: Account, iterations: int) -> bool:
    return account.scram is not None and account.scram.iterations >= iterations
