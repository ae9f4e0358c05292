"""What `run`, `dev` and `config check` look at before anything is opened."""

from __future__ import annotations

import typer

from rmail_kernel import plugins as plugin_loader
from rmail_kernel.bus import Bus
from rmail_kernel.config import Settings


def check_plugins(settings: Settings) -> None:
    """Makes and registers the plugins that the settings name, and lets them go.

    Raises:
        PluginError: one is missing, fails to import or has a misspelt hook.
    """
    available = {plugin.name: plugin for plugin in plugin_loader.installed()}
    plugin_loader.load(Bus(), settings.plugins, available)


def warn(settings: Settings) -> None:
    """Tells about sections of the file that no installed plugin claims."""
    for warning in settings.warnings:
        typer.echo(f"rmail: warning: {warning}", err=True)
