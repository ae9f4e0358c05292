"""Where settings come from: one strict JSON file, and `RMAIL_*` environment variables over it.

Reads only; never writes and never repeats a value in an error, since it may be a secret.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from rmail_kernel.errors import ConfigError

ENV_PREFIX = "RMAIL_"
MAX_FILE_BYTES = 1 << 20
Keys = tuple[str, ...]


def read_file(path: Path) -> dict[str, Any]:
    """The JSON object in a config file.

    Raises:
        ConfigError: missing, unreadable, larger than 1 MiB, not strict JSON (with line and
            column), or a repeated key.
    """
    text = _read_text(path)
    try:
        data = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise ConfigError(f"{path} is not valid JSON: {where}: {error.msg}") from None
    except RecursionError:
        raise ConfigError(f"{path} is nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{path} must hold a JSON object")
    return data


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw_text = file.read(MAX_FILE_BYTES + 1)
        if len(raw_text) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES} bytes")
        return raw_text.decode("utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{path} does not exist; `rmail init` makes one, --config names another"
        ) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 (byte {error.start})") from None


def variables(environ: Mapping[str, str], known: set[str]) -> Iterator[tuple[str, Keys, str]]:
    """The variables that are settings: name, path and raw text.

    Args:
        environ: environment variables.
        known: the keys of the top level; other `RMAIL_*` variables belong to someone else.
    """
    for name, raw in sorted(environ.items()):
        if name.startswith(ENV_PREFIX):
            keys = tuple(name.removeprefix(ENV_PREFIX).lower().split("__"))
            if keys[0] in known and all(keys):
                yield name, keys, raw


def overlay(
    data: Mapping[str, Any],
    environ: Mapping[str, str],
    known: set[str],
    read: Callable[[Keys, str], Any],
) -> dict[str, Any]:
    """A copy of `data` with the environment laid over it.

    Args:
        data: the parsed file.
        environ: environment variables.
        known: the keys of the top level.
        read: turns the text of a variable into the value of the setting at a path.

    Raises:
        ConfigError: a variable goes below a value that is not an object.
    """
    merged = copy.deepcopy(dict(data))
    for name, keys, raw in variables(environ, known):
        target = merged
        for key in keys[:-1]:
            if target.get(key) is None:
                target[key] = {}
            target = target[key]
            if not isinstance(target, dict):
                raise ConfigError(f"{name} does not fit the file", path=".".join(keys))
        target[keys[-1]] = read(keys, raw)
    return merged


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} stands twice")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
