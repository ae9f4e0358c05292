"""Settings: one `config.json`, validated against the models of the kernel and of the plugins.

`load` gives the whole tree or a ConfigError that names the exact path; it changes nothing on disk.
Environment variables `RMAIL_<KEY>` and `RMAIL_<SECTION>__<KEY>` win over the file. Secrets never
print.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from rmail_kernel import config_sources
from rmail_kernel.config_fields import (
    explain,
    field_at,
    is_secret,
    model_in,
    near,
    read_variable,
    unknown,
)
from rmail_kernel.config_sources import Keys, read_file
from rmail_kernel.errors import ConfigError
from rmail_kernel.settings import (
    Domain,
    NameServer,
    Network,
    Port,
    S,
    Section,
    Settings,
    unit,
)

__all__ = [
    "Domain",
    "NameServer",
    "Network",
    "Port",
    "Section",
    "Settings",
    "build",
    "field_at",
    "is_secret",
    "load",
    "model_in",
    "overlaid",
    "read_file",
    "unit",
]


def load(
    path: Path,
    sections: Mapping[str, type[Section]],
    *,
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Reads and validates a config file; see `read_file` and `build`.

    Raises:
        ConfigError: the file or a setting is wrong.
    """
    return build(read_file(path), sections, base=path.parent, environ=environ)


def build(
    data: Mapping[str, Any],
    sections: Mapping[str, type[Section]],
    *,
    base: Path = Path(),
    environ: Mapping[str, str] | None = None,
) -> Settings:
    """Validates settings.

    Args:
        data: the parsed file.
        sections: settings models of the installed plugins, by section name.
        base: folder that relative paths count from.
        environ: environment variables, default the process's.

    Raises:
        ConfigError: with the exact path, and a near match for an unknown key.
    """
    merged = overlaid(data, sections, os.environ if environ is None else environ)
    known = [*Settings.model_fields, *sections]
    own = {key: merged.pop(key) for key in list(merged) if key in Settings.model_fields}
    settings = _absolute(_validate(Settings, own, ()), base)
    settings._sections = {
        name: _validate(model, merged.pop(name, {}), (name,)) for name, model in sections.items()
    }
    for key, value in merged.items():
        if not isinstance(value, dict) or near(key, known):
            raise ConfigError(unknown(key, known), path=key)
    settings._warnings = [f"section {key!r} belongs to no installed plugin" for key in merged]
    return settings


def overlaid(
    data: Mapping[str, Any], sections: Mapping[str, type[Section]], environ: Mapping[str, str]
) -> dict[str, Any]:
    """The parsed file with the environment over it, not yet validated.

    Raises:
        ConfigError: a variable does not fit the file.
    """
    known = {name.lower() for name in (*Settings.model_fields, *sections)}

    def read(keys: Keys, raw: str) -> Any:
        return read_variable(field_at(keys, sections), raw)

    return config_sources.overlay(data, environ, known, read)


def _absolute(settings: Settings, base: Path) -> Settings:
    """Settings whose paths no longer depend on the working directory."""
    tls = settings.tls
    if (tls.cert_file is None) != (tls.key_file is None):
        raise ConfigError("cert_file and key_file go together", path="tls.cert_file")
    if tls.cert_file and tls.key_file:
        files = {
            "cert_file": (base / tls.cert_file).resolve(),
            "key_file": (base / tls.key_file).resolve(),
        }
        tls = tls.model_copy(update=files)
    root = (base / settings.mail_root).resolve()
    return settings.model_copy(update={"mail_root": root, "tls": tls})


def _validate(model: type[S], data: object, prefix: Keys) -> S:
    """Strictly, as JSON: no text or boolean where a number belongs."""
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as error:
        raise explain(error.errors()[0], model, prefix) from None  # its text has the values
