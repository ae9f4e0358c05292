"""`rmail plugins`: what is installed, and in which state. It works with a broken plugin, too."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import typer

from rmail_kernel import plugins as plugin_loader
from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import show_json, show_table
from rmail_kernel.config import Settings, overlaid, read_file
from rmail_kernel.errors import PluginError
from rmail_kernel.plugins import Installed


def plugins(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """List the installed plugins, their hooks and settings, and what is wrong with them."""
    enabled = _enabled(config)
    found = plugin_loader.installed()
    declared = [specs for item in found if (specs := getattr(item.plugin, "hookspecs", None))]
    records = [describe(item, declared, is_enabled=item.name in enabled) for item in found]
    if as_json:
        show_json(records)
        return
    titles = ("plugin", "distribution", "version", "enabled", "settings", "hooks")
    keys = ("name", "distribution", "version", "enabled", "section", "hooks")
    show_table(titles, [[record[key] for key in keys] for record in records])
    for record in records:
        if record["error"]:
            typer.echo(f"rmail: warning: {record['error']}", err=True)


def describe(
    plugin: Installed, declared: Sequence[ModuleType] = (), *, is_enabled: bool
) -> dict[str, Any]:
    """One plugin as data: name, distribution, version, target, enabled, section, hooks, error.

    Args:
        declared: modules with hooks of plugins that it may implement.
    """
    section: str | None = None
    hooks: list[str] = []
    error: str | None = None
    try:
        section = settings[0] if (settings := plugin.settings) else None
        hooks = _hooks(plugin, declared)
    except PluginError as broken:
        error = broken.safe
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "target": plugin.target,
        "enabled": is_enabled,
        "section": section,
        "hooks": hooks,
        "error": error,
    }


def _hooks(plugin: Installed, declared: Sequence[ModuleType]) -> list[str]:
    bus = plugin_loader.new_bus()
    for specs in declared:
        if specs is not getattr(plugin.plugin, "hookspecs", None):  # its own come with it
            bus.declare(specs)
    loaded = plugin_loader.load(bus, [plugin.name], {plugin.name: plugin})
    callers = bus.plugins.get_hookcallers(loaded[plugin.name]) or []
    return sorted(caller.name for caller in callers)


def _enabled(path: Path) -> list[Any]:
    """The plugins that the settings name, whether or not the rest of the file is good."""
    data = overlaid(read_file(path) if path.exists() else {}, {}, os.environ)
    names = data.get("plugins", Settings().plugins)
    return names if isinstance(names, list) else []
