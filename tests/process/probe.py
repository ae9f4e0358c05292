"""A plugin for worker processes under test: a line protocol on "probe" and, with TLS, on "probes".
Tests install it as a distribution of its own. Its on_start prints PROBE_PRINT, waits until the test
has closed the FIFO PROBE_GATE, and raises while the file PROBE_FAIL exists.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from prometheus_client import Counter

from rmail_kernel import Kernel, Section, hookimpl
from rmail_kernel.net.listeners import Listener
from rmail_kernel.observe.exposition import render
from rmail_kernel.storage.events import Change
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.tasks import SingletonTask

PINGS = Counter("probe_pings_total", "Pings of all workers")
ALICE = AccountId("alice@example.com")


class ProbeSettings(Section):
    """The probe's settings."""

    port: int = 0
    """Port of "probe"."""
    word: str = "first"
    """What `word` answers."""


class ProbePlugin:
    """Answers one word per line."""

    name = "probe"
    settings = ProbeSettings

    def __init__(self) -> None:
        self._holds_lease = False

    @hookimpl
    async def on_start(self, kernel: Kernel) -> None:
        if text := os.environ.get("PROBE_PRINT"):
            print(text, flush=True)
        if gate := os.environ.get("PROBE_GATE"):
            await kernel.run(Path(gate).read_bytes)
        if Path(os.environ.get("PROBE_FAIL", "/nowhere")).exists():
            raise ValueError("the probe\nrefuses")

    @hookimpl
    def register_listeners(self, kernel: Kernel) -> list[Listener]:
        def protocol() -> asyncio.StreamReaderProtocol:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                with kernel.connection("probe"):
                    await self._session(kernel, reader, writer)
                    writer.close()

            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), serve)

        port = kernel.section("probe", ProbeSettings).port
        found = [Listener("probe", "127.0.0.1", port, protocol)]
        if kernel.settings.tls.enabled:
            found.append(Listener("probes", "127.0.0.1", 0, protocol, implicit_tls=True))
        return found

    @hookimpl
    def register_tasks(self) -> list[SingletonTask]:
        return [SingletonTask("probe", self._hold)]

    async def _hold(self) -> None:
        self._holds_lease = True
        await asyncio.get_running_loop().create_future()

    async def _session(
        self, kernel: Kernel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        answers: dict[str, Callable[[], Awaitable[str]]] = {
            "pid": self._pid,
            "lease": self._lease,
            "ping": self._ping,
            "metrics": self._metrics,
        }
        while word := (await reader.readline()).decode().strip():
            if word == "bye":
                return
            if word == "watch":
                await self._watch(kernel, reader, writer)
                continue
            if word == "publish":
                kernel.events.publish(Change(ALICE, "mail", 1, 42))
            answer = (
                kernel.section("probe", ProbeSettings).word
                if word in {"word", "publish"}
                else await answers[word]()
            )
            writer.write(f"{answer}\n".encode())

    async def _watch(
        self, kernel: Kernel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Writes changes until the client sends a line."""

        def tell(change: Change) -> None:
            writer.write(f"{change.kind} {change.container} {change.modseq}\n".encode())

        with kernel.events.subscribe(ALICE, tell):
            writer.write(b"watching\n")
            await reader.readline()

    async def _pid(self) -> str:
        return str(os.getpid())

    async def _lease(self) -> str:
        return "yes" if self._holds_lease else "no"

    async def _ping(self) -> str:
        PINGS.inc()
        return "pong"

    async def _metrics(self) -> str:
        lines = render().decode().splitlines()
        return next((line for line in lines if line.startswith("probe_pings_total ")), "none")
