"""The supervisor's end of one worker: settings go down its standard input, whose closing ends the
worker; what it reports comes up its standard output.
"""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple, Self

import msgspec

from rmail_kernel.config import Settings
from rmail_kernel.errors import ConfigError, RmailError
from rmail_kernel.process import settings_pipe

SOCKETS_VARIABLE = "RMAIL_SOCKETS"
PLACE_VARIABLE = "RMAIL_PLACE"


class Report(msgspec.Struct, frozen=True):
    """One line of a worker: the listeners that it serves, or why it cannot."""

    serves: list[str] = []
    failed: str = ""
    is_config: bool = False


class Shared(NamedTuple):
    """Descriptors of the memory that workers share; see the modules."""

    crowd: int
    listening: int


class StartFailed(RmailError):
    """A worker ended before it served."""


class WorkerProcess:
    """A worker that was started."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(
        cls,
        settings: Settings,
        sockets: Mapping[str, socket.socket],
        environ: Mapping[str, str],
        shared: Shared,
        place: int,
    ) -> Self:
        """Starts a worker that inherits the sockets.

        Args:
            place: the worker's, in what is shared.

        Raises:
            StartFailed: no process can be made.
        """
        named = {name: opened.fileno() for name, opened in sockets.items()}
        value = ",".join(f"{name}={descriptor}" for name, descriptor in named.items())
        where = ":".join(map(str, (place, *shared)))
        environ = {**environ, SOCKETS_VARIABLE: value, PLACE_VARIABLE: where}
        worker = cls(await _spawn([*named.values(), *shared], environ))
        worker.send(settings)
        return worker

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def send(self, settings: Settings) -> None:
        """Hands over settings: the first ones, or new ones."""
        assert self._process.stdin is not None
        self._process.stdin.write(settings_pipe.dump(settings) + b"\n")

    async def ready(self) -> frozenset[str]:
        """Waits until the worker accepts; the names of the listeners that it serves.

        Raises:
            ConfigError: it cannot start because of a setting.
            StartFailed: it cannot start for another reason, or died.
        """
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            raise StartFailed(f"a worker {describe(await self.wait())} before it was ready")
        report = msgspec.json.decode(line, type=Report)
        if report.failed and report.is_config:
            raise ConfigError(report.failed)
        if report.failed:
            raise StartFailed(report.failed)
        return frozenset(report.serves)

    async def wait(self) -> int:
        """The exit code, negative for a signal, once it ended."""
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal; nothing when it ended already."""
        with suppress(ProcessLookupError):
            self._process.send_signal(number)


async def _spawn(descriptors: list[int], environ: Mapping[str, str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the working directory is no place to import from
            "-m",
            "rmail_kernel.process.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            pass_fds=descriptors,
            env=environ,
            process_group=0,  # Ctrl-C is for the supervisor, which then drains the workers
        )
    except OSError as error:
        raise StartFailed(f"cannot run {sys.executable}: {error.strerror}") from error


def describe(code: int) -> str:
    """How a process ended, in words."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"was ended by {name}"
