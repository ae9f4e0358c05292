"""Accounts in JSON and in URLs: what the resources under /admin/users share."""

from __future__ import annotations

from datetime import UTC

from aiohttp import web

from rmail_kernel.auth.credentials import Credentials, credentials
from rmail_kernel.errors import Invalid, NotFound
from rmail_kernel.http import PRINCIPAL
from rmail_kernel.kernel import Kernel
from rmail_kernel.model import Address, normalise_domain
from rmail_kernel.storage.accounts import Account

PATH = "/admin/users"
MIN_QUOTA_MB = 1
MAX_QUOTA_MB = 1_048_576


def form_of(account: Account) -> dict[str, object]:
    """The JSON form of an account; never with its hash."""
    created = account.created_at
    return {
        "username": account.address.local,
        "domain": account.address.domain,
        "enabled": account.is_enabled,
        "admin": account.is_admin,
        "quota_mb": account.quota_mb,
        "created": created and created.astimezone(UTC).isoformat(timespec="seconds"),
    }


def domain_of(request: web.Request) -> str:
    """The domain that the query names, or the caller's own.

    Raises:
        Invalid: not a domain name.
    """
    given = request.query.get("domain")
    return checked_domain(given) if given else request[PRINCIPAL].address.domain


def checked_domain(text: str) -> str:
    """A domain name in its normal form.

    Raises:
        Invalid: not one.
    """
    try:
        return normalise_domain(text)
    except Invalid as error:
        raise Invalid("domain: is not a domain name") from error


async def find_account(kernel: Kernel, request: web.Request) -> Account:
    """The account that the URL names.

    Raises:
        NotFound: there is none. Invalid: not a domain name.
    """
    name = request.match_info["username"]
    found = await kernel.directory.get(Address(name.lower(), domain_of(request)))
    if found is None:
        raise NotFound("There is no such user")
    return found


async def credentials_of(kernel: Kernel, password: str) -> Credentials:
    """What an account keeps of a new password.

    Raises:
        Invalid: a password that cannot be one.
    """
    try:
        return await kernel.run(credentials, password, kernel.settings.auth)
    except Invalid as error:
        raise Invalid(f"password: {error.safe}") from error


def checked_quota(quota_mb: int) -> int:
    """A quota in megabytes.

    Raises:
        Invalid: out of range.
    """
    if not MIN_QUOTA_MB <= quota_mb <= MAX_QUOTA_MB:
        raise Invalid(f"quota_mb: must be from {MIN_QUOTA_MB} to {MAX_QUOTA_MB}")
    return quota_mb
