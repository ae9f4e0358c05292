"""`rmail config`: settings shown, checked and documented. It writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from rmail_kernel import config as settings_module
from rmail_kernel import plugins as plugin_loader
from rmail_kernel.cli.options import DEFAULT_CONFIG, AsJson, Config
from rmail_kernel.cli.output import show_json, show_table
from rmail_kernel.cli.settings_page import render
from rmail_kernel.config import Section, Settings
from rmail_kernel.config_sources import Keys, read_file, variables

app = typer.Typer()
HIDDEN = "***"


@app.command()
def show(config: Config = DEFAULT_CONFIG, as_json: AsJson = False) -> None:
    """Show the settings in force and where each comes from; secrets are shown as ***."""
    sections = plugin_loader.sections(plugin_loader.installed())
    data = read_file(config)
    settings = settings_module.build(data, sections, base=config.parent)
    tree = effective(settings, sections)
    if as_json:
        show_json(tree)
        return
    origins = {keys: name for name, keys, _ in variables(os.environ, {*tree, *data})}
    rows = [
        (".".join(keys), _shown(value), origins.get(keys) or _origin(keys, data))
        for keys, value in _leaves(tree, ())
    ]
    show_table(("setting", "value", "from"), rows)


@app.command()
def check(config: Config = DEFAULT_CONFIG) -> None:
    """Check the file and the plugins it names, without starting."""
    from rmail_kernel.cli.serving import check_plugins, warn
    from rmail_kernel.cli.session import load_settings

    settings = load_settings(config)
    check_plugins(settings)
    warn(settings)
    typer.echo(f"{config} is good")


@app.command()
def docs(
    only: Annotated[
        list[str] | None, typer.Argument(help="Plugins to document; default: all installed.")
    ] = None,
) -> None:
    """Print the documentation of all settings as Markdown."""
    found = [
        plugin
        for plugin in plugin_loader.installed()
        if plugin.plugin and plugin.name in (only or [plugin.name])
    ]
    typer.echo(render(plugin_loader.sections(found)), nl=False)


def effective(settings: Settings, sections: Mapping[str, type[Section]]) -> dict[str, Any]:
    """All settings as JSON values, in the order of their declaration, secrets hidden."""
    tree: dict[str, Any] = settings.model_dump(mode="json")
    for name, model in sections.items():
        tree[name] = settings.section(name, model).model_dump(mode="json")
    return {key: _hide(value, (key,), sections) for key, value in tree.items()}


def _hide(value: Any, keys: Keys, sections: Mapping[str, type[Section]]) -> Any:
    if isinstance(value, dict):
        return {key: _hide(inner, (*keys, key), sections) for key, inner in value.items()}
    is_secret = settings_module.is_secret(settings_module.field_at(keys, sections))
    return HIDDEN if is_secret and value is not None else value


def _leaves(tree: Mapping[str, Any], prefix: Keys) -> Iterator[tuple[Keys, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*prefix, key))
        else:
            yield (*prefix, key), value


def _shown(value: Any) -> str:
    import json

    return HIDDEN if value == HIDDEN else json.dumps(value, ensure_ascii=False)


def _origin(keys: Keys, data: Mapping[str, Any]) -> str:
    current: Any = data
    for key in keys:
        if not isinstance(current, Mapping) or key not in current:
            return "default"
        current = current[key]
    return "file"
