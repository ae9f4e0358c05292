"""Addresses and domains as users type them."""

from __future__ import annotations

from rmail_kernel.errors import ConfigError, Invalid, NotFound
from rmail_kernel.model import Address, normalise_domain
from rmail_kernel.storage.accounts import Account, Directory


def parse_domain(text: str) -> str:
    """A domain in the form in which it is stored.

    Raises:
        Invalid: not a domain name.
    """
    try:
        return normalise_domain(text)
    except Invalid as error:
        raise Invalid(f"{text!r} is not a domain name") from error


def parse_address(text: str) -> Address:
    """An address, of this server or another.

    Raises:
        Invalid: not an address; it names the text.
    """
    try:
        return Address.parse(text)
    except Invalid as error:
        raise Invalid(f"{text!r}: {error.safe[0].lower()}{error.safe[1:]}") from error


async def local_address(directory: Directory, text: str) -> Address:
    """The address a user means; a bare name belongs to the only domain.

    Raises:
        Invalid: not an address, or a bare name among several domains. ConfigError: the domain is
            not one of this server.
    """
    if "@" not in text:
        domains = await directory.domains()
        if len(domains) != 1:
            known = ", ".join(domains) or "none; `rmail domain add` makes one"
            raise Invalid(f"{text!r} has no domain; the domains here are: {known}")
        text = f"{text}@{domains[0]}"
    address = parse_address(text)
    await require_domain(directory, address.domain)
    return address


async def require_domain(directory: Directory, domain: str) -> None:
    """Checks that a domain is one of this server.

    Raises:
        ConfigError: it is not.
    """
    if not await directory.has_domain(domain):
        raise ConfigError(f"there is no domain {domain}; `rmail domain add {domain}` makes it")


async def domains_of(directory: Directory, wanted: str | None) -> list[str]:
    """The wanted domain alone, or all of this server.

    Raises:
        ConfigError: the wanted one is not of this server.
    """
    if wanted is None:
        return await directory.domains()
    await require_domain(directory, wanted)
    return [wanted]


async def accounts_of(directory: Directory, wanted: str | None = None) -> list[Account]:
    """The accounts of the wanted domain, or all. Raises ConfigError like `domains_of`."""
    domains = await domains_of(directory, wanted)
    return [account for domain in domains for account in await directory.users(domain)]


async def account_of(directory: Directory, text: str) -> Account:
    """The account a user means.

    Raises:
        NotFound: there is none; and as `local_address`.
    """
    address = await local_address(directory, text)
    account = await directory.get(address)
    if account is None:
        raise NotFound(f"there is no account {address}; `rmail user list` shows all")
    return account
