"""Writing a new config.json: whole or not at all, for its owner only, never over another."""

from __future__ import annotations

import json
import os
import secrets
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError
from rmail_kernel.plugins import GROUP

TOKEN_SECRET_BYTES = 32


def new_secret() -> str:
    """A secret for signing tokens."""
    return secrets.token_urlsafe(TOKEN_SECRET_BYTES)


def shipped_plugins() -> list[str]:
    """The plugins that are on by default, as far as they are installed."""
    present = {point.name for point in entry_points(group=GROUP)}
    return [name for name in Settings().plugins if name in present]


def root_in(config: Path, root: Path | None) -> str:
    """`mail_root` as it is written: relative to the file when the store lies beside or below it."""
    if root is None:
        return "./mailstore"
    folder, target = config.parent.resolve(), root.resolve()
    if target != folder and target.is_relative_to(folder):
        return f"./{target.relative_to(folder)}"
    return str(target)


def refuse_existing(path: Path) -> None:
    """Raises ConfigError when there is something at `path`, or its folder is missing."""
    if os.path.lexists(path):
        raise ConfigError(f"{path} exists; --config names another file")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} for the configuration")


def write_new(path: Path, data: dict[str, Any]) -> None:
    """Writes a configuration with mode 0600.

    Raises:
        ConfigError: the file exists. OSError: it cannot be written; nothing is left behind.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(data, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # unlike a rename, a link never replaces what is there
    except FileExistsError:
        refuse_existing(path)
        raise
    finally:
        temporary.unlink()
