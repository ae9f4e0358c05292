"""Making accounts without a running server. A server that runs on the same store sees them at
once.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from rmail_kernel.auth.passwords import hash_password
from rmail_kernel.clock import Clock
from rmail_kernel.errors import Conflict
from rmail_kernel.model import Address, normalise_domain
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.filesystem.directory import FilesystemDirectory
from rmail_kernel.storage.filesystem.records import check_quota, check_user_name
from rmail_kernel.storage.ids import AccountId


async def create_user(
    mail_root: str | Path,
    username: str,
    domain: str,
    password: str,
    *,
    admin: bool = False,
    quota_mb: int = 1024,
    bcrypt_cost: int = 12,
) -> Account:
    """Makes an account, its domain and the store, as far as they are absent.

    Args:
        mail_root: folder of the store (embedded driver).
        username: a-z 0-9 . _ -, at most 64.
        domain: a mail domain.
        password: 1 to 1024 bytes.
        admin: whether the account may manage others.
        quota_mb: room for mail, calendars and files in MB, 1 to 1048576.
        bcrypt_cost: log2 of the rounds of the password hash.

    Raises:
        Invalid: a bad name, domain, password or quota; nothing was made. Conflict: the account
            exists. ConfigError: the store cannot be used.
    """
    check_user_name(username)
    check_quota(quota_mb)
    domain = normalise_domain(domain)
    hashed = await asyncio.to_thread(hash_password, password, bcrypt_cost)
    directory = FilesystemDirectory(Path(mail_root), clock=Clock(), events=LocalEvents())
    try:
        if not await directory.has_domain(domain):
            with suppress(Conflict):  # another process was faster
                await directory.add_domain(domain)
        return await directory.create(
            Account(
                id=AccountId(f"{username}@{domain}"),
                address=Address(username, domain),
                password_hash=hashed,
                is_admin=admin,
                quota_mb=quota_mb,
            )
        )
    finally:
        await directory.close()
