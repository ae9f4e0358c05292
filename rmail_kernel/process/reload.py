"""SIGHUP: the config file is read again. What was used up when processes and sockets were made
needs a restart and is named in the log; a bad file changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
from pydantic import BaseModel

from rmail_kernel import plugins
from rmail_kernel.config import Settings, load
from rmail_kernel.errors import RmailError
from rmail_kernel.kernel import Kernel
from rmail_kernel.net.listeners import Listener
from rmail_kernel.observe import logs
from rmail_kernel.process import notify
from rmail_kernel.process.node import possible_listeners

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
_log = structlog.get_logger("rmail.reload")


def load_file(path: Path) -> Settings:
    """Reads the config file, with the sections of the installed plugins.

    Raises:
        ConfigError, PluginError: see `rmail_kernel.config.load`.
    """
    return load(path, plugins.sections(plugins.installed()))


def changed(running: Settings, new: Settings) -> list[str]:
    """The settings that need a restart and differ."""
    return [path for path in NEEDS_RESTART if _get(running, path) != _get(new, path)]


def keep_running(running: Settings, new: Settings) -> Settings:
    """The new settings, but those that need a restart as they run now."""
    for path in NEEDS_RESTART:
        new = _replace(new, path.split("."), _get(running, path))
    return new


class Reloader:
    """Reads the config file of a running server.

    Args:
        kernel: its settings are replaced; its plugins tell which listeners there are.
        config_path: the file.

    Raises:
        RmailError: the file, if there is one, or a plugin's listeners are wrong.
    """

    def __init__(self, kernel: Kernel, config_path: Path) -> None:
        self._kernel = kernel
        self._path = config_path
        # Options of the command line are no change of the file.
        self._at_start = load_file(config_path) if config_path.exists() else kernel.settings
        self._places = _places(possible_listeners(kernel))

    def reload(self, take: Callable[[Settings], None]) -> None:
        """Hands the new settings to `take`, or logs why everything stays as it is."""
        notify.notify(notify.reloading())
        try:
            settings = self._read()
        except RmailError as error:
            _log.error("settings kept: the new ones cannot be used", reason=error.safe)
        else:
            logs.configure(settings.log)
            take(settings)
            _log.info("settings reloaded")
        notify.notify(notify.READY)

    def _read(self) -> Settings:
        new = load_file(self._path)
        old = self._kernel.settings
        self._kernel.settings = keep_running(old, new)
        try:
            wanted = _places(possible_listeners(self._kernel))
        except RmailError:
            self._kernel.settings = old
            raise
        for path in changed(self._at_start, new):
            _log.warning("setting needs a restart", path=path)
        for name in sorted({name for name, _ in self._places.items() ^ wanted.items()}):
            _log.warning("listener needs a restart", listener=name)
        return self._kernel.settings


def _places(listeners: list[Listener]) -> dict[str, tuple[str, int, bool]]:
    return {found.name: (found.host, found.port, found.implicit_tls) for found in listeners}


def _get(settings: BaseModel, path: str) -> Any:
    value: Any = settings
    for key in path.split("."):
        value = getattr(value, key)
    return value


def _replace(model: Any, keys: list[str], value: object) -> Any:
    key, *rest = keys
    inner = _replace(getattr(model, key), rest, value) if rest else value
    return model.model_copy(update={key: inner})
