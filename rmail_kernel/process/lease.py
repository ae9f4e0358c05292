"""Leases: work that runs in one process at a time. A lease is a lock on a file, so it ends with its
holder however that dies, and another process takes over.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog

from rmail_kernel import runfiles
from rmail_kernel.errors import ConfigError
from rmail_kernel.observe.metrics import TASK_ERRORS
from rmail_kernel.tasks import SingletonTask

RETRY_S = 1.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
Spawn = Callable[[Coroutine[Any, Any, Any], str], asyncio.Task[Any]]
_log = structlog.get_logger("rmail.lease")


def try_lock(path: Path) -> int | None:
    """The descriptor of a locked file, or None when another process or object holds the lock.

    Raises:
        OSError: the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


@asynccontextmanager
async def hold(mail_root: Path, name: str, retry_s: float = RETRY_S) -> AsyncIterator[None]:
    """Waits for the lease `name` of a store and holds it while the context is open.

    Args:
        retry_s: seconds between two tries; a lease moves within this time.
    """
    folder = runfiles.make_folder(mail_root, "run", "lease")
    path = folder / f"{quote(name, safe='')}.lock"
    while (descriptor := try_lock(path)) is None:  # noqa: ASYNC110 - another process has it
        await asyncio.sleep(retry_s)
    try:
        runfiles.give_to_owner(mail_root, path)
        yield
    finally:
        os.close(descriptor)


class Singletons:
    """The singleton tasks of one process: each runs while this process holds its lease."""

    def __init__(self, mail_root: Path, tasks: Iterable[SingletonTask]) -> None:
        self._mail_root = mail_root
        self._tasks: dict[str, SingletonTask] = {}
        for task in tasks:
            if self._tasks.setdefault(task.name, task) is not task:
                raise ConfigError(f"two tasks are named {task.name!r}", path="plugins")
        self._running: list[asyncio.Task[Any]] = []

    def start(self, spawn: Spawn) -> None:
        """Begins to wait for the leases, with `Kernel.spawn`."""
        self._running = [
            spawn(self._run(task), f"lease:{name}") for name, task in self._tasks.items()
        ]

    async def stop(self) -> None:
        """Cancels the tasks and lets go of the leases."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    async def _run(self, task: SingletonTask) -> None:
        async with hold(self._mail_root, task.name):
            _log.debug("lease taken", task=task.name)
            await run_until_finished(task)
            # Finished: the lease is kept, or the next process would do the work again.
            await asyncio.get_running_loop().create_future()


async def run_until_finished(task: SingletonTask, first_pause_s: float = FIRST_PAUSE_S) -> None:
    """Runs a task; each error is logged and followed by a pause that doubles up to 60 s, and by
    another run. A run longer than the longest pause starts the series of pauses anew.
    """
    loop = asyncio.get_running_loop()
    pause_s = first_pause_s
    while True:
        began = loop.time()
        try:
            await task.run()
        except Exception as error:  # noqa: BLE001 - a stranger's work: logged, counted, run again
            if loop.time() - began > LONGEST_PAUSE_S:
                pause_s = first_pause_s
            TASK_ERRORS.labels(task.name).inc()
            _log.error("task failed", task=task.name, pause_s=pause_s, exc_info=error)
        else:
            return
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
