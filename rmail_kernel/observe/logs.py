"""Structured logs on standard error, one line per event: JSON, or coloured text on a terminal.

Secrets never print: values of telling keys are masked, tracebacks come without local variables.
Context variables (`session`) flow into every line; the standard library's loggers join in.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson
import structlog
from structlog.types import Processor

from rmail_kernel.settings import LogSettings

_STDERR = 2
_SECRET_KEYS = ("password", "secret", "token", "authorization", "credential", "cookie")
_CHATTY = ("aiohttp.access", "mail.log", "asyncio")  # a line per request, command or poll


def configure(settings: LogSettings) -> None:
    """Sets up logging of this process; may be called again with other settings."""
    is_console = settings.format == "console" or (settings.format == "auto" and sys.stderr.isatty())
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask_secrets,
    ]
    renderers = _console() if is_console else _json()
    structlog.configure(
        processors=[*shared, _add_name, *renderers],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_Line,
        cache_logger_on_first_use=False,  # SIGHUP may change the level
    )
    _route_standard_library([*shared, _add_name, *renderers], level)


def mask_secrets(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Replaces the value of each key that tells of a secret."""
    for key in event:
        if _tells_of_a_secret(key):
            event[key] = "***"
    return event


@lru_cache(maxsize=1024)  # there are few keys, and several in each line
def _tells_of_a_secret(key: str) -> bool:
    return any(word in key.lower() for word in _SECRET_KEYS)


class _Line:
    """The last step: writes one rendered line in one call, so that processes do not mix theirs."""

    def __init__(self, name: str = "rmail") -> None:
        self.name = name

    def msg(self, line: bytes) -> None:
        with suppress(OSError):  # nobody reads the log any more: the server goes on
            os.write(_STDERR, line + b"\n")

    debug = info = warning = error = critical = exception = fatal = warn = log = msg


def _add_name(
    logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    if isinstance(logger, _Line):
        event["logger"] = logger.name
    event.setdefault("pid", os.getpid())
    return event


def _json() -> list[Processor]:
    return [structlog.processors.format_exc_info, _render_json]


def _render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    try:
        return orjson.dumps(dict(event), default=repr, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # lone surrogates and huge numbers: logging must not fail for them
        return json.dumps(dict(event), default=repr, skipkeys=True).encode()


def _console() -> list[Processor]:
    render = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(),
        exception_formatter=structlog.dev.plain_traceback,  # rich's would show local variables
    )

    def as_bytes(logger: object, method: str, event: MutableMapping[str, Any]) -> bytes:
        return str(render(logger, method, event)).encode(errors="backslashreplace")

    return [as_bytes]


class _Handler(logging.Handler):
    """Renders a record of the standard library as our own lines are rendered."""

    def __init__(self, processors: list[Processor]) -> None:
        super().__init__()
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        event: Any = {"event": record.getMessage(), "logger": record.name}
        if record.exc_info:
            event["exc_info"] = record.exc_info
        try:
            for step in self._processors:
                event = step(None, record.levelname.lower(), event)
        except (ValueError, TypeError):
            self.handleError(record)
            return
        _Line(record.name).msg(event)


def _route_standard_library(processors: list[Processor], level: int) -> None:
    root = logging.getLogger()
    for handler in [found for found in root.handlers if isinstance(found, _Handler)]:
        root.removeHandler(handler)
    root.addHandler(_Handler(processors))
    root.setLevel(level)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
