"""The supervisor: holds the sockets, keeps the workers alive, reloads, drains. It accepts nothing
and never touches an account's data.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from rmail_kernel import runfiles
from rmail_kernel.errors import RmailError
from rmail_kernel.net import crowd
from rmail_kernel.net.sockets import ports
from rmail_kernel.observe.exposition import FOLDER_VARIABLE
from rmail_kernel.process import listening, notify, presence
from rmail_kernel.process.hub import Hub
from rmail_kernel.process.reload import Reloader
from rmail_kernel.process.worker_process import Shared, StartFailed, WorkerProcess, describe
from rmail_kernel.settings import TOKEN_SECRET_VARIABLE, Settings

GRACE_S = 5.0  # what a worker may take to close after its drain
INTERRUPTED = 130  # 128 + SIGINT, as shells count
QUICK_DEATH_S = 1.0
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
OnReady = Callable[[Mapping[str, int]], None]
_log = structlog.get_logger("rmail.supervisor")


class Supervisor:
    """The workers of one server.

    Args:
        settings: what the workers get.
        sockets: open, by listener name; the supervisor closes them.
        reloader: reads the settings again at SIGHUP.
        on_ready: called with the ports once all workers accept.
    """

    def __init__(
        self,
        settings: Settings,
        sockets: dict[str, socket.socket],
        reloader: Reloader,
        on_ready: OnReady | None = None,
    ) -> None:
        self._settings = settings
        self._sockets = sockets
        self._reloader = reloader
        self._on_ready = on_ready
        self._environ: dict[str, str] = {}
        self._stopping = asyncio.Event()
        self._workers: dict[int, WorkerProcess] = {}
        self._code = 0
        self._shared = Shared(-1, -1)

    async def run(self, count: int) -> int:
        """Runs `count` workers until a signal; the exit code.

        Raises:
            ConfigError, StartFailed: the workers cannot start; none is left.
        """
        root = self._settings.mail_root
        self._environ = self._worker_environ()
        presence.retract_ports(root)
        hub = Hub()
        await hub.start(root)
        first = [asyncio.get_running_loop().create_future() for _ in range(count)]
        self._shared = Shared(crowd.make(count), listening.make(count))
        slots = [asyncio.create_task(self._keep(*one)) for one in enumerate(first)]
        self._handle_signals()
        try:
            if await self._all_ready(first):
                await self._stopping.wait()
        finally:
            await self._end(slots)
            hub.close()
            for descriptor in self._shared:
                os.close(descriptor)
        return self._code

    async def _all_ready(self, first: list[asyncio.Future[frozenset[str]]]) -> bool:
        """Waits until all workers accept and tells the world; False when asked to stop before."""
        stopping = asyncio.create_task(self._stopping.wait())
        served = asyncio.gather(*first)
        either: set[asyncio.Future[Any]] = {stopping, served}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self._stopping.is_set():
            served.cancel()
            await asyncio.gather(served, return_exceptions=True)
            return False
        stopping.cancel()
        names = frozenset[str]().union(*await served)
        for name in self._sockets.keys() - names:  # HTTP without routes
            self._sockets.pop(name).close()
        found = ports(self._sockets)
        presence.publish_ports(self._settings.mail_root, found)
        notify.notify(notify.READY)
        _log.info("serving", ports=found, workers=len(first))
        if self._on_ready is not None:
            self._on_ready(found)
        return True

    async def _keep(self, place: int, first: asyncio.Future[frozenset[str]]) -> None:
        """Keeps one worker alive; `first` learns how the first one started."""
        pause_s = 0.0
        while not self._stopping.is_set():
            lived_s = await self._run_worker(place, first)
            if lived_s is None:
                pause_s = min(max(2 * pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S)
            else:
                pause_s = FIRST_PAUSE_S if lived_s < QUICK_DEATH_S else 0.0
            await self._wait_unless_stopping(pause_s)

    async def _run_worker(self, place: int, first: asyncio.Future[frozenset[str]]) -> float | None:
        """Runs one worker to its end; how many seconds it served, None: never."""
        try:
            worker = await WorkerProcess.start(
                self._settings, self._sockets, self._environ, self._shared, place
            )
        except StartFailed as error:
            _fail(first, error)
            return None
        self._workers[worker.pid] = worker
        if self._stopping.is_set():
            worker.signal(signal.SIGTERM)
        lived_s = None
        try:
            served = await worker.ready()
            began_at = time.monotonic()
            if not first.done():
                first.set_result(served)
            code = await worker.wait()
            lived_s = time.monotonic() - began_at
            if not self._stopping.is_set():
                _log.error("a worker died", worker=worker.pid, how=describe(code))
        except RmailError as error:
            if not self._stopping.is_set():
                _fail(first, error)
        await worker.wait()
        del self._workers[worker.pid]
        forget_metrics(worker.pid, self._environ[FOLDER_VARIABLE])
        return lived_s

    async def _wait_unless_stopping(self, pause_s: float) -> None:
        try:
            async with asyncio.timeout(pause_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    async def _end(self, slots: list[asyncio.Task[None]]) -> None:
        """Drains the workers; those that take too long are killed."""
        self._stopping.set()
        notify.notify(notify.STOPPING)
        presence.retract_ports(self._settings.mail_root)
        for opened in self._sockets.values():
            opened.close()
        self._signal_all(signal.SIGTERM)
        _, late = await asyncio.wait(slots, timeout=self._settings.process.drain_s + GRACE_S)
        if late:
            _log.error("workers killed: they did not end in time", workers=len(late))
            self._signal_all(signal.SIGKILL)
        await asyncio.gather(*slots)

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stopping.set)
        loop.add_signal_handler(signal.SIGINT, self._interrupt)
        loop.add_signal_handler(signal.SIGHUP, self._reloader.reload, self._take)

    def _interrupt(self) -> None:
        if self._stopping.is_set():  # the second time: at once
            self._code = INTERRUPTED
            self._signal_all(signal.SIGKILL)
        self._stopping.set()

    def _signal_all(self, number: signal.Signals) -> None:
        for worker in self._workers.values():
            worker.signal(number)

    def _take(self, settings: Settings) -> None:
        self._settings = settings
        for worker in self._workers.values():
            worker.send(settings)

    def _worker_environ(self) -> dict[str, str]:
        folder = runfiles.make_folder(self._settings.mail_root, "run", "metrics")
        clean(folder)
        environ = {**os.environ, FOLDER_VARIABLE: str(folder)}
        environ.pop("NOTIFY_SOCKET", None)  # the supervisor speaks for all
        if self._settings.exchange_api.token_secret is None:
            environ.setdefault(TOKEN_SECRET_VARIABLE, secrets.token_urlsafe(48))
        return environ


def clean(folder: Path) -> None:
    """Removes the metrics of an earlier server."""
    for path in folder.glob("*.db"):
        path.unlink(missing_ok=True)


def forget_metrics(pid: int, folder: str) -> None:
    """Drops the gauges of a dead worker; its counters stay in the sums."""
    from prometheus_client.multiprocess import mark_process_dead

    mark_process_dead(pid, folder)  # type: ignore[no-untyped-call]  # library without types here


def _fail(first: asyncio.Future[frozenset[str]], error: Exception) -> None:
    if first.done():
        _log.error("a worker cannot start", reason=str(error))
    else:
        first.set_exception(error)
