"""The event bus of a worker: its own subscribers at once, those of other processes through the hub.
Changes are hints: what is lost while the hub is away costs latency only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import cast

import structlog

from rmail_kernel.process import unix_socket
from rmail_kernel.process.events import LocalEvents
from rmail_kernel.process.listening import Listening
from rmail_kernel.process.outbox import LineReader, Outbox
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.ids import AccountId

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
_log = structlog.get_logger("rmail.hub")


class HubEvents(LocalEvents):
    """An EventBus that reaches every process of the server.

    Args:
        path: the hub's socket.
        listening: tells who hears what; None: that is not known, so all are told.
    """

    def __init__(self, path: Path, listening: Listening | None = None) -> None:
        super().__init__()
        self._path = path
        self._listening = listening
        self._outbox = Outbox()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Connects in the background and again whenever the hub is lost."""
        self._task = asyncio.create_task(self._stay_connected(), name="hub")

    async def stop(self) -> None:
        """Disconnects."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    def publish(self, change: Change) -> None:
        """Calls the subscribers here and sends the change to the other processes."""
        super().publish(change)
        if self._listening is None or self._listening.is_heard(change.account):
            self._outbox.add(change)

    def begin(
        self, account: AccountId, subscriber: object, callback: Callable[[Change], None]
    ) -> None:
        """The other processes tell of the account from now on."""
        super().begin(account, subscriber, callback)
        if self._listening is not None:
            self._listening.begin(account)

    def end(self, account: AccountId, subscriber: object) -> None:
        """They need not, if nobody else listens."""
        if self._listening is not None:
            self._listening.end(account)
        super().end(account, subscriber)

    def receive(self, change: Change) -> None:
        """A change of another process."""
        super().publish(change)

    async def _stay_connected(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                link = await self._connect()
            except OSError as error:
                _log.debug("hub unreachable", reason=str(error))
            else:
                pause_s = FIRST_PAUSE_S
                try:
                    await link.lost.wait()
                finally:
                    link.close()
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def _connect(self) -> _Link:
        opened = unix_socket.connect(self._path)
        try:
            loop = asyncio.get_running_loop()
            _, link = await loop.create_unix_connection(
                lambda: _Link(self, self._outbox), sock=opened
            )
        except BaseException:
            opened.close()
            raise
        return link


class _Link(asyncio.Protocol):
    """One connection to the hub."""

    def __init__(self, events: HubEvents, outbox: Outbox) -> None:
        self._events = events
        self._outbox = outbox
        self._reader = LineReader()
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._outbox.attach(self._transport)

    def data_received(self, data: bytes) -> None:
        try:
            changes = self._reader.feed(data)
        except ValueError as error:
            _log.error("hub dropped", reason=str(error))
            self.close()
            return
        for change in changes:
            self._events.receive(change)

    def pause_writing(self) -> None:
        self._outbox.pause()

    def resume_writing(self) -> None:
        self._outbox.resume()

    def connection_lost(self, _error: Exception | None) -> None:
        self._outbox.detach()
        self.lost.set()

    def close(self) -> None:
        """Cuts the connection."""
        if self._transport is not None:
            self._transport.abort()
