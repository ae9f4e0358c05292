"""A worker process: `python -m rmail_kernel.process.worker`, started by the supervisor only.

It reads its settings from standard input, reports on standard output, and ends when standard input
closes: then the supervisor is dead.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress

import msgspec
import structlog
import uvloop

from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError, RmailError
from rmail_kernel.net.crowd import Crowd
from rmail_kernel.observe import logs
from rmail_kernel.process import interpreter, settings_pipe
from rmail_kernel.process.hub import SOCKET_FILE
from rmail_kernel.process.hub_events import HubEvents
from rmail_kernel.process.listening import Listening
from rmail_kernel.process.node import Node, load_kernel
from rmail_kernel.process.privileges import raise_open_files
from rmail_kernel.process.worker_process import (
    PLACE_VARIABLE,
    SOCKETS_VARIABLE,
    Report,
    Shared,
)

FATAL = 70  # EX_SOFTWARE, sysexits(3)
ORPHAN_DRAIN_S = 2.0
_ORPHAN_LIMIT_S = 15  # the alarm ends an orphan that hangs
_MAX_SETTINGS_BYTES = 16 << 20
_MAX_REASON = 2000  # characters
_log = structlog.get_logger("rmail.worker")


class _Channel:
    """The pipes to the supervisor, moved away from where a plugin might print."""

    def __init__(self) -> None:
        self._incoming = os.fdopen(os.dup(0), "rb", buffering=0)
        self._outgoing = os.dup(1)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        self.has_reported = False

    async def open(self) -> None:
        self._reader = asyncio.StreamReader(limit=_MAX_SETTINGS_BYTES)
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(self._reader), self._incoming
        )

    async def settings(self) -> Settings | None:
        """The next settings; None: the supervisor is gone."""
        line = await self._reader.readline()
        return settings_pipe.parse(line) if line.endswith(b"\n") else None

    def report(self, report: Report) -> None:
        self.has_reported = True
        with suppress(BrokenPipeError):  # the supervisor is gone
            os.write(self._outgoing, msgspec.json.encode(report) + b"\n")


def main() -> int:
    """Runs the worker; its exit code."""
    raise_open_files()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(_Channel()))


async def _serve(channel: _Channel) -> int:
    loop = asyncio.get_running_loop()
    asked_to_end = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, asked_to_end.set)
    for number in (signal.SIGINT, signal.SIGHUP):  # the supervisor's business
        loop.add_signal_handler(number, lambda: None)
    await channel.open()
    settings = await channel.settings()
    if settings is None:
        return 0
    logs.configure(settings.log)
    try:
        return await _run(settings, channel, asked_to_end)
    except RmailError as error:
        if channel.has_reported:  # the supervisor listens until then
            _log.error("worker failed", reason=error.safe)
        channel.report(
            Report(failed=error.safe[:_MAX_REASON], is_config=isinstance(error, ConfigError))
        )
        return 1
    except Exception as error:  # noqa: BLE001 - the last one who can tell why the worker ends
        _log.critical("worker failed", exc_info=error)
        reason = f"unexpected {error!r}"[:_MAX_REASON]
        channel.report(Report(failed=f"{reason}; the log has the traceback"))
        return FATAL


async def _run(settings: Settings, channel: _Channel, asked_to_end: asyncio.Event) -> int:
    shared, place = _place()
    listening = Listening(shared.listening, place)
    events = HubEvents(settings.mail_root / "run" / SOCKET_FILE, listening)
    events.start()
    kernel = load_kernel(settings)
    kernel.crowd = Crowd(shared.crowd, place)
    node = Node(kernel)
    orphaned = False
    try:
        await node.start(_inherited(), events)
        interpreter.settle()
        channel.report(Report(serves=sorted(node.serves)))
        orphaned = await _until_the_end(node, channel, asked_to_end)
    finally:
        if orphaned:
            signal.alarm(_ORPHAN_LIMIT_S)
        await node.stop(ORPHAN_DRAIN_S if orphaned else None)
        await events.stop()
    return 0


async def _until_the_end(node: Node, channel: _Channel, asked_to_end: asyncio.Event) -> bool:
    """Waits for the end and takes new settings meanwhile; whether the supervisor is gone."""
    orphaned = asyncio.create_task(_follow(node, channel))
    asked = asyncio.create_task(asked_to_end.wait())
    await asyncio.wait({orphaned, asked}, return_when=asyncio.FIRST_COMPLETED)
    if not orphaned.done():
        orphaned.cancel()
        return False
    asked.cancel()
    await orphaned  # an error in it is fatal
    _log.warning("the supervisor is gone")
    return True


async def _follow(node: Node, channel: _Channel) -> None:
    """Takes new settings until the supervisor is gone."""
    while True:
        try:
            settings = await channel.settings()
        except RmailError as error:
            _log.error("settings kept: the new ones cannot be used", reason=error.safe)
            continue
        if settings is None:
            return
        logs.configure(settings.log)
        await node.reload(settings)
        _log.info("settings taken")


def _inherited() -> dict[str, socket.socket]:
    value = os.environ.pop(SOCKETS_VARIABLE, "")
    pairs = [part.split("=") for part in value.split(",") if part]
    return {name: _adopt(int(descriptor)) for name, descriptor in pairs}


def _place() -> tuple[Shared, int]:
    """What this worker shares with the others, and its place in it."""
    place, *descriptors = map(int, os.environ.pop(PLACE_VARIABLE).split(":"))
    return Shared(*descriptors), place


def _adopt(descriptor: int) -> socket.socket:
    adopted = socket.socket(fileno=descriptor)
    adopted.set_inheritable(False)
    return adopted


if __name__ == "__main__":
    sys.exit(main())
