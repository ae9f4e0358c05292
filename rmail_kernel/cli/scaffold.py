"""The package that `rmail plugin new` writes: a plugin with a setting, a test and a README.

The folder appears whole or not at all, and never replaces another.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib.metadata import entry_points
from pathlib import Path
from string import Template

from rmail_kernel.cli.scaffold_templates import FILES
from rmail_kernel.errors import ConfigError, Invalid
from rmail_kernel.plugins import GROUP

_NAME = re.compile(r"[a-z][a-z0-9]*(?:[-_][a-z0-9]+)*\Z")
MAX_NAME_CHARS = 64


def write(name: str, directory: Path | None = None) -> Path:
    """Writes the package of a new plugin.

    Args:
        name: of the plugin; its package is `rmail_NAME`.
        directory: the folder to make; default: one of this name in the current folder.

    Returns:
        The folder.

    Raises:
        Invalid: not a name. ConfigError: the folder exists, or a plugin of this name is installed.
        OSError: it cannot be written.
    """
    if len(name) > MAX_NAME_CHARS or not _NAME.match(name):
        raise Invalid(f"{name!r} is not a name; use lower-case letters and digits, like hello")
    words = re.split("[-_]", name)
    plugin = "_".join(words)
    folder = directory or Path(name)
    if plugin in {point.name for point in entry_points(group=GROUP)}:
        raise ConfigError(f"a plugin {plugin} is installed already; choose another name")
    if folder.exists():
        raise ConfigError(f"{folder} exists; --directory names another folder")
    fields = {
        "plugin": plugin,
        "package": f"rmail_{plugin}",
        "distribution": f"rmail-{'-'.join(words)}",
        "cls": "".join(word.capitalize() for word in words),
        "header": f"X-{'-'.join(word.capitalize() for word in words)}",
    }
    _write_all(folder, {_fill(path, fields): _fill(text, fields) for path, text in FILES.items()})
    return folder


def _fill(text: str, fields: dict[str, str]) -> str:
    return Template(text).substitute(fields)


def _write_all(folder: Path, files: dict[str, str]) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        temporary.chmod(0o755)
        for path, text in files.items():
            target = temporary / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, "utf-8")
        temporary.rename(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
