"""`rmail init`: a configuration and a store, all of it or nothing."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from rmail_kernel import config as settings_module
from rmail_kernel.cli import config_file, passwords, user
from rmail_kernel.cli.addresses import parse_domain
from rmail_kernel.cli.options import DEFAULT_CONFIG, Config, Password, PasswordStdin
from rmail_kernel.cli.session import open_session
from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError, Invalid
from rmail_kernel.model import Address

_MOUNT_FILES = {"lost+found"}


def init(
    domain: Annotated[str | None, typer.Option(help="The mail domain, like example.com.")] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the store; default: mailstore beside the file.")
    ] = None,
    hostname: Annotated[
        str | None, typer.Option(help="Name of this server; default: mail.DOMAIN.")
    ] = None,
    admin: Annotated[str | None, typer.Option(help="User name of a first administrator.")] = None,
    password: Password = None,
    password_stdin: PasswordStdin = False,
    config: Config = DEFAULT_CONFIG,
) -> None:
    """Write a configuration and a store; asks for what it is not told."""
    config_file.refuse_existing(config)
    if domain is None:
        domain, admin = _ask(admin)
    domain = parse_domain(domain)
    data = _data(config, root, domain, hostname)
    settings = settings_module.build(data, {}, base=config.parent)
    _refuse_store(settings.mail_root)
    address = _administrator(admin, domain) if admin else None
    secret = _secret(address, password, from_stdin=password_stdin)
    with _all_or_nothing(settings.mail_root):
        asyncio.run(_make_store(settings, domain, address, secret))
        config_file.write_new(config, data)
    typer.echo(f"wrote {config} and the store {settings.mail_root}")
    typer.echo("next: `rmail config show`, then `rmail run`")


def _ask(admin: str | None) -> tuple[str, str | None]:
    if not sys.stdin.isatty():
        raise Invalid("no domain; give --domain, like --domain example.com")
    domain: str = typer.prompt("Mail domain", err=True)
    if admin is None:
        admin = typer.prompt("User name of the administrator", default="admin", err=True)
    return domain, admin


def _data(config: Path, root: Path | None, domain: str, hostname: str | None) -> dict[str, Any]:
    return {
        "mail_root": config_file.root_in(config, root),
        "hostname": hostname or f"mail.{domain}",
        "domains": [domain],
        "plugins": config_file.shipped_plugins(),
        "exchange_api": {"token_secret": config_file.new_secret()},
    }


def _refuse_store(root: Path) -> None:
    if root.is_dir() and {entry.name for entry in root.iterdir()} <= _MOUNT_FILES:
        return
    if root.is_dir() or root.exists():
        raise ConfigError(f"{root} exists and is not an empty folder; --root names another")


def _administrator(name: str, domain: str) -> Address:
    address = Address.parse(name if "@" in name else f"{name}@{domain}")
    if address.domain != domain:
        raise Invalid(f"the administrator {address} is not of the domain {domain}")
    return address


def _secret(admin: Address | None, password: str | None, *, from_stdin: bool) -> str:
    """The administrator's password, looked at before anything is written."""
    if admin is not None:
        return passwords.read(password, from_stdin=from_stdin)
    if password is not None or from_stdin:
        raise Invalid("a password without an account; give --admin, too")
    return ""


async def _make_store(settings: Settings, domain: str, admin: Address | None, secret: str) -> None:
    async with open_session(settings, create=True) as session:
        await session.directory.add_domain(domain)
        if admin is not None:
            await user.create(
                session, str(admin), secret, is_admin=True, quota_mb=user.DEFAULT_QUOTA_MB
            )


@contextmanager
def _all_or_nothing(root: Path) -> Iterator[None]:
    """Removes what was made below `root`, which was absent or empty, when the work fails."""
    was_there = root.exists()
    try:
        yield
    except BaseException:
        if not was_there:
            shutil.rmtree(root, ignore_errors=True)
        for entry in root.iterdir() if was_there else ():
            if entry.name not in _MOUNT_FILES:
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        raise
