"""Twenty destinations that swallow connections, under steady flow: others do not notice."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from statistics import median
from typing import Any

import pytest

from rmail_kernel.content import Content
from rmail_kernel.model import Address, Envelope, Principal, SessionInfo
from rmail_kernel.storage.ids import AccountId
from rmail_kernel.testing import FakeMx, RunningServer

SILENT = 10
"""Destinations that take connections and say nothing."""
FULL = 10
"""Destinations that take no connection and refuse none."""
FLOW = 3
"""Messages to each of them for one to the good destination."""
GOOD = 20
NOTICED_S = 0.3
"""What is bound to this process's own load; with all places taken it would be seconds."""
ALICE = Address("alice", "example.com")
RAW = Content.of(b"Subject: x\r\n\r\nbody\r\n")


@pytest.fixture
def rmail_plugins() -> list[str]:
    return ["relay"]


@pytest.fixture
def full() -> Iterator[list[int]]:
    """Ports that answer no SYN: their backlog is full."""
    with ExitStack() as stack:
        ports = []
        for _ in range(FULL):
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
            ports.append(listener.getsockname()[1])
            stack.enter_context(socket.create_connection(listener.getsockname()))
        yield ports


@pytest.fixture
async def silent() -> AsyncIterator[list[int]]:
    """Ports whose servers never say a word."""
    gone = asyncio.Event()

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await gone.wait()
        writer.transport.abort()

    servers = [await asyncio.start_server(serve, "127.0.0.1", 0) for _ in range(SILENT)]
    yield [server.sockets[0].getsockname()[1] for server in servers]
    gone.set()
    for server in servers:
        server.close()


@pytest.fixture
def patience_s() -> float:
    """How long the dead are waited for."""
    return 60.0


@pytest.fixture
def rmail_settings(
    full: list[int], silent: list[int], rmail_mx: FakeMx, patience_s: float
) -> dict[str, Any]:
    ports = {f"dead{number}.test": port for number, port in enumerate([*full, *silent])}
    routes = {
        domain: {"host": "127.0.0.1", "port": port, "tls": "none"}
        for domain, port in {**ports, "good.test": rmail_mx.port}.items()
    }
    timeouts = {"connect_s": patience_s, "greeting_s": patience_s}
    return {
        "relay": {"routes": routes, "timeouts": timeouts},
        "process": {"drain_s": 0.1},
    }


async def submit(server: RunningServer, recipient: str) -> None:
    kernel = server.kernel
    session = SessionInfo("t1", "submission", principal=Principal(AccountId(str(ALICE)), ALICE))
    envelope = Envelope(ALICE, (Address.parse(recipient),), session, kernel.clock.now())
    report = await kernel.delivery.submit(envelope, RAW)
    assert report.is_accepted


async def flow(server: RunningServer) -> None:
    """One more of the steady stream to each dead destination."""
    dead = [f"x@dead{number}.test" for number in range(FULL + SILENT)]
    await asyncio.gather(*(submit(server, recipient) for recipient in dead * FLOW))


async def good(server: RunningServer, sink: FakeMx) -> float:
    """How long a message to the good destination takes, seconds."""
    count = len(sink.messages)
    begun_at = time.monotonic()
    await submit(server, "x@good.test")
    await sink.wait_for(count + 1)
    return time.monotonic() - begun_at


@pytest.mark.parametrize("patience_s", [60.0, 0.5])
async def test_mail_to_a_good_destination_takes_no_longer(
    rmail_server: RunningServer, rmail_mx: FakeMx
) -> None:
    alone = [await good(rmail_server, rmail_mx) for _ in range(GOOD)]
    await flow(rmail_server)
    beside = []
    for _ in range(GOOD):
        await flow(rmail_server)
        beside.append(await good(rmail_server, rmail_mx))
    assert median(beside) < median(alone) + NOTICED_S
    tally = await rmail_server.kernel.queue.tally("relay")
    assert tally.waiting + tally.leased >= (GOOD + 1) * FLOW * (FULL + SILENT)
