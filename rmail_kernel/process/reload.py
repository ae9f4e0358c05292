"""Settings on their way: to workers, and through a reload. Some need a restart to take effect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr

from rmail_kernel import plugins
from rmail_kernel.config import Settings, build, load

# What was used up when the processes and sockets were made.
NEEDS_RESTART = (
    "mail_root",
    "plugins",
    "workers",
    "process.user",
    "process.threads",
    "storage",
    "tls.enabled",
    "http.host",
    "http.port",
    "http.tls_port",
)


def dump(settings: Settings) -> bytes:
    """The whole settings, secrets included, as one line of JSON: for a pipe, never for a file."""
    data = settings.model_dump()
    for name, section in settings.section_models.items():
        data[name] = section.model_dump()
    return orjson.dumps(data, default=_plain)


def parse(line: bytes) -> Settings:
    """The settings in a line of `dump`.

    Raises:
        ConfigError, PluginError: the installed plugins changed meanwhile and no longer agree.
    """
    return build(orjson.loads(line), plugins.sections(plugins.installed()), environ={})


def _plain(value: object) -> object:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return list(value) if isinstance(value, set | frozenset) else str(value)


def changed(running: Settings, new: Settings) -> list[str]:
    """The settings that need a restart and differ."""
    return [path for path in NEEDS_RESTART if _get(running, path) != _get(new, path)]


def keep_running(running: Settings, new: Settings) -> Settings:
    """The new settings, but those that need a restart as they run now."""
    for path in NEEDS_RESTART:
        new = _replace(new, path.split("."), _get(running, path))
    return new


def _get(settings: BaseModel, path: str) -> Any:
    value: Any = settings
    for key in path.split("."):
        value = getattr(value, key)
    return value


def _replace(model: Any, keys: list[str], value: object) -> Any:
    key, *rest = keys
    inner = _replace(getattr(model, key), rest, value) if rest else value
    return model.model_copy(update={key: inner})


def load_file(path: Path) -> Settings:
    """Reads the config file again.

    Raises:
        ConfigError, PluginError: see `rmail_kernel.config.load`.
    """
    return load(path, plugins.sections(plugins.installed()))
