"""`rmail user`: accounts."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from rmail_kernel.auth.credentials import credentials
from rmail_kernel.cli import passwords
from rmail_kernel.cli.addresses import account_of, accounts_of, local_address, parse_domain
from rmail_kernel.cli.options import (
    DEFAULT_CONFIG,
    AsJson,
    Config,
    Password,
    PasswordStdin,
    Yes,
)
from rmail_kernel.cli.output import show_fields, show_json, show_table
from rmail_kernel.cli.session import Session, with_store
from rmail_kernel.errors import Conflict, Invalid
from rmail_kernel.model import Address
from rmail_kernel.storage.accounts import Account
from rmail_kernel.storage.ids import AccountId

app = typer.Typer()
DEFAULT_QUOTA_MB = 1024
User = Annotated[str, typer.Argument(metavar="ADDRESS", help="An address, like alice@example.com.")]
QuotaMb = Annotated[int | None, typer.Option("--quota-mb", min=1, help="Room in MB.")]
QuotaMessages = Annotated[
    int | None, typer.Option("--quota-messages", min=0, help="Messages at most; 0: no limit.")
]
Admin = Annotated[bool | None, typer.Option("--admin/--no-admin", help="May administer.")]
Enabled = Annotated[bool | None, typer.Option("--enabled/--disabled", help="May log in.")]


async def create(session: Session, text: str, password: str, **fields: Any) -> Account:
    """Makes an account.

    Args:
        text: its address, or a user name when there is one domain.
        fields: more fields of the record.

    Raises:
        Conflict: it exists. ConfigError: no such domain. Invalid: a bad name.
    """
    address = await local_address(session.directory, text)
    if await session.directory.get(address) is not None:
        raise Conflict(f"there is an account {address} already; `rmail user passwd` changes it")
    address = Address(address.local.lower(), address.domain)
    kept = credentials(password, session.settings.auth)
    account = Account(
        AccountId(address.key), address, kept.password_hash, scram=kept.scram, **fields
    )
    return await session.directory.create(account)


@app.command()
def add(
    user: User,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    admin: Annotated[bool, typer.Option("--admin", help="May administer.")] = False,
    quota_mb: QuotaMb = DEFAULT_QUOTA_MB,
    quota_messages: QuotaMessages = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Make an account."""

    async def work(session: Session) -> Account:
        await local_address(session.directory, user)  # before a password is asked
        secret = passwords.read(password, from_stdin=password_stdin)
        fields = {"quota_mb": quota_mb, "quota_messages": quota_messages or None}
        return await create(session, user, secret, is_admin=admin, **fields)

    typer.echo(f"account {with_store(config, work).address} added")


@app.command("list")
def list_(
    domain: Annotated[str | None, typer.Argument(help="Default: all domains.")] = None,
    config: Config = DEFAULT_CONFIG,
    as_json: AsJson = False,
) -> None:
    """List accounts."""
    wanted = parse_domain(domain) if domain else None

    async def work(session: Session) -> list[Account]:
        return await accounts_of(session.directory, wanted)

    records = [_record(account) for account in with_store(config, work)]
    if as_json:
        show_json(records)
        return
    titles = ("address", "enabled", "admin", "quota_mb", "quota_messages")
    show_table(
        titles,
        [
            ["-" if record[title] is None else record[title] for title in titles]
            for record in records
        ],
    )


@app.command()
def show(user: User, config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show one account, and the room it uses."""

    async def work(session: Session) -> dict[str, Any]:
        account = await account_of(session.directory, user)
        quota = await session.mail.quota(account.id)
        return _record(account) | {"used_bytes": quota.used_bytes, "messages": quota.used_messages}

    record = with_store(config, work)
    show_json(record) if as_json else show_fields(record)


@app.command("set")
def set_(
    user: User,
    admin: Admin = None,
    enabled: Enabled = None,
    quota_mb: QuotaMb = None,
    quota_messages: QuotaMessages = None,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Change an account; a disabled one is logged out at once and refuses mail."""
    wanted = {"is_admin": admin, "is_enabled": enabled, "quota_mb": quota_mb}
    changes: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    if quota_messages is not None:
        changes["quota_messages"] = quota_messages or None
    if not changes:
        raise Invalid("nothing to change; see `rmail user set --help`")

    async def work(session: Session) -> Account:
        account = await account_of(session.directory, user)
        return await session.directory.update(account, **changes)

    typer.echo(f"account {with_store(config, work).address} changed")


@app.command()
def passwd(
    user: User,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Change a password; sessions and tokens of the account end."""

    async def work(session: Session) -> Account:
        account = await account_of(session.directory, user)
        secret = passwords.read(password, from_stdin=password_stdin)
        kept = credentials(secret, session.settings.auth)
        return await session.directory.update(
            account, password_hash=kept.password_hash, scram=kept.scram
        )

    typer.echo(f"password of {with_store(config, work).address} changed")


@app.command()
def delete(user: User, yes: Yes = False, config: Config = DEFAULT_CONFIG) -> None:
    """Delete an account with all its mail and files."""

    async def work(session: Session) -> Account:
        account = await account_of(session.directory, user)
        if not yes:
            _confirm(f"Delete {account.address} with all its mail and files?")
        await session.directory.delete(account.id)
        return account

    typer.echo(f"account {with_store(config, work).address} deleted")


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise Invalid("this deletes data; --yes confirms it")
    typer.confirm(question, abort=True, err=True)


def _record(account: Account) -> dict[str, Any]:
    return {
        "address": str(account.address),
        "enabled": account.is_enabled,
        "admin": account.is_admin,
        "quota_mb": account.quota_mb,
        "quota_messages": account.quota_messages,
        "created_at": account.created_at.isoformat() if account.created_at else None,
    }
