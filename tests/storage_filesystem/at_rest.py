"""Stores in which nothing happens by itself, however slow the machine is."""

from __future__ import annotations

from types import ModuleType
from typing import Final

from rmail_kernel.storage.filesystem import ahead, following, idling, waves

LATE_S: Final = 1000.0
"""After any test."""
TIMES: Final[list[tuple[ModuleType, str]]] = [
    (waves, "SETTLE_S"),
    (waves, "LAG_S"),
    (following, "QUIET_S"),
    (following, "LAG_S"),
    (ahead, "REST_S"),
    (idling, "LOOK_S"),
]
"""What accounts wait for before they settle, are indexed, read ahead and give back connections."""


def rest() -> None:
    """Has the stores of this process do so from now on: for processes of their own."""
    for module, name in TIMES:
        vars(module)[name] = LATE_S
