"""What `run`, `dev` and `config check` look at before anything is opened."""

from __future__ import annotations

import asyncio

import typer

from rmail_kernel import plugins as plugin_loader
from rmail_kernel.cli.session import open_session
from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError


def check_plugins(settings: Settings) -> None:
    """Makes and registers the plugins that the settings name, and lets them go.

    Raises:
        PluginError: one is missing, fails to import or has a misspelt hook.
    """
    plugin_loader.load(plugin_loader.new_bus(), settings.plugins)


def require_domains(settings: Settings) -> None:
    """Checks that there is a domain to receive mail for, in the settings or in the store.

    Raises:
        ConfigError: there is none, or the store cannot be used.
    """
    if settings.domains:
        return

    async def domains() -> list[str]:
        async with open_session(settings) as session:
            return await session.directory.domains()

    if not settings.mail_root.is_dir() or not asyncio.run(domains()):
        raise ConfigError('there is no domain; name one, like ["example.com"]', path="domains")


def warn(settings: Settings) -> None:
    """Tells about sections of the file that no installed plugin claims."""
    for warning in settings.warnings:
        typer.echo(f"rmail: warning: {warning}", err=True)
