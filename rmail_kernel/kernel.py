"""What plugins get: the services of one process as attributes, background work, the drain.

`composition.py` fills it. It must not know any plugin or the insides of any service.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from rmail_kernel.bus import Bus
from rmail_kernel.clock import Clock
from rmail_kernel.config import Section, Settings
from rmail_kernel.content import SPOOL_BYTES, ContentWriter
from rmail_kernel.observe.metrics import CONNECTIONS, TASK_ERRORS
from rmail_kernel.observe.sessions import OpenSession, OpenSessions

if TYPE_CHECKING:
    from rmail_kernel.auth.api import Auth
    from rmail_kernel.delivery.api import DeliveryService
    from rmail_kernel.net.crowd import Crowd
    from rmail_kernel.net.resolver import Resolver
    from rmail_kernel.net.tls import TlsContexts
    from rmail_kernel.storage.accounts import Directory
    from rmail_kernel.storage.events import EventBus
    from rmail_kernel.storage.mail import MailStore
    from rmail_kernel.storage.queue import Queue
    from rmail_kernel.storage.state import State

T = TypeVar("T")
S = TypeVar("S", bound=Section)
_log = structlog.get_logger("rmail.kernel")


class Kernel:
    """The services of one process.

    Attributes:
        settings, bus, clock: configuration, hooks, time.
        mail, directory, state, queue, events: the storage contracts.
        auth, delivery, tls: the kernel's services.
        resolver: DNS, by the settings of the section `dns`.
        crowd: how many connections the workers have; None: there is only this process.
        closers: what `stop` awaits, last first.
        sessions: client sessions that are open now.
        draining: set when the process is asked to end; sessions finish what they do and close.
        pool: bounded threads for blocking work; use `run` rather than the loop's default executor.
    """

    mail: MailStore
    directory: Directory
    state: State
    queue: Queue
    events: EventBus
    auth: Auth
    delivery: DeliveryService
    tls: TlsContexts | None  # None when TLS is off
    resolver: Resolver

    def __init__(self, settings: Settings, bus: Bus, *, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clock = clock or Clock()
        self.bus = bus
        self.plugins: dict[str, object] = {}
        self.pool = ThreadPoolExecutor(settings.process.threads, thread_name_prefix="rmail")
        self.draining = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._telling: set[asyncio.Task[Any]] = set()
        self.closers: list[Callable[[], Awaitable[None]]] = []
        self.sessions = OpenSessions()
        self._connections = 0
        self.crowd: Crowd | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def section(self, name: str, model: type[S]) -> S:
        """The settings of a plugin, as they are now (SIGHUP replaces them)."""
        return self.settings.section(name, model)

    async def run(self, function: Callable[..., T], *arguments: Any) -> T:
        """Runs blocking work in the pool, with the caller's context variables."""
        loop = asyncio.get_running_loop()
        context = contextvars.copy_context()
        return await loop.run_in_executor(self.pool, context.run, function, *arguments)

    def writer(
        self, limit_bytes: int | None = None, *, memory_bytes: int = SPOOL_BYTES
    ) -> ContentWriter:
        """Takes a message as it arrives; large ones go to a file beside the store, as the system's
        temporary folder may be memory.

        Args:
            limit_bytes: a larger one raises TooLarge.
            memory_bytes: from what size on it is a file.
        """
        return ContentWriter(self.settings.mail_root / "run", limit_bytes, memory_bytes)

    def spawn(
        self, work: Coroutine[Any, Any, Any], name: str, *, is_telling: bool = False
    ) -> asyncio.Task[Any]:
        """Starts a background task that the kernel owns: its failure is logged and counted.

        Args:
            is_telling: it tells others what happened, so shutdown waits for it before it cancels.
        """
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        if is_telling:
            self._telling.add(task)
        task.add_done_callback(self._finished)
        return task

    def connection(
        self, listener: str, session: OpenSession | None = None
    ) -> AbstractContextManager[None]:
        """Counts one open client connection; the drain at shutdown waits for it.

        Args:
            session: what `rmail sessions` shows of it.
        """
        return _Counted(self, listener, session)

    def _count(self, more: int) -> None:
        self._connections += more
        if self._connections:
            self._idle.clear()
        else:
            self._idle.set()
        if self.crowd is not None:
            self.crowd.tell(self._connections)

    async def drain(self) -> bool:
        """Asks sessions to end and waits at most `process.drain_s`; whether all of them ended."""
        self.draining.set()
        try:
            async with asyncio.timeout(self.settings.process.drain_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def stop(self) -> None:
        """Ends background work, then closes what was opened, last first. Idempotent."""
        await self._finish_last_words()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        try:
            while self.closers:
                await self._close(self.closers.pop())
        finally:
            self.pool.shutdown(wait=True)

    async def _close(self, closer: Callable[[], Awaitable[None]]) -> None:
        """One that fails is logged: the others must be closed all the same."""
        try:
            await closer()
        except Exception:  # noqa: BLE001 - whatever it is, it ends here
            _log.exception("closing failed")

    async def _finish_last_words(self) -> None:
        """Lets tasks that tell others what happened come to their end, within `process.drain_s`."""
        if telling := [task for task in self._tasks if task in self._telling]:
            await asyncio.wait(telling, timeout=self.settings.process.drain_s)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._telling.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            TASK_ERRORS.labels(task.get_name()).inc()
            _log.error("background task failed", task=task.get_name(), exc_info=error)


class _Counted:
    """A client connection that is open. Thousands may last for hours, and a generator takes more
    room.
    """

    __slots__ = ("_kernel", "_listener", "_session")

    def __init__(self, kernel: Kernel, listener: str, session: OpenSession | None) -> None:
        self._kernel = kernel
        self._listener = listener
        self._session = session

    def __enter__(self) -> None:
        if self._session is not None:
            self._kernel.sessions.add(self._session)
        self._kernel._count(1)
        CONNECTIONS.labels(self._listener).inc()

    def __exit__(self, *_: object) -> None:
        CONNECTIONS.labels(self._listener).dec()
        if self._session is not None:
            self._kernel.sessions.discard(self._session)
        self._kernel._count(-1)
