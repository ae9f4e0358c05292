"""Work that runs in one process at a time, under a lease."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class SingletonTask:
    """A named coroutine function, started in whichever process gets the lease and cancelled at
    shutdown.

    A task that returns is finished; one that raises is logged and started again after a pause
    that doubles up to 60 s.
    """

    name: str
    run: Callable[[], Awaitable[None]]
