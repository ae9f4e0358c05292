"""Finding and loading plugins: entry points of the group `rmail.plugins`, each naming a class.

A plugin class has a `name`, may have a `settings` model with its `section`, and hook
implementations. A plugin that is missing, fails to import, has a duplicate name or a misspelt hook
stops the start with its name and the reason; none is skipped in silence.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from itertools import pairwise
from typing import Any, Protocol

from stevedore import ExtensionManager

from rmail_kernel import hookspecs
from rmail_kernel.bus import Bus
from rmail_kernel.config import Section
from rmail_kernel.errors import PluginError

GROUP = "rmail.plugins"


class Plugin(Protocol):
    """What a plugin class offers besides its hooks; only `name` is required. It is made without
    arguments, once a process.

    `settings` is the model of its section, `section` the key in config.json (default: the name),
    `hookspecs` a module with hooks that it declares for other plugins.
    """

    name: str


@dataclass(frozen=True, slots=True)
class Installed:
    """One entry point: `plugin` is its class, or None with the `error` that kept it from
    importing.
    """

    name: str
    target: str
    distribution: str
    version: str
    plugin: type[Any] | None
    error: str = ""

    @property
    def settings(self) -> tuple[str, type[Section]] | None:
        """The section name and model that the plugin declares, if any."""
        model = getattr(self.plugin, "settings", None)
        if model is None:
            return None
        if not (isinstance(model, type) and issubclass(model, Section)):
            raise PluginError(
                "settings must be a subclass of rmail_kernel.config.Section", plugin=self.name
            )
        return getattr(self.plugin, "section", self.name), model


def installed() -> list[Installed]:
    """Every plugin of this environment, sorted by name; one that fails to import carries its error.

    Raises:
        PluginError: two entry points have one name.
    """
    errors: dict[str, str] = {}

    def remember(_: object, entry_point: Any, error: BaseException) -> None:
        errors[entry_point.name] = f"{type(error).__name__}: {error}"

    manager: ExtensionManager[Any] = ExtensionManager(GROUP, on_load_failure_callback=remember)
    origins = _origins()
    found = [_describe(extension.entry_point, extension.plugin, origins) for extension in manager]
    for entry_point in manager.list_entry_points():
        if entry_point.name in errors:
            broken = _describe(entry_point, None, origins)
            found.append(replace(broken, error=errors[entry_point.name]))
    found.sort(key=lambda item: item.name)
    for one, other in pairwise(found):
        if one.name == other.name:
            raise PluginError(
                f"two distributions offer it: {one.distribution} and {other.distribution}",
                plugin=one.name,
            )
    return found


def _origins() -> dict[tuple[str, str], tuple[str, str]]:
    """Distribution and version by name and target; stevedore's cache does not keep them."""
    return {
        (point.name, point.value): (point.dist.name, point.dist.version)
        for point in entry_points(group=GROUP)
        if point.dist is not None
    }


def _describe(
    point: EntryPoint,
    plugin: type[Any] | None,
    origins: Mapping[tuple[str, str], tuple[str, str]],
) -> Installed:
    distribution, version = origins.get((point.name, point.value), ("?", "?"))
    return Installed(point.name, point.value, distribution, version, plugin)


def sections(plugins: Iterable[Installed]) -> dict[str, type[Section]]:
    """The settings models of plugins by section name.

    Raises:
        PluginError: two plugins claim one section.
    """
    models: dict[str, type[Section]] = {}
    for plugin in plugins:
        declared = plugin.settings
        if declared is None:
            continue
        name, model = declared
        if models.setdefault(name, model) is not model:
            raise PluginError(f"section {name!r} is claimed by another plugin", plugin=plugin.name)
    return models


def new_bus() -> Bus:
    """A bus with every hook and no plugin."""
    return Bus(hookspecs)


def load(
    bus: Bus, names: Iterable[str], available: Mapping[str, Installed] | None = None
) -> dict[str, object]:
    """Makes and registers the named plugins, in order.

    Args:
        available: by name; None: all that are installed.

    Raises:
        PluginError: unknown (with a near match), failed to import or to construct, named twice,
            or implements an unknown hook.
    """
    if available is None:
        available = {plugin.name: plugin for plugin in installed()}
    loaded: dict[str, object] = {}
    for name in names:
        if name in loaded:
            raise PluginError("is named twice", plugin=name)
        plugin = available.get(name)
        if plugin is None:
            near = difflib.get_close_matches(name, list(available), 1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else f"installed are: {', '.join(sorted(available)) or 'none'}"
            )
            raise PluginError(f"is not installed; {hint}", plugin=name)
        if plugin.plugin is None:
            raise PluginError(f"failed to import: {plugin.error}", plugin=name)
        loaded[name] = register(bus, plugin.plugin, name)
    bus.check()
    return loaded


def register(bus: Bus, plugin: type[Any], name: str) -> object:
    """Makes one plugin and registers it under `name`.

    Raises:
        PluginError: it cannot be made, or is not a plugin.
    """
    if not isinstance(plugin, type):
        raise PluginError("the entry point must name a class", plugin=name)
    try:
        instance = plugin()
    except Exception as error:  # a stranger's code: named, and the start ends
        raise PluginError(f"cannot be made: {error!r}", plugin=name) from error
    bus.register(instance, name)
    return instance
