"""Commands counted and timed, for /metrics."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from prometheus_client import Counter, Histogram

COMMANDS: Final = Counter(
    "rmail_imap_commands_total", "IMAP commands by result", ["command", "result"]
)
SECONDS: Final = Histogram(
    "rmail_imap_command_seconds",
    "Time from a whole IMAP command to its tagged answer",
    ["command"],
    buckets=(0.0005, 0.001, 0.005, 0.02, 0.1, 0.5, 2.0, 10.0),
)
_WAITING: Final = frozenset({"IDLE", "AUTHENTICATE", "APPEND", "REPLACE"})
"""Commands whose time is the client's."""


def count(command: str, result: str, seconds: float) -> None:
    """Notes one command; `result` is OK, NO or BAD."""
    _counter(command, result).inc()
    if command not in _WAITING:
        _timer(command).observe(seconds)


@lru_cache(maxsize=512)
def _counter(command: str, result: str) -> Counter:
    return COMMANDS.labels(command, result)


@lru_cache(maxsize=256)
def _timer(command: str) -> Histogram:
    return SECONDS.labels(command)
