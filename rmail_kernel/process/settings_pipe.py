"""Settings on their way from the supervisor to a worker: one line of JSON, secrets included."""

from __future__ import annotations

import orjson
from pydantic import SecretStr

from rmail_kernel import plugins
from rmail_kernel.config import Settings, build


def dump(settings: Settings) -> bytes:
    """The whole settings as one line: for a pipe, never for a file."""
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
